"""Where the model drops units, and which mask each place gets."""

from typing import Any

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import Op, mask_for
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply


class DropoutSites:
    """The dropout of a part of the model: each call is another place, so it draws another mask.

    Without a source of masks, or at rate 0, everything passes.
    """

    def __init__(self, masks: Dropout | None, rate: float, first_site: int = 0) -> None:
        self.masks = masks if rate > 0 else None
        self.rate = rate
        self.site = first_site

    def mask(self, op: Op, shape: tuple[int, ...], x: Tensor, **settings: Any) -> Any:
        """A mask of this shape for the next place, as op(x, mask, **settings) takes it; None if nothing is dropped."""
        if self.masks is None:
            return None
        site, self.site = self.site, self.site + 1
        return mask_for(op, self.masks, site, shape, self.rate, x.data, **settings)

    def __call__(self, x: Tensor) -> Tensor:
        """x with units dropped."""
        keep = self.mask(ops.dropout, x.shape, x)
        return x if keep is None else apply(ops.dropout, x, keep)


NO_DROPOUT = DropoutSites(None, 0.0)
