"""A right AdamW, in methods that a mutant can override."""

import math
from typing import Any

import numpy as np

from tests.mutants.zoo.clipping_and_schedule import clip, schedule
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest


class Right:
    """AdamW, in methods that a mutant can override."""

    def __init__(
        self, parameters: Arrays, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
    ) -> None:
        self.check_settings(lr, betas, eps, weight_decay)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.names = self.once_each(parameters)
        self.parameters = dict(parameters)
        self.m = {name: np.zeros_like(parameters[name]) for name in self.names}
        self.v = {name: np.zeros_like(parameters[name]) for name in self.names}
        self.t = dict.fromkeys(self.names, 0)

    def check_settings(self, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        """Raise for a setting out of range."""
        rates_fit = all(math.isfinite(x) and x >= 0 for x in (lr, eps, weight_decay))
        if not (rates_fit and all(0 <= beta < 1 for beta in betas)):
            raise ValueError("setting out of range")

    def once_each(self, parameters: Arrays) -> list[str]:
        """An array of several names under its first."""
        return list({id(array): name for name, array in reversed(parameters.items())}.values())[::-1]

    def step(self, gradients: Arrays) -> None:
        """One update."""
        gradients = self.under_first_names(gradients)
        for name in self.names:
            if name in gradients:
                self.check_gradient(name, gradients[name])
        for name in self.names:
            if name in gradients:
                self.step_one(name, gradients[name])

    def under_first_names(self, gradients: Arrays) -> Arrays:
        """Gradients by the names that are updated, under whichever name of an array they were given."""
        first = {id(self.parameters[name]): name for name in reversed(self.names)}
        return {first[id(self.parameters[name])]: g for name, g in gradients.items()}

    def check_gradient(self, name: str, g: Array) -> None:
        """Raise unless the gradient is finite."""
        if not np.isfinite(g).all():
            raise FloatingPointError(f"gradient of {name} is not finite")

    def step_one(self, name: str, g: Array) -> None:
        """One update of one parameter."""
        self.t[name] += 1
        self.update(name, g)

    def update(self, name: str, g: Array) -> None:
        """Moments, decay, step: in place."""
        p, (beta1, beta2) = self.parameters[name], self.betas
        self.m[name] += (1 - beta1) * (g - self.m[name])
        self.v[name] += (1 - beta2) * (g * g - self.v[name])
        p *= 1 - self.lr * self.decay_of(p)
        p -= self.lr * self.direction(self.m[name], self.v[name], self.t[name])

    def decay_of(self, p: Array) -> float:
        """Matrices decay."""
        return self.weight_decay if p.ndim >= 2 else 0.0

    def direction(self, m: Array, v: Array, t: int) -> Array:
        """mhat / (sqrt(vhat) + eps)"""
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + self.eps)

    def moments(self) -> dict[str, tuple[Array, Array]]:
        """m and v by name."""
        return {name: (self.m[name], self.v[name]) for name in self.names}

    def state(self) -> Any:
        """Copies of step count and moments."""
        return {name: (self.t[name], self.m[name].copy(), self.v[name].copy()) for name in self.names}

    def load(self, state: Any) -> None:
        """Go on from a state of the same names and shapes."""
        if list(state) != self.names or any(state[name][1].shape != self.m[name].shape for name in state):
            raise ValueError("the state is another optimizer's")
        for name, (t, m, v) in state.items():
            self.t[name] = t
            self.m[name][...], self.v[name][...] = m, v


def adapted(name: str, optimizer: type[Right] = Right, **functions: Any) -> OptimizerUnderTest:
    """An optimizer class as an object under test; clip and schedule are right unless given."""
    return OptimizerUnderTest(
        name=name,
        init=optimizer,
        step=lambda o, gradients: o.step(gradients),
        parameters=lambda o: o.parameters,
        moments=lambda o: o.moments(),
        state=lambda o: o.state(),
        load=lambda o, state: o.load(state),
        **{"clip": clip, "schedule": schedule} | functions,
    )


RIGHT_OPTIMIZER = adapted("right")
