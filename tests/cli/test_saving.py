"""What cannot be written, twice what is wanted by two, and numbers that are not finite: said, survived, resumed."""

import fcntl
import io
import json
import os
import platform
import re
import shutil
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np
import pytest

from tests.cli.conftest import call
from tests.cli.runs import SHORT, StopAt, assert_same, log, score_by_step, state
from tests.debug.test_nonfinite import plant
from tinygrad_gpt import ops
from tinygrad_gpt.checkpoints import Checkpoints, load_checkpoint
from tinygrad_gpt.checkpoints.folder import step_of
from tinygrad_gpt.cli import COMMANDS, main
from tinygrad_gpt.cli.train import evaluation, recorder, saver
from tinygrad_gpt.debug import crash, replay
from tinygrad_gpt.training import loop

pytestmark = pytest.mark.usefixtures("plain_plots")


FULL = OSError(28, "No space left on device")


def failing(monkeypatch, owner, name, calls):
    """Of the calls of a function, those with these numbers (from 0) fail as on a full disk."""
    function, count = getattr(owner, name), [0]

    def maybe(*args, **settings):
        count[0] += 1
        if count[0] - 1 in calls:
            raise FULL
        return function(*args, **settings)

    monkeypatch.setattr(owner, name, maybe)


def test_a_save_that_fails_once_is_tried_again(monkeypatch, text, whole, tmp_path):
    failing(monkeypatch, Checkpoints, "save", {1})
    failing(monkeypatch, saver, "save_checkpoint", {0})
    result = call("train", text, *SHORT, "--out", "run")
    assert (result.code, result.err) == (0, "")
    assert_same(tmp_path / "run", whole)


def test_a_save_that_fails_twice_is_told_and_the_run_goes_on(monkeypatch, text, whole, tmp_path):
    failing(monkeypatch, Checkpoints, "save", {1, 2})
    failing(monkeypatch, saver, "save_checkpoint", {0, 1})
    result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 0
    assert result.err.splitlines() == [
        "WARNING: step 4: checkpoints not written: No space left on device; the newest is of step 2",
        "WARNING: step 5: model.safetensors not written: No space left on device",
    ]
    assert log(tmp_path / "run") == log(whole)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_last_save_that_fails_is_an_error_and_can_be_made_good(monkeypatch, text, whole, tmp_path):
    with monkeypatch.context() as patch:
        failing(patch, Checkpoints, "save", range(3, 99))
        result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        "tinygrad-gpt train: could not save everything of step 7 in run: checkpoints: No space left on device"
    )
    assert "generate" not in result.out.splitlines()[-1]
    assert call("train", "--resume", "run").code == 0
    assert_same(tmp_path / "run", whole)


def test_a_log_that_cannot_be_written_for_a_while_is_whole_in_the_end(monkeypatch, text, whole, tmp_path):
    failing(monkeypatch, os, "write", range(4, 9))
    result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 0
    assert result.err.count("log.jsonl not written: No space left on device\n") == 1
    assert_same(tmp_path / "run", whole)


def usage(free):
    return lambda path: shutil._ntuple_diskusage(10**9, 10**9 - free, free)


def test_a_disk_too_small_is_told_before_the_training(monkeypatch, text, whole, tmp_path):
    needed = 4 * load_checkpoint(whole / "model.safetensors").model.n_parameters * (3 * 5 + 2)
    monkeypatch.setattr(shutil, "disk_usage", usage(needed - 1000))
    result = call("train", text, *SHORT, "--out", "new/run")
    assert (result.code, result.err.count("\n"), result.out) == (2, 1, "")
    assert "free, the run needs about" in result.err
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", usage(needed))
    assert call("train", text, *SHORT, "--out", "run").code == 0
    monkeypatch.setattr(shutil, "disk_usage", usage(needed - 100_000))  # what is to be replaced makes room
    assert call("train", text, *SHORT, "--out", "run", "--overwrite").code == 0


def test_a_disk_that_takes_nothing_is_told_before_the_training(monkeypatch, text, tmp_path):
    failing(monkeypatch, os, "fsync", {0})
    result = call("train", text, *SHORT, "--out", "new/run")
    assert (result.code, result.out) == (2, "")
    assert result.err == "tinygrad-gpt train: cannot use 'new/run': No space left on device\n"
    assert not list(tmp_path.iterdir())


