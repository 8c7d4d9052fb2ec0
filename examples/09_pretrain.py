# %% [markdown]
"""
# How does a model learn to write?

Pretraining of a small GPT, start to end.

Expect: about half a minute, a loss that falls from ln V to below 6, samples that turn from random words into short
and frequent ones, and the plot of both losses.
"""

# %%
import argparse
from pathlib import Path

import tinygrad_gpt as tg
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.notebook import Picture
from tinygrad_gpt.runs.plot import plot_losses

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"))
parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder for the plot")
parser.add_argument("--steps", type=int, default=150, help="training steps")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own

# %% [markdown]
# **Text, tokens, model.** The text is the manual that comes with Python; the vocabulary has those tokens of GPT-2
# that occur in the text.

# %%
text = tg.reference_manual()
tokenizer = tg.tokenizer("compact", text)
train_tokens, val_tokens = tg.split_tokens(tokenizer.encode(text), val_fraction=0.1)
config = tg.GPTConfig(
    vocab_size=tokenizer.vocab_size, context_length=32, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0
)
model = tg.GPT(config, seed=0, device=arguments.device)
batches = tg.Batches(train_tokens, context_length=config.context_length, batch_size=16, seed=0)
print(f"{model.n_parameters:,} parameters, {len(train_tokens):,} training tokens")

# %% [markdown]
# **The optimizer.** Its learning rate rises for ten steps, then falls along half a cosine.

# %%
optimizer = tg.AdamW(model.parameters(), lr=3e-3)


def schedule(step: int) -> float:
    warmup = min(10, arguments.steps // 2)
    return tg.cosine_schedule(step, peak_lr=3e-3, total_steps=arguments.steps, warmup_steps=warmup, min_lr=3e-4)


# %% [markdown]
# **The loop.** `train` yields a report after every step. What you do between two steps, such as sampling, does not
# change the training.

# %%
PROMPT = "The statement"
records, tokens_seen = [], 0
for report in tg.train(model, optimizer, batches, steps=arguments.steps, schedule=schedule):
    tokens_seen += report.tokens
    if report.step % 25 and report.step != 1:
        continue
    train_loss, val_loss = float(report.loss), tg.evaluate(model, val_tokens, max_tokens=2000).loss
    epoch = report.step / batches.steps_per_epoch
    records.append({"epoch": epoch, "tokens_seen": tokens_seen, "train_loss": train_loss, "val_loss": val_loss})
    print(
        f"step {report.step:4d}, {tokens_seen:7,} tokens seen: train loss {train_loss:.3f}, "
        f"val loss {val_loss:.3f}, perplexity {tg.perplexity(val_loss):.1f}"
    )
    new = tg.generate(model, [tokenizer.encode(PROMPT)], max_new_tokens=12, temperature=0.8)
    tokens = [int(ids[0]) for ids in new]
    print(f"    {PROMPT + tokenizer.decode(tokens)!r}")

# %%
arguments.out.mkdir(parents=True, exist_ok=True)
plot_losses(records, arguments.out / "loss.png")
print(f"plot: {arguments.out / 'loss.png'}")
Picture(arguments.out / "loss.png")  # a notebook shows it
