"""Gradient clipping and learning-rate schedules, right and broken, with the effect of each for a user."""

import math
from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest


def clip(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """The right one: one factor for all gradients, the norm in float64."""
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient's norm is not finite")
    if norm <= max_norm:
        return gradients, norm
    return {name: g * (max_norm / norm) for name, g in gradients.items()}, norm


def schedule(step: int, *, peak_lr: float, total_steps: int, warmup_steps: int, min_lr: float) -> float:
    """The right one: warm-up, half a cosine, minimum."""
    if step <= warmup_steps:
        return peak_lr * step / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps - 1) / max(1, total_steps - warmup_steps - 1))
    return min_lr + (peak_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * done))


CLIPPING_AND_SCHEDULE_MUTANTS: list[Mutant] = []


def mutant(name, field, made=lambda broken: broken):
    """The function below replaces the right one in the mutant; its docstring is the story."""

    def add(broken):
        sut = OptimizerUnderTest(name=name, **{"clip": clip, "schedule": schedule} | {field: made(broken)})
        CLIPPING_AND_SCHEDULE_MUTANTS.append(Mutant(name, sut, cleandoc(broken.__doc__)))
        return broken

    return add


@mutant("clips-each-tensor", "clip")
def clip_each_tensor(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Each tensor clipped by its own norm: the direction changes."""
    return {name: clip({name: g}, max_norm)[0][name] for name, g in gradients.items()}, clip(gradients, max_norm)[1]


@mutant("clips-each-entry", "clip")
def clip_each_entry(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Clipping by value instead of by norm."""
    return {name: g.clip(-max_norm, max_norm) for name, g in gradients.items()}, clip(gradients, max_norm)[1]


@mutant("norm-in-float32", "clip")
def clip_in_float32(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Squares overflow above 1.8e19: all gradients become 0."""
    norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients.values()))
    if math.isnan(norm):
        raise FloatingPointError("the gradient's norm is not finite")
    scale = min(1.0, max_norm / norm) if norm else 1.0
    return {name: g * scale for name, g in gradients.items()} if scale < 1 else gradients, norm


@mutant("always-scales", "clip")
def clip_always(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Small gradients are scaled up to the bound."""
    norm = clip(gradients, max_norm)[1]
    return {name: g * (max_norm / norm if norm else 1.0) for name, g in gradients.items()}, norm


@mutant("clips-nan", "clip")
def clip_nan(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """NaN is not greater than the bound, so it passes."""
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    return ({name: g * (max_norm / norm) for name, g in gradients.items()} if norm > max_norm else gradients), norm


@mutant("clips-to-1", "clip")
def clip_to_1(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Right for max_norm = 1 only."""
    norm = clip(gradients, max_norm)[1]
    return {name: g * (1 / norm) for name, g in gradients.items()} if norm > max_norm else gradients, norm


@mutant("clips-in-place", "clip")
def clip_in_place(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """The caller's gradients are scaled."""
    clipped, norm = clip(gradients, max_norm)
    for name, g in gradients.items():
        g[...] = clipped[name]
    return gradients, norm


@mutant("warmup-from-0", "schedule")
def schedule_from_0(step: int, *, warmup_steps: int, **plan: Any) -> float:
    """The first step of the warm-up has learning rate 0."""
    if step <= warmup_steps:
        return float(plan["peak_lr"] * (step - 1) / warmup_steps)
    return schedule(step, warmup_steps=warmup_steps, **plan)


@mutant("jump-after-warmup", "schedule")
def schedule_jumps(step: int, *, warmup_steps: int, **plan: Any) -> float:
    """The cosine does not start at the end of the warm-up: the learning rate jumps."""
    if step <= warmup_steps:
        return schedule(step, warmup_steps=warmup_steps, **plan)
    return schedule(step, warmup_steps=0, **plan)


@mutant("rises-again", "schedule")
def schedule_rises(step: int, **plan: Any) -> float:
    """Training beyond total_steps warms up again."""
    total, first = plan["total_steps"], plan["warmup_steps"] + 1
    if step <= total or total == first:
        return schedule(step, **plan)
    turn = math.cos(math.pi * (step - first) / (total - first))
    return float(plan["min_lr"] + (plan["peak_lr"] - plan["min_lr"]) * 0.5 * (1 + turn))


@mutant("remembers-steps", "schedule", made=lambda factory: factory())
def schedule_remembers() -> Callable[..., float]:
    """Counts its calls: a resumed run, or a call for the log, shifts it."""
    calls = 0

    def remembering(step: int, **plan: Any) -> float:
        nonlocal calls
        calls += 1
        return schedule(calls, **plan)

    return remembering
