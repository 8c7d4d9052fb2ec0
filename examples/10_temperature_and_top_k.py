# %% [markdown]
"""
# How is the next token chosen?

Greedy, temperature and top-k on a vocabulary of nine words, with the logits of the book's chapter. A thousand
draws show what the probabilities mean.

Expect: greedy always gives "forward", and a low temperature nearly always does. A high temperature gives any
word, and top-k = 3 gives only the three likeliest. The bar plot has the shape of the chapter's plot.
"""

# %%
import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinygrad_gpt as tg
from tinygrad_gpt.backend import to_device, to_host
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.notebook import Picture

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder for the plot")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own

# %%
WORDS = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
logits = to_device(np.array([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]), arguments.device)
print(f"greedy: {WORDS[int(tg.greedy(logits))]}\n")

# %% [markdown]
# **Temperature** divides the logits before the softmax; **top-k** keeps the k largest. A uniform random
# number u determines the token, so a thousand values of u show the distribution.

# %%
SETTINGS = {
    "temperature 1": {"temperature": 1.0},
    "temperature 0.1": {"temperature": 0.1},
    "temperature 5": {"temperature": 5.0},
    "top-k 3": {"top_k": 3},
}
probs = {name: tg.probabilities(logits, **setting) for name, setting in SETTINGS.items()}
u = to_device(tg.uniforms(123, rows=0, positions=np.arange(1000)), arguments.device)
counts = {name: np.bincount(to_host(tg.draw(p, u)), minlength=len(WORDS)) for name, p in probs.items()}
print(f"{'of 1000 draws':12s}" + "".join(f"{name:>17s}" for name in probs))
for i, word in enumerate(WORDS):
    print(f"{word:13s}" + "".join(f"{counts[name][i]:17d}" for name in probs))

# %% [markdown]
# **The figure.**

# %%
figure = Figure(figsize=(7, 3.5), layout="constrained")
axes = figure.subplots()
width = 0.8 / len(probs)
for j, (name, p) in enumerate(probs.items()):
    axes.bar(np.arange(len(WORDS)) + (j - (len(probs) - 1) / 2) * width, to_host(p), width, label=name)
axes.set_xticks(np.arange(len(WORDS)), WORDS, rotation=45, ha="right")
axes.set_ylabel("probability of the next token")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
arguments.out.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.out / "temperature.png", dpi=150)
print(f"\nplot: {arguments.out / 'temperature.png'}")
Picture(arguments.out / "temperature.png")  # a notebook shows it
