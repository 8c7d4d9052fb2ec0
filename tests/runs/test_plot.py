"""The figure of a run: what it shows, and what it leaves alone."""

import math
import os
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.figures import faults
from tinygrad_gpt.runs.plot import drawable_text, loss_figure, plot_losses, tokens_per_epoch

losses = st.one_of(st.none(), st.floats(0, 20), st.sampled_from([math.nan, math.inf]))


@st.composite
def runs(draw):
    per_epoch = draw(st.integers(1, 10**6))
    epochs = sorted(draw(st.lists(st.floats(0, 30), min_size=1, max_size=60)))
    return [
        {"epoch": e, "tokens_seen": round(e * per_epoch), "train_loss": draw(losses), "val_loss": draw(losses)}
        for e in epochs
    ]


@given(runs())
@example([{"epoch": 0.0, "tokens_seen": 0, "train_loss": 3.0, "val_loss": None}])
def test_lines_are_the_losses_and_a_gap_is_what_is_not_finite(records):
    axes = loss_figure(records).axes[0]
    drawn = {line.get_label().split(",")[0]: line for line in axes.get_lines()}
    for label, key in (("training", "train_loss"), ("validation", "val_loss")):
        wanted = [r[key] if r[key] is not None and math.isfinite(r[key]) else math.nan for r in records]
        if all(map(math.isnan, wanted)):
            assert label not in drawn
            continue
        assert list(drawn[label].get_xdata()) == [r["epoch"] for r in records]
        np.testing.assert_array_equal(drawn[label].get_ydata(), wanted)


def test_the_second_axis_is_tokens_seen():
    records = [{"epoch": e, "tokens_seen": 500 * e, "train_loss": 5.0 - e, "val_loss": None} for e in range(4)]
    figure = loss_figure(records)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (above,) = axes.child_axes
    assert (axes.get_xlabel(), above.get_xlabel()) == ("epochs", "tokens seen")
    assert above.get_xlim() == pytest.approx([500 * x for x in axes.get_xlim()])


@given(st.integers(1, 10**9), st.floats(1e-3, 1e3))
def test_tokens_per_epoch_come_from_the_last_record_that_has_seen_any(per_epoch, epoch):
    rows = [{"epoch": 0.0, "tokens_seen": 0}, {"epoch": epoch, "tokens_seen": epoch * per_epoch}]
    assert tokens_per_epoch(rows) == pytest.approx(per_epoch)
    assert tokens_per_epoch(rows[:1]) == 0


@pytest.mark.parametrize("title", ["a$b$c_{.txt", "\udcff\x00\n", "漢字 и العربية", "\\frac{1}{0} $\\nothing$", None])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_writes_a_file_whatever_the_title(tmp_path, title, suffix):
    records = [{"epoch": 1.0, "tokens_seen": 10, "train_loss": 3.0, "val_loss": 3.5}]
    plot_losses(iter(records), tmp_path / f"loss.{suffix}", title=title)
    start = (tmp_path / f"loss.{suffix}").read_bytes()[:8]
    assert start == b"\x89PNG\r\n\x1a\n" if suffix == "png" else b"<?xml" in start


@pytest.mark.parametrize("title", [None, "a text", "W" * 300, "漢字" * 100, "many words " * 40])
@pytest.mark.parametrize("slope", [-0.1, 0, 0.1])  # wherever the lines are, the legend is elsewhere
def test_nothing_is_cut_or_hidden(title, slope):
    records = [
        {"epoch": i / 4, "tokens_seen": 1000 * i, "train_loss": 3 + slope * i, "val_loss": 3 - slope * i}
        for i in range(20)
    ]
    assert faults(loss_figure(records, title=title)) == []


def test_what_the_font_has_no_glyph_for_is_an_escape():
    assert drawable_text("a é 漢\n\udcff$") == "a é \\u6f22\\n\\udcff$"


def test_pyplot_is_not_touched(tmp_path):
    plot_losses([{"epoch": 1.0, "tokens_seen": 1, "train_loss": 1.0, "val_loss": 1.0}], tmp_path / "loss.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_no_record_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one evaluation; got none"):
        plot_losses([], tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_if_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "loss.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        plot_losses([{"epoch": 1.0, "tokens_seen": 1, "train_loss": 1.0, "val_loss": 1.0}], path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("loss.png", b"old")]
