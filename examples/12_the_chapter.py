# %% [markdown]
"""
# How does this compare with the book?

The run of the chapter "Pretraining on unlabeled data", with the book's figures beside ours: GPT-2 124M, ten epochs
over a short story, from two kinds of initial weights ("starts"). Save the story as `the-verdict.txt` (Edith Wharton,
1908; the book's repository has it in the folder of chapter 2) and run this file in the same folder. It takes about
ten minutes and 3 GB of memory. Without the story, a small model learns the beginning of Python's manual. This takes
half a minute and shows no numbers of the book.

Expect, with the story: PyTorch's start follows the book's curve, to a training loss below 1 and a validation loss
near 6.4; the model knows the story by heart. From GPT-2's start the training loss is still above 5.
"""

# %%
import argparse
import math
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinygrad_gpt as tg
from tinygrad_gpt.backend import to_host
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.kernels import default_num_threads
from tinygrad_gpt.nn import parameter_shapes
from tinygrad_gpt.notebook import Picture
from tinygrad_gpt.optim import all_decay

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--text", type=Path, default=Path("the-verdict.txt"), help="the story")
parser.add_argument("--starts", nargs="+", default=["torch", "gpt2"], choices=("torch", "gpt2", "book"))
parser.add_argument("--epochs", type=int, help="default: 10, as in the book; 1 without the story")
parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"))
parser.add_argument("--threads", type=int, default=default_num_threads())
parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder for the plot")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own
tg.set_num_threads(arguments.threads)

# %% [markdown]
# **The text**, cut at 90 % of its characters as the book does it, each part encoded by itself.

# %%
has_story = arguments.text.exists()
text = tg.read_texts(arguments.text) if has_story else tg.reference_manual()[:20_479]
epochs = arguments.epochs or (10 if has_story else 1)
if not has_story:
    print(f"{arguments.text} is not here: a small model learns the beginning of Python's manual instead\n")
tokenizer = tg.tokenizer("gpt2")
cut = int(0.9 * len(text))
train_tokens, val_tokens = tokenizer.encode(text[:cut]), tokenizer.encode(text[cut:])
config = (
    tg.GPTConfig(context_length=256)
    if has_story
    else tg.GPTConfig(context_length=64, emb_dim=64, n_heads=4, n_layers=2)
)
batches = tg.Batches(train_tokens, context_length=config.context_length, batch_size=2, seed=123)


def beside(ours, book):
    """A line of ours, and what the book has, if it is about the same text."""
    print(f"{ours:44s}{f'   the book: {book}' if has_story else ''}")


beside(f"{len(text):,} characters, {len(tokenizer.encode(text)):,} tokens", "20,479 and 5,145")
beside(f"{batches.steps_per_epoch} batches an epoch", "9")


# %% [markdown]
# **Three starts.** `init="torch"` draws weights by the rules of PyTorch's layers, which the book's model is made of,
# and `init="gpt2"` by GPT-2's. With `--starts book`, PyTorch (which must be installed) draws exactly the book's
# initial weights: one layer after the other, in the book's order, with the seed 123.


# %%
def weights_of_the_book(config):
    try:
        import torch
    except ImportError as error:
        sys.exit(f"--starts book needs PyTorch, which drew the book's weights: {error}")

    def linear(n_inputs, n_outputs, bias=True):
        layer = torch.nn.Linear(n_inputs, n_outputs, bias=bias)
        return layer.weight.detach().numpy().T, layer.bias.detach().numpy() if bias else None

    torch.manual_seed(123)
    C = config.emb_dim
    weights = {name: np.ones(shape) for name, shape in parameter_shapes(config).items()}  # of layer norms: gains
    weights |= {name: 0 * w for name, w in weights.items() if name.endswith("bias")}
    weights["wte.weight"] = torch.nn.Embedding(config.vocab_size, C).weight.detach().numpy()
    weights["wpe.weight"] = torch.nn.Embedding(config.context_length, C).weight.detach().numpy()
    for i in range(config.n_layers):
        attention, mlp = f"h.{i}.attn.", f"h.{i}.mlp."
        query_key_value = [linear(C, C, bias=False)[0] for _ in range(3)]
        weights[attention + "c_attn.weight"] = np.concatenate(query_key_value, axis=1)
        weights[attention + "c_proj.weight"], weights[attention + "c_proj.bias"] = linear(C, C)
        weights[mlp + "c_fc.weight"], weights[mlp + "c_fc.bias"] = linear(C, 4 * C)
        weights[mlp + "c_proj.weight"], weights[mlp + "c_proj.bias"] = linear(4 * C, C)
    weights["lm_head.weight"] = linear(C, config.vocab_size, bias=False)[0].T
    return weights


def model_from(start):
    if start == "book":
        return tg.GPT(config, weights=weights_of_the_book(config), device=arguments.device)
    return tg.GPT(config, seed=123, init=start, device=arguments.device)


