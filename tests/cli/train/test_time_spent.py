"""What takes time takes its share of it at most, by a clock that the test turns."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.cli.train.time_spent import TimeSpent


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


SECONDS = st.floats(0.001, 10)


@given(st.lists(SECONDS, min_size=1, max_size=60), SECONDS, st.floats(0.01, 0.5))
def test_what_is_allowed_stays_within_its_share_but_for_the_first_time(times, save, share):
    clock = Clock()
    spent = TimeSpent(clock)
    done = 0
    for work in times:
        clock.now += work
        if spent.allows("saving", share):
            with spent.on("saving"):
                clock.now += save
            done += 1
            assert done == 1 or spent.seconds["saving"] <= share * spent.total() * (1 + 1e-9)
    assert done >= 1


def test_equal_saves_come_as_often_as_their_share_allows():
    clock = Clock()
    spent = TimeSpent(clock)
    saved = []
    for step in range(1, 101):
        clock.now += 1
        if spent.allows("saving", 0.05):
            saved.append(step)
            with spent.on("saving"):
                clock.now += 0.5
    assert saved == [1, 19, 29, 38, 48, 57, 67, 76, 86, 95]
    assert spent.shares() == {"saving": pytest.approx(5 / 105)}


def test_the_time_since_is_from_the_end_of_the_last_time_or_from_the_beginning():
    clock = Clock()
    spent = TimeSpent(clock)
    clock.now += 3
    assert spent.since("saving") == 3
    with suppress(KeyError), spent.on("saving"):
        clock.now += 2
        raise KeyError  # a save that failed took its time too
    clock.now += 4
    assert (spent.since("saving"), spent.seconds["saving"], spent.total()) == (4, 2, 9)


def test_what_took_longest_comes_first():
    clock = Clock()
    spent = TimeSpent(clock)
    assert spent.shares() == {}
    for name, seconds in (("a", 1), ("b", 5), ("a", 2)):
        with spent.on(name):
            clock.now += seconds
    assert list(spent.shares().items()) == [("b", 5 / 8), ("a", 3 / 8)]
