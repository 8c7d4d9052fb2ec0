"""At a terminal: errors without colour codes in them, samples that no terminal takes for commands."""

import io
import os
import shlex
import shutil
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import call
from tests.cli.runs import FLAGS
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.terminal import busy_line, escape_controls, escape_controls_in, fold, shell_quote
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import prepare
from tinygrad_gpt.cli.train.report import (
    count_in_words,
    first_example,
    generate_command,
    losses_in_words,
    sample_paragraph,
)
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.sampling.chart import display_width

BIDI = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")  # what turns the direction of writing around


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
    lines = sample_paragraph("word " * 50 + "\x1b[2J\n" + "x" * 100).splitlines()
    assert len(lines) >= 5
    assert all(line.startswith(" " * 7) and len(line) <= 80 and line.isprintable() for line in lines)


@given(st.text(max_size=300), st.integers(2, 40))
def test_folding_keeps_every_word_and_no_line_is_too_wide(text, width):
    text = " ".join(text.split())
    lines = fold(text, width).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(display_width(line) <= width for line in lines)
    assert fold("日本語の文章には空白がない", 10) == "日本語の文\n章には空白\nがない"


@given(st.text(max_size=40) | st.text(st.sampled_from("a\r\n\t\x1b\x07\x9b\u202e日"), max_size=40), st.data())
def test_at_a_terminal_no_control_character_is_left_and_all_else_is_as_it_was(text, data):
    shown = escape_controls(text)
    for c in shown.replace("\r\n", ""):
        assert c in "\n\t" or not (unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) in BIDI)
    plain = "".join(c for c in text if unicodedata.category(c) != "Cc" and unicodedata.bidirectional(c) not in BIDI)
    assert escape_controls(plain) == plain
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    assert "".join(escape_controls_in(pieces)) == shown


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_quoted_word_is_one_line_and_reaches_the_command_as_it_was():
    words = [
        "it's",
        '$HOME `x` \\ "',
        "two\nlines\t\r",
        "\x1b[2J7",
        "\x9b1",
        "日\u3000本",
        "a\u202eb",
        os.fsdecode(b"\xff.txt"),
    ]
    command = "printf '%s\\0' " + " ".join(map(shell_quote, words))
    assert len(command.splitlines()) == 1
    assert escape_controls(command) == command
    done = subprocess.run(["bash", "-c", os.fsencode(command)], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)


@pytest.mark.parametrize("kind", ["bytes", "gpt2", "compact", "chars"])
@pytest.mark.parametrize(
    "text",
    [
        "GATTACA" * 300,
        "天地玄黃宇宙洪荒日月盈昃辰宿列張" * 60,
        "🙂" * 700,
        "internationalisation of " * 90,
        "a\rb\r" * 400,
    ],
)
def test_the_prompt_of_the_samples_is_short_in_every_script(tmp_path, kind, text):
    (tmp_path / "text.txt").write_bytes(text.encode())
    folder = RunFolder("run", "name")
    plan = prepare(parse(Train, ["text.txt", *FLAGS.split(), "--tokenizer", kind, "--steps", "1"], "train"), folder)
    prompt = plan.corpus.tokenizer.decode(plan.prompt)
    assert 1 <= len(prompt) <= 24
    assert text.startswith(prompt)
    command = generate_command(plan, Path("runs/text-1"))
    assert len(command) < 120
    assert shlex.split(command)[3] == prompt


@pytest.mark.parametrize("blanks", ["\n" * 999 + "\u3000" * 1500, " \t" * 2500])
@pytest.mark.parametrize("limit", ["256", "0"])
def test_the_prompt_is_the_first_words_after_any_space(tmp_path, blanks, limit):
    (tmp_path / "text.txt").write_bytes((blanks + "天地 and more words. " * 99).encode())
    options = parse(Train, ["text.txt", *FLAGS.split(), "--steps", "1", "--max-text-mb", limit], "train")
    with RunFolder("run", "name") as folder:
        plan = prepare(options, folder)
    assert plan.corpus.tokenizer.decode(plan.prompt) == "天地 and more words."


def test_a_long_prompt_of_ones_own_is_not_repeated_in_the_command(tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be. " * 90)
    flags = ["text.txt", *FLAGS.split(), "--steps", "1", "--sample-prompt", "To be, or not to be. " * 9]
    plan = prepare(parse(Train, flags, "train"), RunFolder("run", "name"))
    assert len(plan.prompt) == 21 * 9
    assert "'To be, or not' --temp" in generate_command(plan, Path("run"))


def test_the_header_shows_the_bytes_of_a_token_that_is_part_of_a_character(tmp_path):
    (tmp_path / "text.txt").write_text("“né” " * 200, encoding="utf-8")
    plan = prepare(parse(Train, ["text.txt", *FLAGS.split(), "--steps", "1"], "train"), RunFolder("run", "name"))
    shown = "".join(first_example(plan).values())
    assert "\ufffd" not in shown
    assert "b'\\x" in shown


@pytest.mark.usefixtures("plain_plots")
def test_what_names_and_samples_hold_is_harmless_in_the_report(tmp_path):
    name = "a\x1b[31mred.txt"
    (tmp_path / name).write_text("\x1b[2J\u202eabc " * 99)
    flags = [*FLAGS.split(), "--tokenizer", "chars", "--steps", "2", "--out", "r\x1b[0m"]
    done = call("train", name, *flags)
    assert done.code == 0
    assert escape_controls(done.out) == done.out
    assert r"a\x1b[31mred.txt" in done.out
    assert "\x1b" in (tmp_path / "r\x1b[0m" / "sample.txt").read_text("utf-8")


def test_numbers_of_things():
    assert [count_in_words(n, "step") for n in (0, 1, 2000)] == ["0 steps", "1 step", "2,000 steps"]


def evaluation(step, train, val):
    return {"step": step, "epoch": step / 10, "train_loss": train, "val_loss": val, "perplexity": 2.0}


class Plan:
    class model:  # noqa: N801
        class config:  # noqa: N801
            vocab_size = 9


def losses_by_the_end(folder, evaluations):
    return losses_in_words(Plan, folder, evaluations, evaluations[-1]["step"] if evaluations else 0)


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
    huge = losses_in_words(Plan, tmp_path, [evaluation(0, 5.0, 12345.0), evaluation(4, 1.3e15, 123456.0)], 5)
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


@pytest.mark.skipif(os.name == "nt", reason="a shell's way to close a stream")
@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_a_closed_stream_is_written_to_without_a_traceback(run, tmp_path, closed):
    command = f'"{sys.executable}" -m tinygrad_gpt evaluate "{run}" --no-progress {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ("perplexity" in done.stdout) == (closed == "2>&-")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_takes_long_is_said_at_a_terminal_while_it_lasts(monkeypatch, is_terminal):
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr("sys.stderr", stderr)
    with busy_line("drawing weights"):
        assert stderr.getvalue() == ("drawing weights ..." if is_terminal else "")
    assert stderr.getvalue().split("\r")[-1] == ""
    assert not stderr.getvalue().split("\r")[-2 if is_terminal else -1].strip()
