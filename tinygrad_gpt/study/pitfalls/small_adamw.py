"""An AdamW around an update rule: settings, moments, step counts.  The rule itself comes from the pitfall."""

from dataclasses import dataclass

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code

State = tuple[Array, Array, int]  # m, v, and the number of the step, which starts at 1


@dataclass(frozen=True)
class Settings:
    """AdamW's settings."""

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float


class AdamW:
    """update(p, g, state, settings) changes p and its moments in place."""

    def __init__(
        self,
        update: Code,
        parameters: dict[str, Array],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        if not (0 <= lr < np.inf and 0 <= eps < np.inf and 0 <= weight_decay < np.inf):
            raise ValueError(f"lr, eps and weight_decay must be at least 0; got {lr}, {eps}, {weight_decay}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be at least 0 and below 1; got {betas}")
        self.update, self.parameters = update, parameters
        self.settings = Settings(lr, betas, eps, weight_decay)
        self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in parameters.items()}
        self.t = dict.fromkeys(parameters, 0)

    def step(self, gradients: dict[str, Array]) -> None:
        """One update of every parameter that has a gradient."""
        for name, g in gradients.items():
            if not np.isfinite(g).all():
                raise FloatingPointError(f"the gradient of {name} is not finite")
        for name, g in gradients.items():
            self.t[name] += 1
            m, v = self.moments[name]
            self.update(self.parameters[name], g, (m, v, self.t[name]), self.settings)


def under_test(update: Code) -> laws.OptimizerUnderTest:
    """The optimizer with this update rule.  All parameters decay, as in PyTorch."""
    return laws.OptimizerUnderTest(
        name="AdamW",
        init=lambda parameters, **settings: AdamW(update, parameters, **settings),
        step=AdamW.step,
        parameters=lambda optimizer: optimizer.parameters,
        moments=lambda optimizer: optimizer.moments,
        decays="all",
        tied=False,
    )