def hold(folder):
    """Take a run's lock as another process would; the open file."""
    file = open(folder / "run.lock", "w+")  # noqa: SIM115 (it stays open)
    json.dump({"pid": 4242, "host": platform.node()}, file)
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_two_runs_in_one_folder_are_refused(text, tmp_path):
    with StopAt(8):
        assert call("train", text, *SHORT, "--out", "run").code == 130
    before = state(tmp_path / "run")
    with hold(tmp_path / "run"):
        for argv in (
            ["--resume", "run"],
            [text, *SHORT, "--out", "run"],
            [text, *SHORT, "--out", "run", "--overwrite"],
        ):
            result = call("train", *argv)
            assert (result.code, result.out) == (2, "")
            assert "is in use by the run of process 4242" in result.err
    (tmp_path / "run" / "run.lock").write_text("")  # its owner was killed before it wrote its name
    assert call("train", "--resume", "run", "--emb-dim", "16").code == 2
    (tmp_path / "run" / "run.lock").unlink(missing_ok=True)
    assert state(tmp_path / "run") == before


def plant_at(monkeypatch, steps, way):
    """A nan in the first gelu of these training steps, and when they are looked at again."""
    update, find = loop.update, crash.find_nonfinite

    def broken_update(model, optimizer, ids, targets, step, *rest):
        with pytest.MonkeyPatch.context() as patch:
            if step in steps:
                plant(patch, ops.gelu, way)
            return update(model, optimizer, ids, targets, step, *rest)

    def broken_find(*args, **settings):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch, ops.gelu, way)
            return find(*args, **settings)

    monkeypatch.setattr(loop, "update", broken_update)
    monkeypatch.setattr(crash, "find_nonfinite", broken_find)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_what_is_not_finite_stops_the_run_and_is_kept(monkeypatch, text, whole, tmp_path, way):
    with monkeypatch.context() as patch:
        plant_at(patch, {5}, way)
        result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith("tinygrad-gpt train: step 5: loss")
    assert f"gelu, on the way {'back' if way == 'backward' else way}, made 1 nan in" in line
    folder = tmp_path / "run" / "crash"
    assert "crash/" in line
    with monkeypatch.context() as patch:
        plant(patch, ops.gelu, way)
        found = replay(folder)
    assert str(found) in line
    assert found.report() in (folder / "report.txt").read_text("utf-8")
    assert replay(folder) is None  # it was not the model's fault
    saved = json.loads((folder / "step.json").read_text("utf-8"))
    assert (saved["step"], saved["seed"]) == (5, 123)
    assert sorted(load_checkpoint(path).step for path in (tmp_path / "run" / "checkpoints").iterdir()) == [2, 4]
    assert load_checkpoint(tmp_path / "run" / "model.safetensors").step == 4
    result = call("train", "--resume", "run")
    assert (result.code, result.err) == (0, "")
    assert_same(tmp_path / "run", whole)


def test_what_a_gpu_notices_late_stops_the_run_in_its_step(monkeypatch, text, tmp_path):
    update = loop.update

    def late(model, optimizer, ids, targets, step, *rest):
        loss, norm = update(model, optimizer, ids, targets, step, *rest)
        return (np.float32(np.inf), norm) if step == 5 else (loss, norm)

    monkeypatch.setattr(loop, "update", late)
    result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 1
    assert "step 5: loss inf, which is not finite; when the step ran again, everything was finite" in result.err
    assert log(tmp_path / "run")[-1]["step"] == 4


@pytest.mark.parametrize("stop", [4, 15])
def test_steps_that_are_not_finite_can_be_skipped(monkeypatch, text, tmp_path, stop):
    plant_at(monkeypatch, {2, 3, 6}, "forward")
    flags = [*SHORT, "--on-nonfinite", "skip"]
    result = call("train", text, *flags, "--out", "whole")
    assert result.code == 0
    assert [line[:24] for line in result.err.splitlines()] == [f"WARNING: skipped: step {n}" for n in (2, 3, 6)]
    assert "skipped     3 steps that were not finite" in result.out
    skipped = [line["step"] for line in log(tmp_path / "whole") if "skipped" in line]
    assert skipped == [2, 3, 6]
    with StopAt(stop):
        assert call("train", text, *flags, "--out", "run").code == 130
    assert call("train", "--resume", "run").code == 0
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_too_many_skipped_in_a_row_stop_the_run_resumed_or_not(monkeypatch, text, tmp_path):
    plant_at(monkeypatch, range(3, 99), "forward")
    flags = [*SHORT, "--on-nonfinite", "skip", "--steps", "20", "--checkpoint-every", "6"]
    first = call("train", text, *flags, "--out", "run")
    assert first.code == 1
    assert "step 13: loss nan" in first.err
    assert "the 10 steps before it were skipped" in first.err
    second = call("train", "--resume", "run")
    assert second.code == 1
    assert "step 13: loss nan" in second.err.splitlines()[-1]
    lines = [line for line in log(tmp_path / "run") if line["event"] == "step"]
    assert [line["step"] for line in lines] == [*range(1, 13)]
    assert ["skipped" in line for line in lines] == [False] * 2 + [True] * 10
    assert call("train", text, *flags, "--out", "whole").code == 1
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_a_plot_that_cannot_be_drawn_is_told_and_the_run_is_complete(monkeypatch, text, whole, tmp_path):
    failing(monkeypatch, recorder, "plot_losses", range(99))
    result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 1
    assert result.err.splitlines() == [
        "WARNING: step 7: loss.png not written: No space left on device",
        "tinygrad-gpt train: could not save everything of step 7 in run: loss.png: No space left on device",
    ]
    assert log(tmp_path / "run") == log(whole)
    assert "is complete" in call("train", "--resume", "run").out


