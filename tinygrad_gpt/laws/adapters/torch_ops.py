"""PyTorch's functions as ops under test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Vjp


def torch_op(function: Callable[..., Any], *, name: str = "", **claims: Any) -> OpUnderTest:
    """function(*tensors, **settings) -> tensor, such as torch.softmax, as an OpUnderTest; the vjp is torch's.

    claims are those of OpUnderTest (reference, domain, ...).  Tensors share the arrays' memory where PyTorch can
    (C order, writeable); others are copied.  Raises ImportError without torch.
    """
    import torch

    def tensor_of(x: Array) -> Any:
        # one element counts as C order whatever its stride, and PyTorch refuses a negative one
        shares = x.flags.writeable and x.flags.c_contiguous and min(x.strides, default=0) >= 0
        return torch.from_numpy(x) if shares else torch.tensor(np.array(x))

    def op(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
        tensors = [tensor_of(x) for x in arrays]
        asking = [tensor.requires_grad_() for tensor in tensors if tensor.is_floating_point()]
        y = function(*tensors, **settings)

        def vjp(dy: Array) -> tuple[Array | None, ...]:
            found = iter(torch.autograd.grad(y, asking, tensor_of(dy), retain_graph=True, materialize_grads=True))
            return tuple(next(found).numpy() if tensor.is_floating_point() else None for tensor in tensors)

        return y.detach().numpy(), vjp

    return OpUnderTest(name=name or f"torch-{getattr(function, '__name__', function)}", op=op, **claims)
