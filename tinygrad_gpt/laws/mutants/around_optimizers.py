"""Gradient clipping and learning-rate schedules, right (clip, schedule) and broken."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest


def clip(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """One factor for all, the norm in float64, as it should be."""
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient's norm is not finite")
    if norm <= max_norm:
        return gradients, norm
    return {name: g * (max_norm / norm) for name, g in gradients.items()}, norm


def schedule(step: int, *, peak_lr: float, total_steps: int, warmup_steps: int, min_lr: float) -> float:
    """Warm-up, half a cosine, minimum, as it should be."""
    if step <= warmup_steps:
        return peak_lr * step / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps - 1) / max(1, total_steps - warmup_steps - 1))
    return min_lr + (peak_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * done))


def clip_each_tensor(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Every tensor by its own norm: the direction of the whole turns."""
    return {name: clip({name: g}, max_norm)[0][name] for name, g in gradients.items()}, clip(gradients, max_norm)[1]


def clip_each_entry(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Entries cut to +-max_norm, as clip-by-value does."""
    return {name: g.clip(-max_norm, max_norm) for name, g in gradients.items()}, clip(gradients, max_norm)[1]


def clip_in_float32(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Squares of float32 gradients in float32: inf above 1.8e19, 0 below 1e-23."""
    norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients.values()))
    if math.isnan(norm):
        raise FloatingPointError("the gradient's norm is not finite")
    scale = min(1.0, max_norm / norm) if norm else 1.0
    return {name: g * scale for name, g in gradients.items()} if scale < 1 else gradients, norm


def clip_always(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Every gradient is scaled to the bound, small ones up."""
    norm = clip(gradients, max_norm)[1]
    return {name: g * (max_norm / norm if norm else 1.0) for name, g in gradients.items()}, norm


def clip_nan(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """NaN is not above any bound: it passes."""
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    return ({name: g * (max_norm / norm) for name, g in gradients.items()} if norm > max_norm else gradients), norm


def clip_to_1(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """Above the bound, scaled to norm 1 instead of to the bound."""
    norm = clip(gradients, max_norm)[1]
    return {name: g * (1 / norm) for name, g in gradients.items()} if norm > max_norm else gradients, norm


def clip_in_place(gradients: Arrays, max_norm: float) -> tuple[Arrays, float]:
    """The caller's arrays are scaled."""
    clipped, norm = clip(gradients, max_norm)
    for name, g in gradients.items():
        g[...] = clipped[name]
    return gradients, norm


def schedule_from_0(step: int, *, warmup_steps: int, **plan: Any) -> float:
    """The warm-up starts at 0: the first step is computed and thrown away."""
    if step <= warmup_steps:
        return float(plan["peak_lr"] * (step - 1) / warmup_steps)
    return schedule(step, warmup_steps=warmup_steps, **plan)


def schedule_jumps(step: int, *, warmup_steps: int, **plan: Any) -> float:
    """The cosine counts from step 1, not from the end of the warm-up: a jump where they meet."""
    if step <= warmup_steps:
        return schedule(step, warmup_steps=warmup_steps, **plan)
    return schedule(step, warmup_steps=0, **plan)


def schedule_rises(step: int, **plan: Any) -> float:
    """Nothing stops the cosine at total_steps: it comes up again."""
    total, first = plan["total_steps"], plan["warmup_steps"] + 1
    if step <= total or total == first:
        return schedule(step, **plan)
    turn = math.cos(math.pi * (step - first) / (total - first))
    return float(plan["min_lr"] + (plan["peak_lr"] - plan["min_lr"]) * 0.5 * (1 + turn))


def schedule_remembers() -> Callable[..., float]:
    """A schedule that counts its own calls, and so must be asked in order and only once."""
    calls = 0

    def remembering(step: int, **plan: Any) -> float:
        nonlocal calls
        calls += 1
        return schedule(calls, **plan)

    return remembering


def mutant(name: str, story: str, **functions: Any) -> Mutant:
    """The right clipping and schedule, with this one in place of its like."""
    return Mutant(name, OptimizerUnderTest(name=name, **{"clip": clip, "schedule": schedule} | functions), story)


AROUND_MUTANTS = (
    mutant("clips-each-tensor", "Each tensor clipped by its own norm: the direction changes.", clip=clip_each_tensor),
    mutant("clips-each-entry", "Clipping by value where the norm was promised.", clip=clip_each_entry),
    mutant("norm-in-float32", "Squares overflow above 1.8e19: all gradients become 0.", clip=clip_in_float32),
    mutant("always-scales", "Small gradients are scaled up to the bound.", clip=clip_always),
    mutant("clips-nan", "NaN compares as not above the bound, and passes.", clip=clip_nan),
    mutant("clips-to-1", "Right for max_norm = 1 only.", clip=clip_to_1),
    mutant("clips-in-place", "The caller's gradients are scaled.", clip=clip_in_place),
    mutant("warmup-from-0", "The first step of the warm-up has learning rate 0.", schedule=schedule_from_0),
    mutant("jump-after-warmup", "The cosine is not where the warm-up ends.", schedule=schedule_jumps),
    mutant("rises-again", "Training beyond total_steps warms up again.", schedule=schedule_rises),
    mutant(
        "remembers-steps",
        "Counts its calls: a resumed run, or a log that asks, shifts it.",
        schedule=schedule_remembers(),
    ),
)
