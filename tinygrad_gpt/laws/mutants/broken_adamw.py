"""Broken optimizers, each the right one (Right, which passes all laws) with one piece of it written wrong.

The mutants' stories, in optimizers.py, say what each class does.
"""

# ruff: noqa: D101, D102

import math
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.small_adamw import Right
from tinygrad_gpt.laws.optimizers.under_test import Arrays


class EpsScaled(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / ((np.sqrt(v) + self.eps) / math.sqrt(1 - beta2**t))


class EpsInTheRoot(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + self.eps)


class NoBiasCorrection(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        return m / (np.sqrt(v) + self.eps)


class VUncorrected(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        return m / (1 - self.betas[0] ** t) / (np.sqrt(v) + self.eps)


class StepsFrom0(Right):
    def step_one(self, name: str, g: Array) -> None:
        self.update(name, g)
        self.t[name] += 1


class Climbs(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        return -super().direction(m, v, t)


class BetasSwapped(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta2, beta1 = self.betas
        return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + self.eps)


class EpsNever0(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + max(self.eps, 1e-8))


class ClippedInside(Right):
    def update(self, name: str, g: Array) -> None:
        super().update(name, g.clip(-1, 1))


class QuotedBound(Right):
    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        most = max(1.0, (1 - beta1) / math.sqrt(1 - beta2))
        return super().direction(m, v, t).clip(-most, most)


class DecayWithoutLr(Right):
    def update(self, name: str, g: Array) -> None:
        p, decay = self.parameters[name], self.decay_of(self.parameters[name])
        p *= 1 - decay
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept


class L2InTheGradient(Right):
    def update(self, name: str, g: Array) -> None:
        p = self.parameters[name]
        g = g + self.decay_of(p) * p
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept


class DecayAfter(Right):
    def update(self, name: str, g: Array) -> None:
        p = self.parameters[name]
        decay = self.lr * self.decay_of(p)
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept
        p *= 1 - decay


class StepsPerTensor(Right):
    def step_one(self, name: str, g: Array) -> None:
        t = max(self.t.values()) + 1
        self.t = dict.fromkeys(self.t, t)
        self.update(name, g)


class StepsForAll(Right):
    def step(self, gradients: Arrays) -> None:
        self.t = {name: t if name in gradients else t + 1 for name, t in self.t.items()}
        super().step(gradients)


class TrustRatio(Right):
    def update(self, name: str, g: Array) -> None:
        super().update(name, g / max(float(np.linalg.norm(g)), 1e-6))


class DecaysBiases(Right):
    def decay_of(self, p: Array) -> float:
        return self.weight_decay


class TiedTwice(Right):
    def once_each(self, parameters: Arrays) -> list[str]:
        return list(parameters)

    def under_first_names(self, gradients: Arrays) -> Arrays:
        by_array = {id(self.parameters[name]): g for name, g in gradients.items()}
        return {name: by_array[id(p)] for name, p in self.parameters.items() if id(p) in by_array}


class TiedDropped(Right):
    def under_first_names(self, gradients: Arrays) -> Arrays:
        return gradients


class NoneDecays(Right):
    def step(self, gradients: Arrays) -> None:
        super().step(gradients)
        for name in self.names:
            if name not in gradients:
                self.parameters[name] *= 1 - self.lr * self.decay_of(self.parameters[name])


class NoneIsZero(Right):
    def step(self, gradients: Arrays) -> None:
        super().step({name: gradients.get(name, np.zeros_like(self.m[name])) for name in self.names})


class StepCountLost(Right):
    def load(self, state: Any) -> None:
        super().load(state)
        self.t = dict.fromkeys(self.t, 0)


class StateAliases(Right):
    def state(self) -> Any:
        return {name: (self.t[name], self.m[name], self.v[name]) for name in self.names}


class FitsAnything(Right):
    def load(self, state: Any) -> None:
        if all(name in state and state[name][1].shape == self.m[name].shape for name in self.names):
            super().load({name: state[name] for name in self.names})


class Promotes(Right):
    def update(self, name: str, g: Array) -> None:
        super().update(name, g)
        self.parameters[name] = self.parameters[name] * np.float64(1)


class ReplacesArrays(Right):
    def update(self, name: str, g: Array) -> None:
        self.parameters[name] = self.parameters[name].copy()
        super().update(name, g)


class OldGradients(Right):
    def update(self, name: str, g: Array) -> None:
        self.first = {name: g} | getattr(self, "first", {})
        super().update(name, self.first[name])


class NoGuard(Right):
    def check_gradient(self, name: str, g: Array) -> None:
        pass


class GuardTooLate(Right):
    def step(self, gradients: Arrays) -> None:
        for name in self.names:
            if name in gradients:
                self.check_gradient(name, gradients[name])
                self.step_one(name, gradients[name])


class NanSetting(Right):
    def check_settings(self, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0 or any(beta < 0 or beta >= 1 for beta in betas):
            raise ValueError("setting out of range")


class WritesIntoGradients(Right):
    def update(self, name: str, g: Array) -> None:
        super().update(name, g)
        g *= 0