# %% [markdown]
# **Before training**: the loss of six tokens by hand, and of both parts of the text. A model that knows nothing has
# ln V = 10.825 and chooses among 50,257 tokens; the book's initial weights have a slightly smaller loss on these six
# tokens.

# %%
ids = np.array([tokenizer.encode(words) for words in ("every effort moves", "I really like")])
targets = np.array([tokenizer.encode(words) for words in (" effort moves you", " really like chocolate")])
whole = {"train": train_tokens[: batches.tokens_per_epoch + 1], "val": val_tokens}
for start in arguments.starts:
    model = model_from(start)
    logp = model(ids).log_softmax().data
    of_targets = np.take_along_axis(to_host(logp), targets[..., None], axis=-1)[..., 0].ravel()
    print(f"\nfrom {start!r}: log-probabilities of the targets", *(f"{value:.4f}" for value in of_targets))
    loss = model.loss(ids, targets).item()
    in_batches = {"train": whole["train"], "val": val_tokens[: 2 * config.context_length + 1]}  # the book's one batch
    before = {name: tg.evaluate(model, tokens).loss for name, tokens in in_batches.items()}
    beside(f"  loss {loss:.4f}, perplexity {tg.perplexity(loss):,.1f}", "10.7940 and 48,725.8")
    beside(f"  train loss {before['train']:.4f}, val loss {before['val']:.4f}", "10.9876 and 10.9811")

# %% [markdown]
# **Ten epochs**: AdamW at a learning rate of 4e-4 for all parameters, a decay of 0.1 for all of them too, no warm-up,
# no clipping. The book evaluates after updates 1, 6, 11, ..., which it calls steps 0, 5, 10, ...; so do we. It scores
# five batches of the training text; we score all of it.

# %%
BOOK = {  # section 5.2: (train loss, val loss) at these steps
    0: (9.781, 9.933), 5: (8.111, 8.339), 10: (6.661, 7.048), 15: (5.961, 6.616), 20: (5.726, 6.600),
    25: (5.201, 6.348), 30: (4.417, 6.278), 35: (4.069, 6.226), 40: (3.732, 6.160), 45: (2.850, 6.179),
    50: (2.427, 6.141), 55: (2.104, 6.134), 60: (1.882, 6.233), 65: (1.320, 6.238), 70: (0.985, 6.242),
    75: (0.717, 6.293), 80: (0.541, 6.393), 85: (0.391, 6.452),
}  # fmt: skip
PROMPT = "Every effort moves you"


def trained(start):
    """The losses (train, val) by step, and the model."""
    model = model_from(start)
    optimizer = tg.AdamW(model.parameters(), lr=4e-4, weight_decay=0.1, decays=all_decay)
    curve = {}
    for report in tg.train(model, optimizer, batches, steps=epochs * batches.steps_per_epoch, clip_norm=None, seed=123):
        step = report.step - 1
        if step % 5 == 0:
            curve[step] = tuple(tg.evaluate(model, tokens).loss for tokens in whole.values())
            book = "{:7.3f} {:7.3f}".format(*BOOK[step]) if has_story and step in BOOK else ""
            print("{:6d}    {:7.3f} {:7.3f}    {}".format(step, *curve[step], book))
    return curve, model


def continued(model, **settings):
    """The prompt, and what the model makes of it."""
    ids = tokenizer.encode(PROMPT)
    new = [int(step[0]) for step in tg.generate(model, [ids], **settings)]
    return PROMPT + tokenizer.decode(new)


curves = {}
for start in arguments.starts:
    print(f"\nfrom {start!r}\n  step      train     val" + ("    the book's" if has_story else ""))
    curves[start], model = trained(start)
    print("greedy:        ", repr(continued(model, max_new_tokens=25)))
    print("top-k 25, 1.4: ", repr(continued(model, max_new_tokens=15, top_k=25, temperature=1.4, seed=123)))

# %% [markdown]
# **The figure**: training loss as a solid line, validation loss as a dashed line.

# %%
figure = Figure(figsize=(7.2, 4.4), layout="constrained")
axes = figure.subplots()
COLOURS = {"torch": "#1f5fa8", "gpt2": "#d1601f", "book": "#2e8b57", "as printed in the book": "#555555"}
if has_story:
    curves["as printed in the book"] = {step: losses for step, losses in BOOK.items() if step <= max(curves[start])}
for name, curve in curves.items():
    for i, style in enumerate(("-", (0, (5, 1.5)))):
        label = name if i == 0 else None
        axes.plot(
            list(curve), [losses[i] for losses in curve.values()], color=COLOURS[name], linestyle=style, label=label
        )
axes.axhline(math.log(config.vocab_size), color="#cccccc", linewidth=0.8)
axes.set_xlabel("step")
axes.set_ylabel("loss (nats per token)")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
arguments.out.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.out / "the-chapter.png", dpi=150)
print(f"\nplot: {arguments.out / 'the-chapter.png'}")
Picture(arguments.out / "the-chapter.png")  # a notebook shows it
