"""PyTorch's functions as ops, each under the claims that are made of the op of ours that computes the same.

Strategies, references and policies come from tests/ops/cases.py; what differs is who computes.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.ops.cases import CASES, KEYS, among, case, distinct, numbers
from tinygrad_gpt.laws.adapters import torch_op
from tinygrad_gpt.laws.strategies import GRID

torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to check")
attention = pytest.importorskip("torch.nn.attention")
F = torch.nn.functional


def causal_attention(qkv, *, n_heads):
    B, T, width = qkv.shape
    q, k, v = qkv.reshape(B, T, 3, n_heads, width // 3 // n_heads).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, n_heads, T, D)
    return y.transpose(1, 2).reshape(B, T, width // 3)


def causal_attention_math(qkv, *, n_heads):
    with attention.sdpa_kernel(attention.SDPBackend.MATH):
        return causal_attention(qkv, n_heads=n_heads)


def cross_entropy(logits, targets, *, ignore_index, reduction):
    ignored = {} if ignore_index is None else {"ignore_index": ignore_index}
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction=reduction, **ignored)


def nll_loss(logits, targets, *, ignore_index, reduction):
    ignored = {} if ignore_index is None else {"ignore_index": ignore_index}
    rows = F.log_softmax(logits, -1).reshape(-1, logits.shape[-1])
    return F.nll_loss(rows, targets.reshape(-1), reduction=reduction, **ignored)


def linear(x, weight, bias=None):
    return F.linear(x, weight.T, bias)


def getitem(x, *, key):
    return x[numpy_key(key)]


def numpy_key(key):
    """torch takes arrays of ids as tensors."""
    if isinstance(key, tuple):
        return tuple(numpy_key(part) for part in key)
    return torch.from_numpy(key) if isinstance(key, np.ndarray) else key


def steps_forward(found):
    """torch has no slices with a negative step."""
    parts = found[1] if isinstance(found[1], tuple) else (found[1],)
    return not any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts)


def one_axis(fill):
    return case(fill((2, 3)), axis=st.sampled_from([0, -1]), keepdims=st.booleans())


def dims(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def over_axes(function):
    """function(x, dim=, keepdim=) with NumPy's names."""
    return lambda x, *, axis, keepdims: function(x, dim=dims(x, axis), keepdim=keepdims)


def var(x, *, axis, keepdims=False, ddof=0):
    return torch.var(x, dim=dims(x, axis), correction=ddof, keepdim=keepdims)


VIEWS = frozenset({"y", "dx"})  # may share memory
FUNCTIONS = {  # torch's name -> a function of tensors, our case, what is claimed differently
    "add": (torch.add, "add", {}),
    "mul": (torch.mul, "multiply", {}),
    "div": (torch.div, "divide", {}),
    "pow": (torch.pow, "power", {}),
    "neg": (torch.neg, "negative", {}),
    "exp": (torch.exp, "exp", {}),
    "log": (torch.log, "log", {}),
    "sqrt": (torch.sqrt, "sqrt", {}),
    "tanh": (torch.tanh, "tanh", {}),
    "relu": (torch.relu, "relu", {}),
    "gelu-tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelu", {}),
    "gelu": (lambda x, *, form: F.gelu(x), "gelu-erf", {}),
    "softmax": (lambda x, *, axis: torch.softmax(x, axis), "softmax", {}),
    "log_softmax": (lambda x, *, axis: torch.log_softmax(x, axis), "log_softmax", {}),
    "layer_norm": (lambda x, gain, bias: F.layer_norm(x, gain.shape, gain, bias), "layer_norm", {}),
    "cross_entropy": (cross_entropy, "cross_entropy", {}),
    "nll_loss": (nll_loss, "cross_entropy", {}),
    "embedding": (lambda table, ids: F.embedding(ids, table), "embedding", {}),
    "linear": (linear, "linear", {"reference": lambda x, w, b: np.einsum("...i,io->...o", x, w) + b}),
    "matmul": (torch.matmul, "matmul", {"mixes": False}),  # refuses operands of different dtypes
    "sum": (over_axes(torch.sum), "sum", {}),
    "mean": (over_axes(torch.mean), "mean", {}),
    "var": (var, "var", {}),
    "amax": (over_axes(torch.amax), "max", {}),
    "max": (
        lambda x, *, axis, keepdims: torch.max(x, axis, keepdims).values,
        "max",
        {"domain": one_axis(distinct), "kinks": one_axis(among(*GRID)), "extremes": None, "edges": None},
    ),
    "where": (torch.where, "where", {}),
    "masked_fill": (lambda x, mask, *, value: x.masked_fill(mask, value), "masked_fill", {}),
    "cat": (lambda *parts, axis: torch.cat(parts, axis), "concatenate", {}),
    "getitem": (
        getitem,
        "getitem",
        {
            "domain": KEYS.filter(steps_forward).flatmap(lambda found: case(numbers(found[0]), key=st.just(found[1]))),
            "aliasing": VIEWS,
        },
    ),
    "getitem-ids": (lambda x, ids: x[ids], "getitem-ids", {"aliasing": VIEWS}),
    "sdpa": (causal_attention, "causal_attention", {}),
    "sdpa-math": (causal_attention_math, "causal_attention", {}),
}


def claims_of(name):
    """Our case by its own name."""
    return next(sut for suts in CASES.values() for sut in suts if sut.name == name)


def under_test(name):
    function, case, claims = FUNCTIONS[name]
    made = torch_op(function)
    return dataclasses.replace(claims_of(case), name=f"torch-{name}", op=made.op, **claims)
