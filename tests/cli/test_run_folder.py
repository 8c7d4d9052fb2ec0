"""A run that wants the folder of another: between looking and starting time passes, and nothing may be lost."""

import signal

import numpy as np
import pytest

from tests.cli.conftest import call
from tests.cli.runs import SHORT, TEXT, state, stop_after
from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.run_folder import MODEL, RunFolder
from tinygrad_gpt.cli.train import plan
from tinygrad_gpt.text import open_tokens


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_that_ended_meanwhile_is_not_replaced():
    first, second = RunFolder("run", "name"), RunFolder("run", "name")  # both find it free
    with first:
        first.start()
        first.file(MODEL).write_bytes(b"trained")
    with pytest.raises(UserError, match="'run' is not empty"), second:
        second.start()
    assert first.file(MODEL).read_bytes() == b"trained"


def test_a_run_without_a_name_takes_the_next_free_folder():
    first, second = RunFolder(None, "name"), RunFolder(None, "name")
    with first, second:
        first.start()
        second.start()
        assert first.path != second.path
        assert first.path.is_dir()
        assert second.path.is_dir()


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


def test_a_lock_of_another_machine_is_told_with_its_remedy(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(UserError, match=r"process 1 on elsewhere; if that run has ended, delete run/run\.lock"):
        RunFolder("run", "name", overwrite=True)
    (tmp_path / "run" / "run.lock").unlink()
    with RunFolder("run", "name") as folder:
        folder.create()
        with pytest.raises(UserError) as caught:
            RunFolder("run", "name", overwrite=True)
        assert "delete" not in str(caught.value)  # it has not ended
