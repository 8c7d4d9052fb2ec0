"""Two runs that want one folder: between looking and starting time passes."""

import pytest

from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.run_folder import MODEL, RunFolder


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