def test_a_matplotlib_that_cannot_be_loaded_is_told_and_costs_the_plot_alone(program, text, whole, tmp_path):
    done = program("train", text, *SHORT, "--out", "run", MPLBACKEND="nonsense")
    assert done.returncode == 1
    warning, last = done.stderr.splitlines()
    assert warning.startswith("WARNING: step 7: loss.png not written: matplotlib cannot be loaded (Key backend: ")
    assert last.startswith("tinygrad-gpt train: could not save everything of step 7 in run: loss.png: matplotlib")
    assert log(tmp_path / "run") == log(whole)


def test_a_plot_that_cannot_be_drawn_hides_no_crash(monkeypatch, text, tmp_path):
    plant_at(monkeypatch, {5}, "forward")
    failing(monkeypatch, recorder, "plot_losses", range(99))
    result = call("train", text, *SHORT, "--out", "run")
    assert result.code == 1
    assert "gelu, on the way forward, made 1 nan in" in result.err.splitlines()[-1]
    assert len(list((tmp_path / "run" / "crash").iterdir())) == 3


def test_a_last_loss_that_is_not_finite_is_no_traceback(text):
    result = call("train", text, *SHORT, "--steps", "1", "--warmup-steps", "0", "--lr", "1e30", "--out", "run")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^val loss +5\.\d+ -> -$", result.out, re.MULTILINE)


def test_a_stop_s_checkpoint_is_not_the_best(monkeypatch, text, tmp_path):
    losses = {2: 1.0, 5: 0.5}
    score_by_step(monkeypatch, lambda step: losses.get(step, 2.0))
    flags = [*SHORT, "--steps", "10", "--eval-every", "5"]
    assert call("train", text, *flags, "--out", "whole").code == 0
    assert sorted(step_of(path) for path in (tmp_path / "whole" / "checkpoints").iterdir()) == [2, 8, 10]

    def stopped(*_, **__):
        signal.raise_signal(signal.SIGINT)
        yield [0]

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "generate", stopped)  # the sample after step 5
        assert call("train", text, *flags, "--out", "run").code == 130
    assert call("train", "--resume", "run").code == 0
    assert_same(tmp_path / "run", tmp_path / "whole")


class Full(io.RawIOBase):
    """A file on a disk that is full, until it is not."""

    full = True

    def writable(self):
        return True

    def write(self, data):
        if self.full:
            raise FULL
        return len(data)


@contextmanager
def full_stdout(*, stderr_too=False):
    """stdout on a full disk; stderr there too, or as text."""
    raw, err = Full(), io.StringIO()
    out = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=stderr_too)
    with redirect_stdout(out), redirect_stderr(out if stderr_too else err):
        yield err
        raw.full = False
        sys.stdout.flush()


def test_a_run_whose_output_is_full_is_trained_to_its_end(text, whole, tmp_path):
    with full_stdout() as err:
        code = main(["train", str(text), *SHORT, "--out", "run"])
    assert err.getvalue().splitlines() == [
        "WARNING: step 0: standard output not written: No space left on device",
        "tinygrad-gpt train: could not save everything of step 7 in run: standard output: No space left on device",
    ]
    assert code == 1
    assert_same(tmp_path / "run", whole)


def test_neither_output_nor_errors_need_be_written(text, whole, tmp_path):
    with full_stdout(stderr_too=True):
        code = main(["train", str(text), *SHORT, "--out", "run"])
    assert code == 1
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("argv", [["--help"], ["explain", "gelu"]])
def test_output_that_cannot_be_written_is_one_line(argv):
    with full_stdout() as err:
        code = main(argv)
    name = " ".join(["tinygrad-gpt", *argv[:1]]) if argv[0] in COMMANDS else "tinygrad-gpt"
    assert (code, err.getvalue()) == (1, f"{name}: standard output not written: No space left on device\n")
