# %% [markdown]
"""
# How wrong is an untrained model?

Cross-entropy and perplexity of two known texts, by hand. Six numbers are picked out of a model's
probabilities, one for each token that really came next. Their negative mean logarithm is the loss. The
perplexity is e to the power of the loss: the number of equally likely tokens among which the model seems to
choose.

Expect: a loss near ln V, because the model is untrained, a perplexity near V, and the same loss by hand and
by `cross_entropy`, to the last digit.
"""

# %%
import argparse

import numpy as np

import tinygrad_gpt as tg
from tinygrad_gpt.backend import to_host
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own

# %% [markdown]
# **Inputs and targets.** The targets are the inputs moved by one token: at every position the model predicts
# the next token.

# %%
TEXTS = ["every effort moves you", "I really like chocolate"]
tokenizer = tg.tokenizer("gpt2")
rows = np.stack([tokenizer.encode(text)[:4] for text in TEXTS]).astype(np.int64)
ids, targets = rows[:, :-1], rows[:, 1:]  # (2, 3) each
config = tg.GPTConfig(context_length=16, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0)
model = tg.GPT(config, seed=123, device=arguments.device)

logits = model(ids)  # (2, 3, V)
probs = to_host(logits.softmax().data)
guesses = probs.argmax(-1)
for text, row, guess in zip(TEXTS, targets, guesses, strict=True):
    print(f"{text!r}: next tokens {tokenizer.decode(row)!r}, the model guesses {tokenizer.decode(guess)!r}")

# %% [markdown]
# **The probabilities of what really came next**, and their logarithms.

# %%
target_probs = np.take_along_axis(probs, targets[..., None], axis=-1)[..., 0]
print("probability of each target:", *(f"{p:.3e}" for p in target_probs.ravel()))
print("their logarithms:          ", *(f"{p:.4f}" for p in np.log(target_probs).ravel()))

# %% [markdown]
# **The loss** is the negative mean of the logarithms. **The perplexity** is the exponential of the loss.

# %%
by_hand = -np.log(target_probs).mean()
loss = tg.cross_entropy(logits, targets).item()
print(f"\nloss by hand  {by_hand:.4f} nats per token, as cross_entropy says: {loss:.4f}")
print(f"ln V          {np.log(config.vocab_size):.4f}: the loss of knowing nothing")
print(f"perplexity    {tg.perplexity(loss):.0f}, of {config.vocab_size} tokens")
