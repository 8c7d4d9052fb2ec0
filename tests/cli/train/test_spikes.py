"""A spike of the loss is told in the summary, with the usual remedies; ordinary noise is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.cli.train.spikes import Spikes


def watched(steps):
    spikes = Spikes()
    for step, (loss, norm) in enumerate(steps, start=1):
        spikes.watch(step, loss, norm)
    return spikes.worst_in_words(clip_norm="none", warmup_steps=0)


FALLING = [(10 - 0.1 * step, 1.5) for step in range(40)]


def test_the_worst_spike_is_told_with_its_step_and_numbers():
    steps = [*FALLING]
    steps[20], steps[30] = (9.5, 30.0), (12.0, 300.0)
    assert watched(steps) == (
        "at step 31: loss 7.1 -> 12, gradient norm 300 (usually 1.5); "
        "usual remedies: --clip-norm 1, --warmup-steps, a lower --lr"
    )


def test_what_is_used_already_is_not_advised():
    spikes = Spikes()
    for step, (loss, norm) in enumerate([*FALLING, (12.0, 300.0)], start=1):
        spikes.watch(step, loss, norm)
    assert spikes.worst_in_words(clip_norm=1.0, warmup_steps=5).endswith("; usual remedies: a lower --lr")


@pytest.mark.parametrize("at", [0, 3, 9])
def test_the_first_steps_are_no_spikes(at):
    steps = [*FALLING]
    steps[at] = (12.0, 300.0)
    assert watched(steps) == ""


@given(st.integers(0, 2**32 - 1))
def test_noise_is_no_spike(seed):
    rng = np.random.default_rng(seed)
    losses, norms = 5 + 0.4 * rng.standard_normal(200), np.exp(0.3 * rng.standard_normal(200))
    assert watched(zip(losses.tolist(), norms.tolist(), strict=True)) == ""


def test_a_loss_that_jumps_with_an_ordinary_gradient_is_no_spike_nor_is_what_was_not_finite():
    assert watched([*FALLING, (12.0, 1.6), (None, None), (6.0, None)]) == ""
