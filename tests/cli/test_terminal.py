"""At a terminal: errors without colour codes in them, samples that no terminal takes for commands."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import call
from tests.cli.runs import FLAGS
from tinygrad_gpt.cli.session import wrapped
from tinygrad_gpt.cli.train_report import count, losses


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--lr"], "--lr needs a value: a number, at least 0"),
        (["--lr", "x"], "--lr must be a number, at least 0; got 'x'"),
    ],
)
def test_an_error_is_the_same_line_at_a_terminal(program, flags, line):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "TERM": "x"}
    command = [sys.executable, "-m", "tinygrad_gpt", "train", *flags]
    master, terminal = os.openpty()
    try:
        done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, env=environment, encoding="utf-8")
    finally:
        os.close(terminal)
        os.close(master)
    assert (done.returncode, done.stderr) == (2, f"tinygrad-gpt train: {line}\n")


def test_a_sample_is_a_paragraph_of_80_columns():
    lines = wrapped("word " * 50 + "\x1b[2J\n" + "x" * 100).splitlines()
    assert len(lines) >= 5
    assert all(line.startswith(" " * 7) and len(line) <= 80 and line.isprintable() for line in lines)


def test_numbers_of_things():
    assert [count(n, "step") for n in (0, 1, 2000)] == ["0 steps", "1 step", "2,000 steps"]


def evaluation(step, train, val):
    return {"step": step, "epoch": step / 10, "train_loss": train, "val_loss": val, "perplexity": 2.0}


class Plan:
    class model:  # noqa: N801
        class config:  # noqa: N801
            vocab_size = 9


def losses_by_the_end(folder, evaluations):
    return losses(Plan, folder, evaluations, evaluations[-1]["step"] if evaluations else 0)


def test_the_summary_says_where_the_validation_loss_was_lowest(tmp_path):
    falling = [evaluation(0, 5.0, 5.0), evaluation(4, 4.0, 4.5), evaluation(8, 3.0, 4.4)]
    assert losses_by_the_end(tmp_path, falling)["val loss"] == "5.000 -> 4.400"
    assert not {"lowest", "overfitting"} & losses_by_the_end(tmp_path, falling).keys()
    rising = [*falling, evaluation(12, 2.0, 5.5)]
    assert losses_by_the_end(tmp_path, rising)["lowest"] == "4.400 at step 8"
    assert "overfitting" in losses_by_the_end(tmp_path, rising)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-00000008.safetensors").touch()
    assert losses_by_the_end(tmp_path, rising)["lowest"].endswith(
        ", kept as checkpoints/checkpoint-00000008.safetensors"
    )
    assert "overfitting" not in losses_by_the_end(tmp_path, [*falling, evaluation(12, 3.5, 5.5)])  # both rose
    assert "overfitting" not in losses_by_the_end(tmp_path, [*falling, evaluation(12, 2.0, 4.41)])


def test_what_is_not_there_is_left_out(tmp_path):
    assert losses_by_the_end(tmp_path, []) == {}
    one = losses_by_the_end(tmp_path, [evaluation(0, 5.0, None)])
    assert (one["train loss"], one["val loss"]) == ("5.000", "")
    huge = losses(Plan, tmp_path, [evaluation(0, 5.0, 12345.0), evaluation(4, 1.3e15, 123456.0)], 5)
    assert huge["train loss"] == "5.000 -> 1.30e+15, at step 4"
    assert huge["val loss"] == "12345.000 -> 1.23e+05, at step 4"


def test_without_a_validation_part_and_with_one_step(tmp_path):
    (tmp_path / "short.txt").write_text("To be, or not to be", encoding="utf-8")
    flags = [*FLAGS.split(), "--val-fraction", "0", "--steps", "1"]
    result = call("train", "short.txt", *flags, "--out", "run")
    assert (result.code, result.err) == (0, "")
    assert "- -> -" not in result.out
    assert "1 layer, 2 heads" in result.out
    assert "training    1 step of 2 x 8 tokens, 1 step an epoch" in result.out
