"""A run that replaces another takes over its folder as a whole, or leaves it as it was."""

import signal

import numpy as np
import pytest

from tests.cli.conftest import call
from tests.cli.runs import SHORT, TEXT, state, stop_after
from tinygrad_gpt.cli.train import plan
from tinygrad_gpt.text import open_tokens


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_byte_order_mark_is_no_opening_word(tg, tiny, tmp_path):
    text = tmp_path / "marked.txt"
    text.write_text("\ufeff" + "Once upon a time. " * 200, encoding="utf-8")
    assert tg("train", text, *tiny, "--tokenizer", "bytes", "--max-text-mb", "0", "--out", "run").code == 0
    assert "\n\ufeff" not in (tmp_path / "run" / "sample.txt").read_text("utf-8")


@pytest.fixture
def large(text, tmp_path):
    """A run with its text in a file, stopped after three steps; and another text."""
    with stop_after(3):
        assert call("train", text, *SHORT, "--max-text-mb", "0", "--out", "run").code == 143
    (tmp_path / "other.txt").write_text(TEXT.upper(), encoding="utf-8")
    return tmp_path / "run"


REPLACE = ["train", "other.txt", *SHORT, "--max-text-mb", "0", "--out", "run", "--overwrite"]


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize("how", ["refused", "stopped"])
def test_a_run_is_replaced_with_its_text_or_not_at_all(large, monkeypatch, how):
    before = state(large)
    if how == "refused":
        assert call(*REPLACE, "--warmup-steps", "99").code == 2
    else:
        with monkeypatch.context() as patch:
            patch.setattr(plan, "split_tokens", lambda *_: signal.raise_signal(signal.SIGINT))
            assert call(*REPLACE).code == 130
    assert state(large) == before
    assert call("train", "--resume", "run").code == 0


@pytest.mark.usefixtures("plain_plots")
def test_a_run_that_replaces_another_has_its_own_text(large, tmp_path):
    (large / "tokens.new.bin").write_bytes(b"of a run that was killed before it started")
    assert call(*REPLACE).code == 0
    assert (
        open_tokens(large / "tokens.bin").tobytes()
        == np.frombuffer(TEXT.upper().encode(), np.uint8).astype("<u2").tobytes()
    )
    assert not list(large.glob("tokens.new*"))
    (large / "tokens.new.bin").write_bytes(b"of a run that was killed before it started")
    assert call(*REPLACE, "--max-text-mb", "256").code == 0
    assert not list(large.glob("tokens*.bin*"))
