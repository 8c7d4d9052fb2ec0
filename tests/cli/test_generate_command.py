"""Text from a trained model: the same for the same seed, streamed whole, stopped where asked."""

import io
import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.cli import main
from tinygrad_gpt.cli.generate import Generate, longest_overlap, stop_text, text_until
from tinygrad_gpt.cli.terminal import escape_controls
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.text import load_tokenizer

SAME_RUN = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_RUN
@given(prompt=st.text(min_size=1, max_size=12).filter(lambda t: t.isprintable()), seed=st.integers(0, 2**64 - 1))
def test_prints_the_prompt_and_what_the_library_generates(tg, run, prompt, seed):
    model, tokenizer = load_checkpoint(run / "model.safetensors").model, load_tokenizer(run / "tokenizer.json")
    ids = tokenizer.encode(prompt).tolist()
    drawn = [int(step[0]) for step in generate(model, [ids], 6, temperature=1.4, top_k=25, seed=seed)]
    flags = ["--max-new-tokens", 6, "--temperature", 1.4, "--top-k", 25, "--seed", seed]
    result = tg("generate", *flags, "--", run, prompt)
    assert result.code == 0
    assert result.out == prompt + tokenizer.decode(drawn) + "\n"


def test_without_a_temperature_it_is_greedy_whatever_the_seed(tg, run):
    outputs = {tg("generate", run, "To be", "--seed", seed).out for seed in (1, 2, 3)}
    assert len(outputs) == 1


def test_the_seed_decides(tg, run):
    def out(seed):
        return tg("generate", run, "To be", "--seed", seed, "--temperature", 1).out

    assert out(1) == out(1) != out(2)


def test_no_new_tokens_prints_the_prompt(tg, run):
    assert tg("generate", run, "To be", "--max-new-tokens", 0).out == "To be\n"


def test_a_top_k_above_the_vocabulary_is_no_limit(tg, run):
    plain = tg("generate", run, "To be", "--temperature", 1).out
    assert tg("generate", run, "To be", "--temperature", 1, "--top-k", 10**6).out == plain


def test_what_has_no_effect_is_noted(tg, run):
    result = tg("generate", run, "To be or not", "--top-k", 3, "--top-p", 0.5)
    assert result.code == 0
    assert result.err == (
        "note: TEXT has 12 tokens; the model sees the last 8 of them\n"
        "note: --top-k, --top-p without effect: --temperature 0 always takes the likeliest token\n"
    )


def test_the_probabilities_are_a_chart_per_token(tg, run):
    flags = ["--max-new-tokens", 3, "--temperature", 0.5, "--seed", 5]
    plain = tg("generate", run, "To be", *flags).out
    shown = tg("generate", run, "To be", *flags, "--show-probabilities", 4)
    assert shown.code == 0
    assert shown.out.endswith(f"\n\n{plain}")
    assert [line.split(":")[0] for line in shown.out.splitlines() if line.startswith("token ")] == [
        "token 1",
        "token 2",
        "token 3",
    ]
    assert shown.out.count("before") == 3


@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=4), st.data())
def test_stops_before_the_stop_text_however_it_comes(text, stop, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(text_until(stop, iter(parts))) == text.split(stop)[0]
    assert "".join(text_until(None, iter(parts))) == text


@given(st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=4))
def test_only_what_may_begin_the_stop_text_waits(text, stop):
    n = longest_overlap(text, stop)
    assert n < len(stop)
    assert text.endswith(stop[:n])
    assert not any(text.endswith(stop[:m]) for m in range(n + 1, len(stop)))


def test_stop_ends_the_generation(tg, run):
    text = tg("generate", run, "To be", "--temperature", 1, "--max-new-tokens", 30).out.removeprefix("To be")
    stop = next(c for c in text if c.isascii())
    for flags in ([], ["--show-probabilities", 1]):
        out = tg("generate", run, "To be", "--temperature", 1, "--max-new-tokens", 30, "--stop", stop, *flags).out
        assert out.endswith("To be" + text.split(stop)[0] + "\n")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (r"\n", "\n"),
        (r"a\tb\r", "a\tb\r"),
        (r"\\n", r"\n"),
        (r"\\\n", "\\\n"),
        (r"\d\section", r"\d\section"),
        ("\n", "\n"),
        (None, None),
    ],
)
def test_escapes_in_the_stop_text(given, meant):
    assert stop_text(Generate("run", "text", stop=given)) == meant


def test_stop_at_a_lines_end_ends_there(tg, run):
    long = [run, "To be", "--temperature", 3, "--max-new-tokens", 2000, "--seed", 3]
    text = tg("generate", *long).out
    assert "\n" in text[:-1]
    for stop in (r"\n", "\n"):
        assert tg("generate", *long, "--stop", stop).out == text.split("\n")[0] + "\n"


def test_a_prompt_with_a_backslash_and_an_n_is_noted(tg, run):
    note = r"note: TEXT has \n, a backslash and an n, not a line end: in most shells a line end is $'\n'"
    assert note in tg("generate", run, r"Q:\nA:", "--max-new-tokens", 1).err
    assert note not in tg("generate", run, "Q:\nA:", "--max-new-tokens", 1).err


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize("flags", [[], ["--show-probabilities", 1]])
def test_escape_sequences_are_harmless_at_a_terminal_and_unchanged_in_a_pipe(tg, run, monkeypatch, flags):
    prompt = "a\x1b[2Jb\u202e\r\nc\r"
    command = ["generate", run, prompt, "--temperature", 3, "--max-new-tokens", 60, *flags]
    piped = tg(*command).out
    assert prompt in piped
    terminal = Terminal(io.BytesIO(), encoding="utf-8", write_through=True, newline="")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main([str(word) for word in command]) == 0
    shown = terminal.buffer.getvalue().decode()
    assert shown == escape_controls(piped) != piped
    assert r"a\x1b[2Jb\u202e" in shown


def test_ctrl_c_ends_with_a_newline_and_130(program, run):
    process = program.start("generate", run, "To be", "--max-new-tokens", 10**7)
    try:
        assert process.stdout.read(6).startswith("To be")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (130, "\n")


def test_a_closed_pipe_is_quiet(program, run):
    process = program.start("generate", run, "To be", "--max-new-tokens", 10**7)
    process.stdout.read(6)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (141, "")


def test_output_is_utf8_whatever_the_locale(program, run):
    done = program("generate", run, "né €", "--max-new-tokens", 0, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "né €\n")


@pytest.mark.skipif(os.name != "posix", reason="argv is bytes on posix alone")
def test_a_prompt_that_is_no_utf8_is_one_line(program, run):
    done = program("generate", run, os.fsdecode(b"\xff"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinygrad-gpt generate: text is not valid Unicode: lone surrogate U+DCFF at character 0\n"
