"""Dropout in a model: every site, a position in the forward pass, gets a mask of its own."""

from typing import Any

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import Op, mask_for
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply


class DropoutSites:
    """The dropout sites of a part of the model: each call is the next site, so it gets another mask.

    If masks is None or the rate is 0, nothing is dropped.
    """

    def __init__(self, masks: Dropout | None, rate: float, first_site: int = 0) -> None:
        self.masks = masks if rate > 0 else None
        self.rate = rate
        self.site = first_site

    def mask(self, op: Op, shape: tuple[int, ...], x: Tensor, **settings: Any) -> Any:
        """A mask of this shape for the next site, as op(x, mask, **settings) takes it; None if nothing is dropped."""
        if self.masks is None:
            return None
        site, self.site = self.site, self.site + 1
        return mask_for(op, self.masks, site, shape, self.rate, x.data, **settings)

    def __call__(self, x: Tensor) -> Tensor:
        """x with units dropped."""
        mask = self.mask(ops.dropout, x.shape, x)
        return x if mask is None else apply(ops.dropout, x, mask)


NO_DROPOUT = DropoutSites(None, 0.0)
