# %% [markdown]
"""
# Is your sampler right?

A hand-written sampler with a bug, the laws' report on it, and the report after the fix.

The sampler keeps the k likeliest tokens and divides by a temperature.  For one sequence it is right. But it
uses the first row's threshold for all rows, so in a batch every other row keeps too many tokens, or none.

Expect: the laws that fail, among them S04 ("rows are independent"), with the smallest batch that shows the
bug; then, with one line changed, a report without findings.
"""

# %%
import argparse

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.laws.profiles import PROFILES

quiet_pipe()  # with `| head` it ends silently

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--profile", default="ci", choices=PROFILES, help="how many cases each law tries")
arguments, _ = parser.parse_known_args()  # a notebook has other arguments

# %% [markdown]
# **The sampler**, written for one sequence and then used on batches.


# %%
def first_try(logits, *, temperature=1.0, top_k=None):
    """logits (B, V) -> the probabilities of the next token (B, V)."""
    logits = check_inputs(logits, temperature, top_k)
    V = logits.shape[-1]
    if top_k is not None and top_k < V:
        kth = np.sort(logits[0])[-top_k]  # the bug: row 0's threshold is used for every row
        logits = np.where(logits < kth, -np.inf, logits)
    return softmax(logits, temperature)


def fixed(logits, *, temperature=1.0, top_k=None):
    """The same, with a threshold for each row."""
    logits = check_inputs(logits, temperature, top_k)
    V = logits.shape[-1]
    if top_k is not None and top_k < V:
        kth = np.sort(logits)[:, -top_k, None]  # (B, 1)
        logits = np.where(logits < kth, -np.inf, logits)
    return softmax(logits, temperature)


def softmax(logits, temperature):
    """exp(logits / temperature) / sum; the maximum is subtracted first, so that nothing overflows."""
    weights = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return weights / weights.sum(-1, keepdims=True)


def check_inputs(logits, temperature, top_k):
    """The logits in float64.  Raises ValueError for invalid numbers, as the laws require."""
    numbers = [type(value) for value in (temperature, top_k)]
    if bool in numbers or str in numbers or not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be a number above 0; got {temperature!r}")
    if top_k is not None and not (isinstance(top_k, int | np.integer) and top_k >= 1):
        raise ValueError(f"top_k must be a whole number, at least 1; got {top_k!r}")
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 0 or not np.isfinite(logits.max(-1)).all():
        raise ValueError("logits must be finite or -inf, with a token left to draw")
    return logits


def under_test(name, probabilities):
    """The sampler's adapter: the settings that it takes, and its choices where several are right."""
    return laws.SamplerUnderTest(
        name=name,
        probabilities=probabilities,
        capabilities={"temperature", "top_k"},
        ties="all",  # all tokens tied with the k-th are kept, so more than k may stay
        zero_temperature="error",
    )


# %% [markdown]
# **On one sequence** it is right; the laws try batches too.

# %%
print("one sequence, top_k=2:", first_try(np.array([[1.0, 3.0, 2.0]]), top_k=2).round(3)[0], "as it should be\n")

report = laws.check(under_test("first try", first_try), profile=arguments.profile, on_fail="report")
print(report.summary)
for result in report.bad:
    print(result.line)
print(f"\n{min(report.bad, key=lambda result: result.law.id != 'S04').broken}\n")

# %% [markdown]
# **After the fix.**

# %%
report = laws.check(under_test("fixed", fixed), profile=arguments.profile, on_fail="report")
print(report.summary)
print("all laws hold" if report.ok else report)
