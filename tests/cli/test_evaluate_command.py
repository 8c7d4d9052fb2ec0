"""Scores at the command line are the library's."""

import re
import shutil
import sys

import numpy as np
import pytest

from tests.cli.conftest import call
from tests.cli.runs import FLAGS, without
from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.text import load_tokenizer, read_texts, split_tokens
from tinygrad_gpt.training import evaluate
from tinygrad_gpt.training.evaluate import count_windows, windows


def numbers(out):
    return {line[:16].strip(): float(re.sub(",", "", line[16:].split()[0]).rstrip(",")) for line in out.splitlines()}


@pytest.fixture(scope="module")
def model(run):
    return load_checkpoint(run / "model.safetensors").model


@pytest.fixture(scope="module")
def tokens(run, text_file):
    return load_tokenizer(run / "tokenizer.json").encode(read_texts([text_file]))


@pytest.mark.parametrize("flags", [{}, {"stride": 3}, {"stride": 1, "batch_size": 3}, {"max_tokens": 100, "stride": 5}])
def test_prints_what_the_library_measures(tg, run, text_file, model, tokens, flags):
    score = evaluate(model, tokens, **flags)
    options = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    result = tg("evaluate", run, text_file, *options)
    assert (result.code, result.err) == (0, "")
    shown = numbers(result.out)
    assert shown["tokens scored"] == flags.get("max_tokens", len(tokens) - 1) == score.tokens
    assert shown["loss"] == pytest.approx(score.loss, abs=1e-4)
    assert shown["perplexity"] == pytest.approx(score.perplexity, abs=1e-2)
    assert shown["bits per byte"] == pytest.approx(score.loss / 0.6931471805599453, abs=1e-4)  # a token is a byte here
    assert result.out.endswith(f", of {score.tokens:,} bytes\n")


def test_two_texts_are_scored_as_one(tg, run, text_file, tmp_path):
    (tmp_path / "both.txt").write_bytes(text_file.read_bytes() * 2)
    assert tg("evaluate", run, text_file, text_file).out == tg("evaluate", run, "both.txt").out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "context 8, stride 8: each is predicted from the 1 to 8 tokens before it"),
        (
            ["--stride", 3],
            "context 8, stride 3: each is predicted from the 6 to 8 tokens before it, near the beginning",
        ),
        (["--stride", 1], "context 8, stride 1: each is predicted from the 8 tokens before it, near the beginning"),
    ],
)
def test_context_stride_and_windows_are_said(tg, run, text_file, tokens, flags, said):
    out = tg("evaluate", run, text_file, *flags).out
    assert said in out
    stride = flags[1] if flags else 8
    assert numbers(out)["windows"] == len(list(windows(tokens, 8, stride)))


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("n", range(2, 14))
def test_windows_are_counted_without_making_them(n, stride):
    assert count_windows(n, 5, stride) == len(list(windows(np.zeros(n, int), 5, stride)))


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize("limit", ["256", "0"])
def test_without_texts_it_scores_the_runs_own_validation_part(tg, text_file, tmp_path, limit):
    flags = [*FLAGS.split(), "--steps", 3, "--eval-tokens", 10**6, "--val-fraction", 0.2, "--max-text-mb", limit]
    assert tg("train", text_file, *flags, "--out", "run").code == 0
    model, tokenizer = load_checkpoint("run/model.safetensors").model, load_tokenizer("run/tokenizer.json")
    _, val = split_tokens(tokenizer.encode(read_texts([text_file])), 0.2)
    shutil.rmtree("run/checkpoints")  # the model alone says enough
    result = tg("evaluate", "run")
    assert (result.code, result.err) == (0, "")
    assert numbers(result.out)["loss"] == pytest.approx(evaluate(model, val).loss, abs=1e-4)
    assert f"{len(val) - 1:,}, of {len(val):,} in the validation part" in result.out


