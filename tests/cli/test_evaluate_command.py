"""Scores at the command line are the library's."""

import re

import pytest

from tinygrad_gpt.text import load_tokenizer, read_texts
from tinygrad_gpt.training import evaluate, load_checkpoint


def numbers(out):
    return {line[:16].strip(): float(re.sub(",", "", line[16:].split()[0]).rstrip(",")) for line in out.splitlines()}


@pytest.mark.parametrize("flags", [{}, {"stride": 3}, {"stride": 1, "batch_size": 3}])
def test_prints_what_the_library_measures(tg, run, text_file, flags):
    model, tokenizer = load_checkpoint(run / "model.safetensors").model, load_tokenizer(run / "tokenizer.json")
    tokens = tokenizer.encode(read_texts([text_file]))
    score = evaluate(model, tokens, **flags)
    options = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    result = tg("evaluate", run, text_file, *options)
    assert (result.code, result.err) == (0, "")
    shown = numbers(result.out)
    assert shown["tokens scored"] == len(tokens) - 1 == score.tokens
    assert shown["loss"] == pytest.approx(score.loss, abs=1e-4)
    assert shown["perplexity"] == pytest.approx(score.perplexity, abs=1e-2)
    assert shown["bits per byte"] == pytest.approx(score.loss / 0.6931471805599453, abs=1e-4)  # a token is a byte here


def test_two_texts_are_scored_as_one(tg, run, text_file, tmp_path):
    (tmp_path / "both.txt").write_bytes(text_file.read_bytes() * 2)
    assert tg("evaluate", run, text_file, text_file).out == tg("evaluate", run, "both.txt").out
