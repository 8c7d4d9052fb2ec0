"""Broken engines, and what each does to its user."""

from typing import Any

from tinygrad_gpt.laws.mutants.broken_engines import (
    AddsInPlace,
    AnyStart,
    Circular,
    DoublingSecondWalk,
    ErrorStopsRecording,
    EveryPath,
    FactorOff,
    GradientsForConstants,
    IntegersMayAsk,
    KeepsAnswers,
    KeepsGradients,
    KeepsLosses,
    LastUseWins,
    LeavesOff,
    Nameless,
    NearestFirst,
    OneSwitch,
    RecordsConstants,
    Recursive,
    Remembers,
    Replaces,
    SavesByReference,
    SharesGradients,
    SilentSecondWalk,
    SwitchesOn,
    ZerosForAll,
)
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.mutants.small_engine import RIGHT_ENGINE as RIGHT_ENGINE
from tinygrad_gpt.laws.mutants.small_engine import Engine, under_test


def mutant(name: str, engine: type[Engine], story: str, *cites: str, **claims: Any) -> Mutant:
    """One of the engines above, with its story."""
    return Mutant(name, under_test(name, engine(), **claims), story, cites)


ENGINE_MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "the-last-use-wins",
        LastUseWins,
        "A value used twice gets the gradient of one use.",
        "karpathy/micrograd#64",
        "apache/mxnet#17989",
    ),
    mutant(
        "adds-in-place",
        AddsInPlace,
        "Adds into an array that add has handed to two parents: (a + b) + a gives b a gradient of 2.",
    ),
    mutant("recursion", Recursive, "A thousand operations in a row raise RecursionError.", "karpathy/micrograd#90"),
    mutant(
        "nearest-first",
        NearestFirst,
        "Visits a node before all its gradients have come, so those of deeper uses are lost.",
        "karpathy/micrograd#68",
    ),
    mutant("every-path-by-itself", EveryPath, "Thirty levels of x + x take a thousand million steps."),
    mutant("backward-replaces", Replaces, "Gradients of micro-batches are not summed: only the last one counts."),
    mutant("any-dloss-will-do", AnyStart, "A gradient of a wrong shape is broadcast.", "pytorch/pytorch#1198"),
    mutant("remembers-everything", Remembers, "A global list keeps the graph of the last steps alive."),
    mutant("points-at-its-children", Circular, "Reference cycles: memory grows until the collector runs."),
    mutant("a-second-walk-is-silent", SilentSecondWalk, "A second backward does nothing, or half, without a word."),
    mutant(
        "a-second-walk-doubles", DoublingSecondWalk, "A second backward adds another amount.", second_backward="same"
    ),
    mutant("records-constants", RecordsConstants, "Evaluation builds a graph, and memory grows with it."),
    mutant("an-error-stops-recording", ErrorStopsRecording, "After one failed operation nothing learns any more."),
    mutant(
        "saves-by-reference", SavesByReference, "Gradients change with arrays written to since, though declared safe."
    ),
    mutant("zeros-for-all", ZerosForAll, "Unused parameters get a gradient of 0, so weight decay shrinks them."),
    mutant("constants-get-gradients", GradientsForConstants, "Constants are given gradients nobody asked for."),
    mutant("integers-may-ask", IntegersMayAsk, "An integer leaf may ask for a gradient."),
    mutant("one-switch-for-all-threads", OneSwitch, "One thread evaluates, and another stops learning."),
    mutant("an-error-leaves-the-switch-off", LeavesOff, "After an interrupted evaluation nothing is recorded."),
    mutant("the-inner-block-switches-on", SwitchesOn, "After a nested no_grad the outer one records again."),
    mutant("a-guard-without-a-name", Nameless, "Says nan, and not where."),
    mutant("a-factor-off", FactorOff, "One of two gradients of a product is half as large again."),
    mutant("keeps-every-gradient", KeepsGradients, "A list of all gradients grows with every step."),
    mutant("keeps-every-loss", KeepsLosses, "A list of all losses grows with every step: slowly, and for ever."),
    mutant(
        "keeps-what-a-vjp-returned",
        KeepsAnswers,
        "Stores the array that a vjp returned, which the operation may have saved for another walk.",
    ),
    mutant("one-gradient-for-two-leaves", SharesGradients, "Scaling one gradient in place scales another."),
)
