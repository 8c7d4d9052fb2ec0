"""Broken optimizers, each the right one (Right, which passes all laws) with one piece of it written wrong.

The mutants' stories, at the end, say what each class does.
"""

# ruff: noqa: D101, D102

import math
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.around_optimizers import clip, schedule
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest


class Right:
    """AdamW as it should be, in pieces that a mutant can override."""

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
        """Gradients under the names that are stepped, whichever name of an array they came under."""
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


def mutant(name: str, story: str, *cites: str, optimizer: type[Right] = Right, **functions: Any) -> Mutant:
    """The right optimizer with this class, or these functions, in its place."""
    return Mutant(name, adapted(name, optimizer, **functions), story, cites)


ADAMW_MUTANTS = (
    mutant(
        "eps-scaled",
        "eps is divided by the bias correction too: at step 1, g = 0.5, -0.0137 for -0.0833 (at eps 0.1).",
        "karpathy/nanochat#304",
        "pytorch/pytorch#22628",
        optimizer=EpsScaled,
    ),
    mutant(
        "eps-in-the-root", "sqrt(vhat + eps): small gradients take steps that are too small.", optimizer=EpsInTheRoot
    ),
    mutant(
        "no-bias-correction",
        "The first steps are as long as their moments, which start at 0, say.",
        optimizer=NoBiasCorrection,
    ),
    mutant(
        "v-uncorrected",
        "Only m is corrected: the first step is 1 / sqrt(1 - beta2) = 31 times too long.",
        optimizer=VUncorrected,
    ),
    mutant(
        "steps-from-0",
        "The step is counted after the update: the first divides by 1 - beta^0 = 0.",
        optimizer=StepsFrom0,
    ),
    mutant("climbs", "The step is added.", optimizer=Climbs),
    mutant("betas-swapped", "Each moment is corrected with the other's beta.", optimizer=BetasSwapped),
    mutant(
        "eps-never-0", "An eps below 1e-8 is raised silently: tiny gradients are not followed.", optimizer=EpsNever0
    ),
    mutant(
        "gradient-clipped-inside",
        "Entries of the gradient are cut to +-1 inside the optimizer.",
        optimizer=ClippedInside,
    ),
    mutant(
        "quoted-bound",
        "Steps are cut at the bound that is usually quoted, lr max(1, (1-b1)/sqrt(1-b2)), which is none.",
        optimizer=QuotedBound,
    ),
    mutant(
        "decay-without-lr",
        "p (1 - decay) in place of p (1 - lr decay): weights are gone in a few steps.",
        "joennlae/tensorli#1",
        optimizer=DecayWithoutLr,
    ),
    mutant(
        "l2-in-the-gradient",
        "Adam with an L2 penalty, called AdamW: the decay is divided by sqrt(v).",
        "nntrainer/nntrainer#3565",
        optimizer=L2InTheGradient,
    ),
    mutant(
        "decay-after-the-step",
        "The decay takes its share of the step just made (.870833 for .866667).",
        "huggingface/transformers#14539",
        optimizer=DecayAfter,
    ),
    mutant("steps-per-tensor", "One step count for all, raised by every tensor.", optimizer=StepsPerTensor),
    mutant("steps-for-all", "The step count of a parameter without a gradient goes on.", optimizer=StepsForAll),
    mutant("trust-ratio", "Gradients are normalised tensor by tensor.", optimizer=TrustRatio),
    mutant("decays-biases", "Biases and gains are pulled to 0 with the matrices.", optimizer=DecaysBiases),
    mutant("tied-twice", "A tied weight takes a step under each of its names.", optimizer=TiedTwice),
    mutant(
        "tied-gradient-dropped",
        "A gradient that comes under a tied weight's second name is not looked at: nothing is learned.",
        optimizer=TiedDropped,
    ),
    mutant("none-decays", "A parameter that took no part in the loss decays.", optimizer=NoneDecays),
    mutant(
        "none-is-zero",
        "No gradient is taken for a gradient of 0: moments fade, old momentum is followed.",
        optimizer=NoneIsZero,
    ),
    mutant(
        "step-count-lost",
        "Loading restores the moments and forgets the step: the next steps are too long.",
        optimizer=StepCountLost,
    ),
    mutant("state-aliases-moments", "The saved state changes as training goes on.", optimizer=StateAliases),
    mutant(
        "state-fits-anything",
        "A state that does not fit is skipped silently: training starts anew.",
        optimizer=FitsAnything,
    ),
    mutant("promotes", "A NumPy float64 scalar turns the float32 weights into float64.", optimizer=Promotes),
    mutant(
        "replaces-arrays",
        "New arrays each step: the model keeps computing with the old ones.",
        optimizer=ReplacesArrays,
    ),
    mutant("ignores-new-gradients", "Only the first gradient is ever used.", optimizer=OldGradients),
    mutant("no-guard", "One NaN in one gradient, and every later weight is NaN.", optimizer=NoGuard),
    mutant("guard-too-late", "The NaN is noticed after the parameters before it were updated.", optimizer=GuardTooLate),
    mutant("nan-setting", "`lr < 0` lets NaN and inf through.", optimizer=NanSetting),
    mutant(
        "writes-into-gradients",
        "Gradients are zeroed by the step, whoever else holds them.",
        optimizer=WritesIntoGradients,
    ),
)
