# %% [markdown]
"""
# How do I write a gradient by hand?

An op of your own, the softplus y = ln(1 + eˣ): its derivation, its code, and three ways of finding out if it
is right.

Expect: differences of 1e-9 by central differences and 1e-16 at most by the complex step; the laws find a
planted mistake and show the smallest input for it.
"""

# %%
import numpy as np

from tinygrad_gpt import Tensor, laws
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.tape import apply

quiet_pipe()  # with `| head` it ends silently

# %% [markdown]
# **Derivation.** y = ln(1 + eˣ), so dy/dx = eˣ / (1 + eˣ) = 1 / (1 + e⁻ˣ), the logistic function. The vjp
# multiplies it by the gradient that arrives: dx = dy / (1 + e⁻ˣ).
#
# **Code.** `np.logaddexp(0, x)` is ln(e⁰ + eˣ) and cannot overflow. The vjp keeps x and nothing else.


# %%
def softplus(x):
    def vjp(dy):
        return (dy / (1 + np.exp(-x)),)

    return np.logaddexp(x.dtype.type(0), x), vjp


# %% [markdown]
# **Central differences.** Move the input along a direction v by ±h. Then (y₊ - y₋)/2h should agree with the
# vjp. To compare them as one number, take inner products: ⟨dy, (y₊ - y₋)/2h⟩ and ⟨vjp(dy), v⟩, for a random
# dy.

# %%
rng = np.random.default_rng(0)
x, v, dy = rng.normal(size=(3, 5))
y, vjp = softplus(x)
h = 1e-6
by_differences = np.vdot(dy, (softplus(x + h * v)[0] - softplus(x - h * v)[0]) / (2 * h))
by_vjp = np.vdot(vjp(dy)[0], v)
print(f"along v: {by_vjp:.12f} by the vjp, off by {abs(by_vjp - by_differences):.0e} from central differences")

# %% [markdown]
# **The complex step.** f(x + ih) = f(x) + ih f'(x) - …: the derivative appears as the imaginary part, and
# nothing is subtracted, so h can be 1e-30 and the answer is exact to rounding. (It needs a formula that takes
# complex numbers.)

# %%
by_complex_step = np.vdot(dy, np.log(1 + np.exp(x + 1e-30j * v)).imag / 1e-30)
print(f"         off by {abs(by_vjp - by_complex_step):.0e} from the complex step")

# %% [markdown]
# **The laws** are checks of what is easily forgotten: shapes, dtypes, no writing into inputs, linearity of
# the vjp, huge values … They search for the smallest input that breaks one.

# %%
mine = laws.OpUnderTest(
    name="softplus", op=softplus, reference=lambda x: np.log(1 + np.exp(x)), dtypes=("float64", "float32")
)
report = laws.check_op(mine, profile="ci", on_fail="report")
print("\n" + report.summary)


def softplus_with_a_mistake(x):
    return softplus(x)[0], lambda dy: (dy / (1 + np.exp(x)),)  # the sign in the exponent is lost


wrong = laws.OpUnderTest(name="wrong", op=softplus_with_a_mistake, reference=mine.reference)
report = laws.check_op(wrong, profile="ci", on_fail="report")
print(report.summary + "\n")
print(report.bad[0].broken)

# %% [markdown]
# **In use.** `apply` puts any op on the tape.

# %%
leaf = Tensor(x, requires_grad=True)
apply(softplus, leaf).sum().backward()
print(f"\non the tape: {leaf.grad.round(4)}")
assert np.allclose(leaf.grad, 1 / (1 + np.exp(-x)))
