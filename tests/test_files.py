"""A file is replaced whole or not at all, and nothing but a file is replaced; JSON is read strictly."""

import json
import os
import re
from pathlib import Path

import pytest

from tinygrad_gpt.files import atomic_write, strict_json


def write(path, content):
    with atomic_write(path) as file:
        file.write(content)


def test_what_was_there_is_replaced_and_nothing_else_stays(tmp_path):
    for content in (b"old", b"new"):
        write(tmp_path / "x", content)
        assert (tmp_path / "x").read_bytes() == content
    assert os.listdir(tmp_path) == ["x"]


def test_an_error_leaves_what_was_there(tmp_path):
    write(tmp_path / "x", b"old")
    with pytest.raises(TypeError):
        write(tmp_path / "x", "new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "x", tmp_path / "link"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["folder", "loop", "pipe"])
def test_what_is_no_file_is_refused_and_stays(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "replace", lambda *names: pytest.fail(f"replaced {names}"))
    before = {path: os.lstat(path) for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="not a file") as caught:
        write(tmp_path / name, b"new")
    assert Path(caught.value.filename) == tmp_path / name
    assert {path: os.lstat(path) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": {"b": 1, "c": 2, "b": 1}}', "'b' is given twice"),
        ("[NaN]", "NaN is not a JSON value"),
        ('{"a": -Infinity}', "-Infinity is not a JSON value"),
        ("[" * 100_000, "it is nested too deeply"),
        ("{} {}", "Extra data"),
        (b"\xff", "can't decode byte 0xff"),
    ],
)
def test_what_is_not_strictly_json_is_refused(text, error):
    with pytest.raises(ValueError, match=re.escape(error)):
        strict_json(text)


def test_json_is_read_as_python_reads_it():
    text = '{"a": [1, 2.5, null, true, "\\u00e9"], "b": {"a": {}}}'
    assert strict_json(text) == strict_json(text.encode()) == json.loads(text)
