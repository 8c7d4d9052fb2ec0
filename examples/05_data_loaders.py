# %% [markdown]
"""
# What does the model see?

A text, cut into chunks, shuffled into batches: inputs and targets shifted by one.

Expect: each target row is its input row moved one token to the left, and the same batches for the same seed,
whatever was drawn before: a batch is a pure function of (seed, step).
"""

# %%
import argparse

import tinygrad_gpt as tg
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own

# %% [markdown]
# **From characters to tokens.** The last tenth is for validation.

# %%
text = tg.reference_manual()[:20_000]
tokenizer = tg.tokenizer("gpt2", text)
tokens = tokenizer.encode(text)
train, val = tg.split_tokens(tokens, val_fraction=0.1)
print(f"{len(text):,} characters, {len(tokens):,} tokens: {len(train):,} to train on, {len(val):,} to validate on\n")

# %% [markdown]
# **From tokens to batches.** Chunks of 8 tokens, two rows a step.

# %%
batches = tg.Batches(train, context_length=8, batch_size=2, stride=8, shuffle=True, seed=123)
print(f"{batches.n_chunks} chunks of 8 tokens, {batches.steps_per_epoch} steps of 2 rows an epoch\n")
ids, targets = batches.batch(step=1)
for row, target in zip(ids, targets, strict=True):
    print(f"input   {row.tolist()}  {tokenizer.decode(row)!r}")
    print(f"target  {target.tolist()}  {tokenizer.decode(target)!r}\n")

# %% [markdown]
# **The same step** always gives the same rows. In the next epoch the rows come in another order.

# %%
again, _ = batches.batch(step=1)
other_epoch, _ = batches.batch(step=1 + batches.steps_per_epoch)
print(f"the same step again: {'the same rows' if (again == ids).all() else 'other rows'}")
print(f"one epoch later:     {'the same rows' if (other_epoch == ids).all() else 'other rows'}")

config = tg.GPTConfig(vocab_size=tokenizer.vocab_size, context_length=8, emb_dim=16, n_heads=2, n_layers=1)
model = tg.GPT(config, device=arguments.device)
print(f"\nloss of an untrained model on this batch: {model.loss(ids, targets).item():.3f} nats per token")