@pytest.mark.usefixtures("plain_plots")
def test_a_validation_part_that_is_not_there_any_more_is_one_line(tg, text_file, tmp_path, monkeypatch):
    text = tmp_path / "mine.txt"
    text.write_bytes(text_file.read_bytes())
    flags = [*FLAGS.split(), "--steps", 1]
    assert tg("train", text, *flags, "--out", "run").code == 0
    text.write_bytes(text_file.read_bytes().replace(b"be", b"BE"))
    result = tg("evaluate", "run")
    assert (result.code, result.out) == (2, "")
    assert "RUN 'run' was trained on another text than is there now (" in result.err
    assert tg("train", text, *flags, "--val-fraction", 0, "--out", "all").code == 0
    assert "has no validation part, its --val-fraction is 0: name TEXTS to score" in tg("evaluate", "all").err
    with open(text_file) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert tg("train", "-", *flags, "--out", "piped").code == 0
    assert "was trained on standard input, which is gone: name TEXTS to score" in tg("evaluate", "piped").err


@pytest.mark.usefixtures("plain_plots")
def test_a_model_of_an_older_version_does_not_say_its_text_but_a_checkpoint_does(tg, text_file, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_bytes(text_file.read_bytes())
    assert tg("train", text, *FLAGS.split(), "--steps", 1, "--out", "run").code == 0
    without(tmp_path / "run" / "model.safetensors", "text")
    assert tg("evaluate", "run").code == 0
    text.write_bytes(text_file.read_bytes().replace(b"be", b"BE"))
    assert "RUN 'run' was trained on another text than is there now (" in tg("evaluate", "run").err
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert tg("evaluate", "run").code == 0  # nobody can tell


@pytest.mark.parametrize("flags", [["--encoding", "utf-8"], ["--errors", "strict"]])
def test_how_to_read_texts_needs_texts(tg, run, text_file, flags):
    result = tg("evaluate", run, *flags)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert f"{flags[0]} without TEXTS: the run's own text is read as train has read it" in result.err
    assert tg("evaluate", run, text_file, *flags).out == tg("evaluate", run, text_file).out


def test_max_tokens_reads_no_more_than_it_needs(tg, run, text_file, tmp_path):
    long = tmp_path / "long.txt"
    long.write_bytes(text_file.read_bytes() * 600 + b"\xff")  # 2 MB, and a byte that is no UTF-8
    assert tg("evaluate", run, long).code == 2
    assert tg("evaluate", run, long, "--max-tokens", 50).code == 0


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize("kind", ["compact", "gpt2"])
def test_end_of_text_is_spelled_and_noted_or_the_token_it_names(tmp_path, kind):
    (tmp_path / "one.txt").write_text("One day a cat came. " * 9 + "<|endoftext|>" + "Two days later a dog came. " * 9)
    (tmp_path / "two.txt").write_text("Three days later a cow came. " * 9)
    flags = [*FLAGS.split(), "--steps", 1, "--tokenizer", kind, "--out"]
    result = call("train", "one.txt", "two.txt", *flags, "plain")
    note = "note: <|endoftext|> occurs in the text once and is read as ordinary text: "
    assert (result.code, result.err) == (0, f"{note}--end-of-text makes it the token\n")
    asked = call("train", "one.txt", "two.txt", *flags, "asked", "--end-of-text")
    assert (asked.code, asked.err) == (0, "")
    asked_for = load_tokenizer(tmp_path / "asked" / "tokenizer.json")
    joined = asked_for.encode(read_texts(["one.txt", "two.txt"], joint=asked_for.joint))
    assert int((joined == asked_for.vocab_size - 1).sum()) == 2
    assert not load_tokenizer(tmp_path / "plain" / "tokenizer.json").end_of_text
    for name in ("plain", "asked"):
        assert call("train", "--resume", name, "--steps", 2).code == 0
        assert call("evaluate", name).code == 0
    assert call("evaluate", "plain", "one.txt").err == f"{note}RUN was trained without --end-of-text\n"
    assert call("evaluate", "asked", "one.txt").err == ""
    prompt = "<|endoftext|>One"
    assert "read as ordinary text" in call("generate", "plain", prompt, "--max-new-tokens", 1).err
    assert call("generate", "asked", prompt, "--max-new-tokens", 1).err == ""
    refused = call("train", "--resume", "plain", "--end-of-text", "--steps", 3)
    assert refused.code == 2
    assert "the checkpoint is of another run: " in refused.err
