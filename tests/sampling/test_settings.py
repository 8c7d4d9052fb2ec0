"""The sampler's settings are checked when they are made, and then no more."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.sampling import SamplerSettings, generate, probabilities
from tinygrad_gpt.sampling import settings as module

CONFIG = GPTConfig(vocab_size=11, context_length=8, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"temperature": -1}, ValueError, "temperature must be a finite number, at least 0; got -1"),
        ({"top_k": 0}, ValueError, "top_k must be a whole number, at least 1, or None for no limit; got 0"),
        ({"top_k": 2.0}, TypeError, "top_k must be a whole number, at least 1, or None for no limit; got 2.0"),
        ({"top_p": np.array([0.5, 0.0])}, ValueError, "top_p must be a number above 0 and at most 1"),
        ({"min_p": float("nan")}, ValueError, "min_p must be a number from 0 to 1, or None for no limit; got nan"),
        ({"ties": "some"}, ValueError, "ties must be one of exact, all; got 'some'"),
    ],
)
def test_wrong_settings_cannot_be_made(wrong, error, text):
    with pytest.raises(error, match=re.escape(text)):
        SamplerSettings(**wrong)


def test_an_empty_batch_has_empty_settings():
    """An empty list has no whole numbers, and no others."""
    probs = probabilities(np.zeros((0, 5)), temperature=[], top_k=[], top_p=[], min_p=[])
    assert probs.shape == (0, 5)


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        SamplerSettings().top_k = 3


def test_the_limits_are_those_that_are_set():
    assert SamplerSettings(temperature=0.5, top_k=3, min_p=0).limits() == {"top_k": 3, "min_p": 0}
    assert SamplerSettings().limits() == {}


def test_a_batch_has_a_value_for_each_row():
    rows = SamplerSettings(temperature=0.5, top_k=np.array([1, 2])).per_row((2,))
    assert rows.temperature.tolist() == [[0.5], [0.5]]
    assert rows.top_k.tolist() == [[1], [2]]
    assert (rows.top_p, rows.min_p, rows.ties) == (None, None, "exact")
    with pytest.raises(ValueError, match=r"top_k must be one number, or one per row in shape \(3,\); got shape \(2,\)"):
        SamplerSettings(top_k=np.array([1, 2])).per_row((3,))


def test_a_generation_checks_its_settings_once(monkeypatch):
    checked = []
    check = module._check_setting
    monkeypatch.setattr(module, "_check_setting", lambda name, value: (checked.append(name), check(name, value)))
    for n_tokens in (1, 6):
        checked.clear()
        list(generate(GPT(CONFIG), [[1, 2]], n_tokens, temperature=1.0, top_k=3, top_p=0.9))
        assert checked == ["temperature", "top_k", "top_p"]


def test_each_step_draws_from_the_probabilities_of_its_logits():
    settings = SamplerSettings(temperature=0.7, top_k=5, top_p=0.5, min_p=0.01, ties="all")
    for step in generate(GPT(CONFIG), [[1, 2], [3]], 4, **vars(settings), return_probabilities=True):
        assert step.probabilities.tobytes() == probabilities(step.logits, **vars(settings)).tobytes()
