"""How is the next token chosen?  Greedy, temperature and top-k on a vocabulary of nine words.

The logits are those of the book's chapter.  A thousand draws show what the probabilities mean.

Expect: greedy always says "forward"; a low temperature nearly always, a high one anything; top-k = 3 only the three
likeliest.  The bar plot has the chapter's shape.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinygrad_gpt as tg
from tinygrad_gpt.backend import to_device, to_host

WORDS = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
LOGITS = [4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]
TEMPERATURES = [1.0, 0.1, 5.0]


def main(device: str, out: Path) -> None:
    logits = to_device(np.array(LOGITS), device)
    print(f"greedy: {WORDS[int(tg.greedy(logits))]}\n")

    settings = {f"temperature {T:g}": {"temperature": T} for T in TEMPERATURES} | {"top-k 3": {"top_k": 3}}
    probs = {name: tg.probabilities(logits, **setting) for name, setting in settings.items()}
    u = to_device(tg.uniforms(123, rows=0, positions=np.arange(1000)), device)
    print(f"{'of 1000 draws':12s}" + "".join(f"{name:>17s}" for name in probs))
    counts = {name: np.bincount(to_host(tg.draw(p, u)), minlength=len(WORDS)) for name, p in probs.items()}
    for i, word in enumerate(WORDS):
        print(f"{word:13s}" + "".join(f"{counts[name][i]:17d}" for name in probs))

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(probs)
    for j, (name, p) in enumerate(probs.items()):
        axes.bar(np.arange(len(WORDS)) + (j - (len(probs) - 1) / 2) * width, to_host(p), width, label=name)
    axes.set_xticks(np.arange(len(WORDS)), WORDS, rotation=45, ha="right")
    axes.set_ylabel("probability of the next token")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "temperature.png", dpi=150)
    print(f"\nplot: {out / 'temperature.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder for the plot")
    arguments = parser.parse_args()
    main(arguments.device, arguments.out)
