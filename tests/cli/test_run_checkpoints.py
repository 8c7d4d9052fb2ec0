"""The commands that read a run take one of its checkpoints, and the newest where there is nothing else yet."""

import shutil

import pytest

from tests.cli.conftest import call
from tests.cli.runs import SHORT
from tinygrad_gpt.cli.train.session import Session

READERS = [
    ["generate", "RUN", "To be", "--max-new-tokens", "3"],
    ["evaluate", "RUN", "TEXT"],
    ["sampling", "RUN", "To be", "--tokens", "3"],
    ["trace", "RUN", "--text", "To be, or not to be, that is"],
]
pytestmark = pytest.mark.usefixtures("plain_plots")


def read(reader, run, text, *flags):
    places = {"RUN": run, "TEXT": text}
    return call(*[places.get(word, word) for word in reader], *flags)


def without_times(out):
    """The numbers with a point: times of ops are whole microseconds."""
    return [word for line in out.splitlines() if " ms" not in line for word in line.split() if "." in word]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
def test_a_checkpoint_is_read_as_the_model_of_its_step(whole, text, tmp_path, reader):
    for step, asked in ((6, "6"), (7, "7"), (7, "newest")):
        flags = [*SHORT, "--steps", step, "--decay-steps", "6", "--overwrite"]
        assert call("train", text, *flags, "--out", asked).code == 0
        shutil.copytree(tmp_path / asked, tmp_path / "run", dirs_exist_ok=True)
        got = read(reader, "run", text, "--checkpoint", asked)
        assert (got.code, got.err) == (0, "")
        assert without_times(got.out) == without_times(read(reader, "run", text).out)


def test_the_best_is_the_one_with_the_lowest_validation_loss(text, tmp_path):
    flags = ["--steps", "30", "--lr", "1", "--eval-every", "2"]
    out = call("train", text, *SHORT, *flags, "--out", "run").out
    step = next(line.split()[4].rstrip(",") for line in out.splitlines() if line.startswith("lowest"))
    best, same, last = (
        call("evaluate", "run", text, *flags).out for flags in (["--checkpoint", "best"], ["--checkpoint", step], [])
    )
    assert best == same != last
    assert best.splitlines()[0] == f"checkpoint      of step {step}"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
def test_a_run_that_has_no_model_yet_is_read_from_its_newest_checkpoint(whole, text, tmp_path, reader):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    got = read(reader, "run", text)
    assert got.code == 0
    note = "RUN 'run' has no model.safetensors yet: this is its newest checkpoint, after step 7"
    assert got.err.splitlines() == [f"note: {note}"]
    assert without_times(got.out) == without_times(read(reader, whole, text).out)


def test_a_run_is_read_while_it_goes_on(text, tmp_path, monkeypatch):
    seen, after_step = [], Session.after_step

    def look(session):
        after_step(session)
        seen.append(call("generate", "run", "To be", "--max-new-tokens", "1"))

    monkeypatch.setattr(Session, "after_step", look)
    assert call("train", text, *SHORT, "--out", "run").code == 0
    assert [result.code for result in seen] == [2, 2, *[0] * 6]  # before step 2 there is nothing to read
    assert "RUN 'run' is not a run folder: it has no model.safetensors" in seen[0].err
    assert "this is its newest checkpoint, after step 4" in seen[4].err
    assert seen[5].err == ""  # the epoch's end
    assert seen[6].err == "note: model.safetensors is of step 5; there is a checkpoint of step 6: --checkpoint newest\n"
    assert seen[7].err == ""


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("3", "RUN '{run}' has no checkpoint of step 3; it has those of steps "),
        ("last", ": --checkpoint must be best, newest or a step; got 'last'"),
        ("", ": --checkpoint must be best, newest or a step; got ''"),
    ],
)
def test_another_checkpoint_is_one_line(whole, text, reader, asked, reason):
    got = read(reader, whole, text, f"--checkpoint={asked}")
    assert (got.code, got.out, got.err.count("\n")) == (2, "", 1)
    assert reason.format(run=whole) in got.err


def test_a_trace_without_a_run_has_no_checkpoint():
    got = call("trace", "--checkpoint", "best")
    assert (got.code, got.out) == (2, "")
    assert "--checkpoint best needs RUN, whose checkpoint it is" in got.err
