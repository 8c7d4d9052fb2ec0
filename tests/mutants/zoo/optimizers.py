"""Optimizers, each the small right AdamW with one piece of it written wrong, and the effect of each for a user."""

import math
from inspect import cleandoc
from typing import Any

import numpy as np

from tests.mutants.zoo.small_adamw import Right, adapted
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.optimizers.under_test import Arrays

ADAMW_MUTANTS: list[Mutant] = []


def mutant(name, *cites):
    """The object below is the mutant of this name; its docstring is the story."""

    def add(broken):
        ADAMW_MUTANTS.append(Mutant(name, adapted(name, broken), cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("eps-scaled", "karpathy/nanochat#304", "pytorch/pytorch#22628")
class EpsScaled(Right):
    """eps is divided by the bias correction too: at step 1, g = 0.5, -0.0137 for -0.0833 (at eps 0.1)."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / ((np.sqrt(v) + self.eps) / math.sqrt(1 - beta2**t))


@mutant("eps-in-the-root")
class EpsInTheRoot(Right):
    """sqrt(vhat + eps): small gradients take steps that are too small."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + self.eps)


@mutant("no-bias-correction")
class NoBiasCorrection(Right):
    """No bias correction: the first steps are too short, since the moments start at 0."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        return m / (np.sqrt(v) + self.eps)


@mutant("v-uncorrected")
class VUncorrected(Right):
    """Only m is corrected: the first step is 1 / sqrt(1 - beta2) = 31 times too long."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        return m / (1 - self.betas[0] ** t) / (np.sqrt(v) + self.eps)


@mutant("steps-from-0")
class StepsFrom0(Right):
    """The step is counted after the update: the first divides by 1 - beta^0 = 0."""

    def step_one(self, name: str, g: Array) -> None:
        self.update(name, g)
        self.t[name] += 1


@mutant("climbs")
class Climbs(Right):
    """The step is added instead of subtracted."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        return -super().direction(m, v, t)


@mutant("betas-swapped")
class BetasSwapped(Right):
    """Each moment is corrected with the other's beta."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta2, beta1 = self.betas
        return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + self.eps)


@mutant("eps-never-0")
class EpsNever0(Right):
    """An eps below 1e-8 is silently raised: steps for tiny gradients are too short."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + max(self.eps, 1e-8))


@mutant("gradient-clipped-inside")
class ClippedInside(Right):
    """Entries of the gradient are clipped to +-1 inside the optimizer."""

    def update(self, name: str, g: Array) -> None:
        super().update(name, g.clip(-1, 1))


@mutant("quoted-bound")
class QuotedBound(Right):
    """Steps are clipped to lr max(1, (1-b1)/sqrt(1-b2)), which is often quoted as a bound but is not one."""

    def direction(self, m: Array, v: Array, t: int) -> Array:
        beta1, beta2 = self.betas
        most = max(1.0, (1 - beta1) / math.sqrt(1 - beta2))
        return super().direction(m, v, t).clip(-most, most)


@mutant("decay-without-lr", "joennlae/tensorli#1")
class DecayWithoutLr(Right):
    """p (1 - decay) in place of p (1 - lr decay): weights are gone in a few steps."""

    def update(self, name: str, g: Array) -> None:
        p, decay = self.parameters[name], self.decay_of(self.parameters[name])
        p *= 1 - decay
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept


@mutant("l2-in-the-gradient", "nntrainer/nntrainer#3565")
class L2InTheGradient(Right):
    """Adam with an L2 penalty, called AdamW: the decay is divided by sqrt(v)."""

    def update(self, name: str, g: Array) -> None:
        p = self.parameters[name]
        g = g + self.decay_of(p) * p
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept


@mutant("decay-after-the-step", "huggingface/transformers#14539")
class DecayAfter(Right):
    """Decay is applied after the step, to the new p (.870833 for .866667)."""

    def update(self, name: str, g: Array) -> None:
        p = self.parameters[name]
        decay = self.lr * self.decay_of(p)
        self.weight_decay, kept = 0.0, self.weight_decay
        super().update(name, g)
        self.weight_decay = kept
        p *= 1 - decay


@mutant("steps-per-tensor")
class StepsPerTensor(Right):
    """One step count for all parameters, increased by each of them."""

    def step_one(self, name: str, g: Array) -> None:
        t = max(self.t.values()) + 1
        self.t = dict.fromkeys(self.t, t)
        self.update(name, g)


@mutant("steps-for-all")
class StepsForAll(Right):
    """The step count of a parameter without a gradient is increased."""

    def step(self, gradients: Arrays) -> None:
        self.t = {name: t if name in gradients else t + 1 for name, t in self.t.items()}
        super().step(gradients)


@mutant("trust-ratio")
class TrustRatio(Right):
    """Gradients are normalised tensor by tensor."""

    def update(self, name: str, g: Array) -> None:
        super().update(name, g / max(float(np.linalg.norm(g)), 1e-6))


@mutant("decays-biases")
class DecaysBiases(Right):
    """Biases and gains decay like matrices."""

    def decay_of(self, p: Array) -> float:
        return self.weight_decay


@mutant("tied-twice")
class TiedTwice(Right):
    """A tied weight is updated once for each of its names."""

    def once_each(self, parameters: Arrays) -> list[str]:
        return list(parameters)

    def under_first_names(self, gradients: Arrays) -> Arrays:
        by_array = {id(self.parameters[name]): g for name, g in gradients.items()}
        return {name: by_array[id(p)] for name, p in self.parameters.items() if id(p) in by_array}


@mutant("tied-gradient-dropped")
class TiedDropped(Right):
    """A gradient under a tied weight's second name is ignored: nothing is learned."""

    def under_first_names(self, gradients: Arrays) -> Arrays:
        return gradients


@mutant("none-decays")
class NoneDecays(Right):
    """A parameter without a gradient decays."""

    def step(self, gradients: Arrays) -> None:
        super().step(gradients)
        for name in self.names:
            if name not in gradients:
                self.parameters[name] *= 1 - self.lr * self.decay_of(self.parameters[name])


@mutant("none-is-zero")
class NoneIsZero(Right):
    """A missing gradient is treated as 0: moments decay, and old momentum moves the parameter."""

    def step(self, gradients: Arrays) -> None:
        super().step({name: gradients.get(name, np.zeros_like(self.m[name])) for name in self.names})


@mutant("step-count-lost")
class StepCountLost(Right):
    """Loading restores the moments and forgets the step: the next steps are too long."""

    def load(self, state: Any) -> None:
        super().load(state)
        self.t = dict.fromkeys(self.t, 0)


@mutant("state-aliases-moments")
class StateAliases(Right):
    """The saved state changes as training goes on."""

    def state(self) -> Any:
        return {name: (self.t[name], self.m[name], self.v[name]) for name in self.names}


@mutant("state-fits-anything")
class FitsAnything(Right):
    """A state that does not fit is silently ignored: training starts anew."""

    def load(self, state: Any) -> None:
        if all(name in state and state[name][1].shape == self.m[name].shape for name in self.names):
            super().load({name: state[name] for name in self.names})


@mutant("promotes")
class Promotes(Right):
    """A NumPy float64 scalar turns the float32 weights into float64."""

    def update(self, name: str, g: Array) -> None:
        super().update(name, g)
        self.parameters[name] = self.parameters[name] * np.float64(1)


@mutant("replaces-arrays")
class ReplacesArrays(Right):
    """New arrays each step: the model keeps computing with the old ones."""

    def update(self, name: str, g: Array) -> None:
        self.parameters[name] = self.parameters[name].copy()
        super().update(name, g)


@mutant("ignores-new-gradients")
class OldGradients(Right):
    """Only the first gradient is ever used."""

    def update(self, name: str, g: Array) -> None:
        self.first = {name: g} | getattr(self, "first", {})
        super().update(name, self.first[name])


@mutant("no-guard")
class NoGuard(Right):
    """One NaN in one gradient, and every later weight is NaN."""

    def check_gradient(self, name: str, g: Array) -> None:
        pass


@mutant("guard-too-late")
class GuardTooLate(Right):
    """The NaN is noticed after the parameters before it were updated."""

    def step(self, gradients: Arrays) -> None:
        for name in self.names:
            if name in gradients:
                self.check_gradient(name, gradients[name])
                self.step_one(name, gradients[name])


@mutant("nan-setting")
class NanSetting(Right):
    """`lr < 0` lets NaN and inf through."""

    def check_settings(self, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0 or any(beta < 0 or beta >= 1 for beta in betas):
            raise ValueError("setting out of range")


@mutant("writes-into-gradients")
class WritesIntoGradients(Right):
    """The step sets the caller's gradients to 0."""

    def update(self, name: str, g: Array) -> None:
        super().update(name, g)
        g *= 0
