# %% [markdown]
"""
# What is a gradient?

One multiplication, differentiated four ways: by hand, by moving an input a little, by the op's own rule, and
by the tape.

Expect: the same two numbers each time, 5 and 2; then a variable used three times, whose terms add up to 6.
"""

# %%
import numpy as np

from tinygrad_gpt import Tensor, ops
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

# %% [markdown]
# **By hand.** z = x y. If x grows by a little dx, z grows by y dx: dz/dx = y, and dz/dy = x.

# %%
x, y = np.array(2.0), np.array(5.0)
print(f"z = {x} * {y} = {x * y};  by hand dz/dx = {y}, dz/dy = {x}")

# %% [markdown]
# **By central differences.** You only need to compute z: move x a little to both sides, and divide the
# difference of z by the distance.

# %%
h = 1e-6
dzdx = ((x + h) * y - (x - h) * y) / (2 * h)
dzdy = (x * (y + h) - x * (y - h)) / (2 * h)
print(f"by differences dz/dx = {dzdx:.6f}, dz/dy = {dzdy:.6f}")

# %% [markdown]
# **By the op itself.** An op of this project is a plain function on arrays: it returns the result and its
# *vjp*, which turns dLoss/dz into dLoss/dx and dLoss/dy. With dLoss/dz = 1 these are the derivatives
# themselves.

# %%
z, vjp = ops.multiply(x, y)
dx, dy = vjp(np.array(1.0))
print(f"by its vjp dz/dx = {dx}, dz/dy = {dy}")

# %% [markdown]
# **By the tape.** A `Tensor` remembers which op made it. `backward` walks from the result to the leaves and
# calls each vjp.

# %%
a, b = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)
(a * b).backward()
print(f"by the tape dz/dx = {a.grad}, dz/dy = {b.grad}")

# %% [markdown]
# **Used more than once.** In a·a + 2a the variable a is used three times. Each use sends a term back, and the
# terms add up: a from each side of the product and 2 from the sum. This addition is the chain rule of several
# variables.

# %%
a = Tensor(x, requires_grad=True)
(a * a + 2 * a).backward()
print(f"\nz = a a + 2 a at a = {x}: dz/da = a + a + 2 = {a.grad}")
assert a.grad == 6
