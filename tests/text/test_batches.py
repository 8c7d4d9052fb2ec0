import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.text_strategies import seeds
from tinygrad_gpt.text import Batches, check_length


@st.composite
def batches(draw, **fixed):
    """Batches over 0, 1, 2, ...: a token is its own position."""
    T = draw(st.integers(1, 9))
    settings = {
        "context_length": T,
        "batch_size": draw(st.integers(1, 5)),
        "stride": draw(st.none() | st.integers(1, 12)),
        "shuffle": draw(st.booleans()),
        "drop_last": draw(st.booleans()),
        "seed": draw(seeds),
    } | fixed
    stride = settings["stride"] or T
    least = T + 1 + stride * (settings["batch_size"] - 1)
    dtype = draw(st.sampled_from([np.uint16, np.int32, np.int64, np.uint32]))
    return Batches(np.arange(draw(st.integers(least, least + 60)), dtype=dtype), **settings)


def starts(n, T, stride):
    return [start for start in range(0, n, stride) if start + T + 1 <= n]


@given(batches(), st.integers(1, 50))
def test_targets_are_the_inputs_shifted_by_one(data, step):
    ids, targets = data.batch(step)
    assert ids.dtype == targets.dtype == np.int64
    assert ids.shape == targets.shape == (len(ids), data.context_length)
    assert (targets[:, :-1] == ids[:, 1:]).all()
    for row, target in zip(ids, targets, strict=True):
        start = int(row[0])
        assert row.tolist() == data.tokens[start : start + data.context_length].tolist()
        assert target.tolist() == data.tokens[start + 1 : start + data.context_length + 1].tolist()


@given(batches(drop_last=False), st.integers(0, 3))
def test_an_epoch_takes_every_chunk_once(data, epoch):
    steps = range(epoch * data.steps_per_epoch + 1, (epoch + 1) * data.steps_per_epoch + 1)
    taken = [data.batch(step)[0] for step in steps]
    expected = starts(len(data.tokens), data.context_length, data.stride)
    found = [int(row[0]) for ids in taken for row in ids]
    assert sorted(found) == expected
    assert data.n_chunks == len(expected)
    assert data.tokens_per_epoch == sum(ids.size for ids in taken)
    assert all(len(ids) == data.batch_size for ids in taken[:-1])
    if not data.shuffle:
        assert found == expected


def test_starts_reach_both_ends_exhaustively():
    for n in range(2, 14):
        for T in range(1, n):
            data = Batches(np.arange(n), context_length=T, batch_size=1, stride=1)
            found = sorted(int(data.batch(step)[0][0, 0]) for step in range(1, data.steps_per_epoch + 1))
            assert found == list(range(n - T))  # 0 ... N - T - 1


@given(batches(drop_last=True))
def test_drop_last_leaves_out_what_does_not_fill_a_batch(data):
    assert data.steps_per_epoch == data.n_chunks // data.batch_size
    taken = [data.batch(step)[0] for step in range(1, data.steps_per_epoch + 1)]
    assert all(len(ids) == data.batch_size for ids in taken)
    assert data.tokens_per_epoch == sum(ids.size for ids in taken)
    rows = {int(ids[i, 0]) for ids in taken for i in range(len(ids))}
    assert len(rows) == data.steps_per_epoch * data.batch_size


@given(batches(), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(data, steps):
    for step in steps:  # in any order, some twice
        fresh = Batches(
            data.tokens,
            context_length=data.context_length,
            batch_size=data.batch_size,
            stride=data.stride,
            shuffle=data.shuffle,
            drop_last=data.drop_last,
            seed=data.seed,
        )
        for a, b in zip(data.batch(step), fresh.batch(step), strict=True):
            assert a.tolist() == b.tolist()


@given(batches(), st.integers(1, 20))
def test_a_caller_may_write_into_a_batch(data, step):
    before = data.tokens.copy()
    ids, targets = data.batch(step)
    kept = targets.copy()
    ids[:] = -1
    assert (targets == kept).all()
    targets[:] = -1
    assert (data.tokens == before).all()
    assert (data.batch(step)[1] == kept).all()


def test_epochs_and_seeds_give_different_orders():
    def order(data, epoch):
        return [int(data.batch(epoch * 64 + i + 1)[0][0, 0]) for i in range(64)]

    one, two = (Batches(np.arange(65), context_length=1, batch_size=1, seed=seed) for seed in (1, 2))
    orders = [order(one, 0), order(one, 1), order(two, 0), order(two, 1), list(range(64))]
    assert len({tuple(o) for o in orders}) == 5


@given(st.integers(0, 50), st.integers(1, 60))
def test_the_error_for_too_short_a_text_has_the_arithmetic(n, T):
    if n > T:
        assert Batches(np.zeros(n, int), context_length=T, batch_size=1).n_chunks >= 1
        return
    with pytest.raises(ValueError, match=f"val has {n} tokens?; context_length {T} needs at least {T + 1}: use "):
        Batches(np.zeros(n, int), context_length=T, batch_size=1, name="val")


def test_the_message_says_what_to_do():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_length(37, 64)
    assert str(caught.value) == (
        "text has 37 tokens; context_length 64 needs at least 65: use a context_length of 36 or less, or more text"
    )
    with pytest.raises(ValueError, match=r"text has 1 token; context_length 1 needs at least 2: use more text$"):
        check_length(1, 1)


def test_the_advice_is_good():
    assert Batches(np.arange(37), context_length=36, batch_size=1).n_chunks == 1
    with pytest.raises(ValueError, match=r"text gives 3 chunks .* use a batch_size of 3 or less, or drop_last=False"):
        Batches(np.arange(10), context_length=3, batch_size=4)
    assert Batches(np.arange(10), context_length=3, batch_size=3).steps_per_epoch == 1
    assert Batches(np.arange(10), context_length=3, batch_size=4, drop_last=False).batch(1)[0].shape == (3, 3)


@pytest.mark.parametrize("name", ["context_length", "batch_size", "stride"])
def test_sizes_must_be_at_least_one(name):
    settings = {"context_length": 2, "batch_size": 2}
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1; got 0"):
        Batches(np.arange(9), **settings | {name: 0})
    with pytest.raises(TypeError, match=f"{name} must be a whole number of at least 1; got 1.5"):
        Batches(np.arange(9), **settings | {name: 1.5})


def test_steps_count_from_one():
    data = Batches(np.arange(9), context_length=2, batch_size=2)
    with pytest.raises(ValueError, match="step must be a whole number of at least 1; got 0"):
        data.batch(0)


def test_bad_tokens_and_seeds_are_refused():
    with pytest.raises(TypeError, match=r"tokens must be whole numbers \(N,\); got float64 of shape \(9,\)"):
        Batches(np.zeros(9), context_length=2, batch_size=2)
    with pytest.raises(TypeError, match=r"got int64 of shape \(3, 3\)"):
        Batches(np.zeros((3, 3), np.int64), context_length=2, batch_size=2)
    with pytest.raises(ValueError, match=r"seed must be from 0 to 2\*\*64 - 1; got -1"):
        Batches(np.arange(9), context_length=2, batch_size=2, seed=-1)
