# %% [markdown]
"""
# Where does every gradient come from?

One training step of a one-block GPT, walked backward op by op. The tape is walked here by hand, with the same
vjps that `loss.backward()` uses: each line shows one op, the gradient that arrives, and the gradients that
the op sends to its inputs. Then AdamW takes one step.

Expect: 15 ops from the loss to the embeddings, gradients equal to those of `loss.backward()`, and a smaller
loss after the step.
"""

# %%
import argparse

import numpy as np

import tinygrad_gpt as tg
from tinygrad_gpt.backend import array_module, to_host
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.tape import deepest_first

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
arguments, _ = parser.parse_known_args()  # a notebook has arguments of its own

# %% [markdown]
# **Forward.** A model of one block on four tokens; ln 11 is the loss of a model that guesses among eleven
# tokens.

# %%
config = tg.GPTConfig(vocab_size=11, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0)
model = tg.GPT(config, seed=1, device=arguments.device, dtype="float64")
names = {parameter: name for name, parameter in model.parameters().items()}
ids, targets = np.array([[1, 2, 3, 4]]), np.array([[2, 3, 4, 5]])

model.loss(ids, targets).backward()  # the usual way, to compare with
loss = model.loss(ids, targets)
print(f"loss {loss.item():.6f} (ln 11 = {np.log(11):.6f})\n")

# %% [markdown]
# **Backward.** dLoss/dLoss = 1. Every node sends a gradient to each of its parents. A parent with several
# children adds these gradients up. The deepest nodes come first, so that a node's gradient is complete when
# it is used.


# %%
def described(array: object) -> str:
    """Shape and root mean square of a gradient."""
    host = to_host(array)
    return f"{'x'.join(map(str, host.shape)) or 'scalar'} rms {np.sqrt(np.mean(host**2)):.2e}"


grads = {loss.node: array_module(loss.data).ones_like(loss.data)}
for node in reversed(deepest_first(loss)):
    dy = grads.pop(node)
    handed = []
    for parent, grad in zip(node.parents, node.vjp(dy), strict=True):
        if parent is not None:
            grads[parent] = grads[parent] + grad if parent in grads else grad
            handed.append(f"{names.get(parent, '')} {described(grad)}".strip())
    print(f"{node.op:20s} {described(dy):22s} -> {';  '.join(handed)}")

# %% [markdown]
# **These gradients are the same** as those that `loss.backward()` stored in every parameter's `.grad`.

# %%
print("parameter                 gradient, by hand and by loss.backward()")
for parameter, name in names.items():
    same = np.array_equal(to_host(grads[parameter]), to_host(parameter.grad))
    print(f"{name:25s} {described(grads[parameter]):24s} {'equal' if same else 'DIFFERENT'}")

# %%
tg.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0).step()
print(f"\nafter one step of AdamW: loss {model.loss(ids, targets).item():.6f}")
