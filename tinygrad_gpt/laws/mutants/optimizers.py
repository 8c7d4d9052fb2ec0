"""Broken optimizers, and what each does to its user."""

from typing import Any

from tinygrad_gpt.laws.mutants.broken_adamw import (
    BetasSwapped,
    Climbs,
    ClippedInside,
    DecayAfter,
    DecaysBiases,
    DecayWithoutLr,
    EpsInTheRoot,
    EpsNever0,
    EpsScaled,
    FitsAnything,
    GuardTooLate,
    L2InTheGradient,
    NanSetting,
    NoBiasCorrection,
    NoGuard,
    NoneDecays,
    NoneIsZero,
    OldGradients,
    Promotes,
    QuotedBound,
    ReplacesArrays,
    StateAliases,
    StepCountLost,
    StepsForAll,
    StepsFrom0,
    StepsPerTensor,
    TiedDropped,
    TiedTwice,
    TrustRatio,
    VUncorrected,
    WritesIntoGradients,
)
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.mutants.small_adamw import RIGHT_OPTIMIZER as RIGHT_OPTIMIZER
from tinygrad_gpt.laws.mutants.small_adamw import Right, adapted


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
