"""PyTorch's optimizers, and others of their form, as optimizers under test."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest


class _TorchOptimizer:
    """A torch optimizer over named NumPy arrays that share memory with its tensors."""

    def __init__(self, make: Callable[..., Any], parameters: Arrays, settings: dict[str, Any]) -> None:
        import torch

        tensors = {id(p): torch.nn.Parameter(torch.from_numpy(p)) for p in parameters.values()}  # a tied one is one
        self.tensors = {name: tensors[id(p)] for name, p in parameters.items()}
        self.optimizer = make(list(tensors.values()), **settings)

    def step(self, gradients: Arrays) -> None:
        """One update with these gradients and no others."""
        import torch

        for tensor in self.tensors.values():
            tensor.grad = None
        for name, grad in gradients.items():
            self.tensors[name].grad = torch.from_numpy(grad)
        self.optimizer.step()

    def parameters(self) -> Arrays:
        """The parameters' current values."""
        return {name: tensor.detach().numpy() for name, tensor in self.tensors.items()}

    def moments(self) -> dict[str, tuple[Array, Array]]:
        """m and v of the parameters that have been updated."""
        kept = self.optimizer.state
        return {
            name: (kept[tensor]["exp_avg"].numpy(), kept[tensor]["exp_avg_sq"].numpy())
            for name, tensor in self.tensors.items()
            if tensor in kept
        }


def torch_optimizer(
    make: Callable[..., Any] | None = None,
    *,
    name: str = "",
    clip: Callable[[Iterable[Any], float], Any] | None = None,
    **policies: Any,
) -> OptimizerUnderTest:
    """make(tensors, lr=, betas=, eps=, weight_decay=), a torch optimizer class (default: torch.optim.AdamW).

    clip(tensors, max_norm) -> norm, such as torch.nn.utils.clip_grad_norm_, is checked too if given; it works in place.
    The policies are torch's: everything decays, and gradients do not change unless they are clipped.
    Raises ImportError without torch.
    """
    import torch

    make = torch.optim.AdamW if make is None else make

    def clipped(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
        assert clip is not None
        tensors = {name: torch.zeros_like(torch.from_numpy(grad)) for name, grad in gradients.items()}
        for name, grad in gradients.items():
            tensors[name].grad = torch.from_numpy(grad)
        norm = clip(tensors.values(), max_norm)
        return {name: tensor.grad.numpy() for name, tensor in tensors.items()}, float(norm)

    return OptimizerUnderTest(
        name=name or f"torch-{getattr(make, '__name__', make)}",
        init=lambda parameters, **settings: _TorchOptimizer(make, parameters, settings),
        step=_TorchOptimizer.step,
        parameters=_TorchOptimizer.parameters,
        moments=_TorchOptimizer.moments if _is_adam(make) else None,
        state=lambda opt: copy.deepcopy(
            opt.optimizer.state_dict()
        ),  # a copy, as a file would be: the dict itself is a view
        load=lambda opt, state: opt.optimizer.load_state_dict(state),
        clip=None if clip is None else clipped,
        **{"decays": "all", "gradients": "kept" if clip is None else "consumed"} | policies,
    )


def _is_adam(make: Any) -> bool:
    """Whether moments have the names of torch's Adam."""
    import torch

    chosen = getattr(make, "func", make)  # of functools.partial
    return isinstance(chosen, type) and issubclass(chosen, torch.optim.Adam)
