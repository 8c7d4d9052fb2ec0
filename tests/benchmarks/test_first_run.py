"""The first run on a GPU keeps to its time, whatever a part does, and writes down what it got."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import first_run
from benchmarks.first_run import PARTS, Part

ROOT = Path(first_run.__file__).parents[1]


def part(name, code, limit=20.0):
    return Part(name, (sys.executable, "-c", code), limit)


def results(folder):
    return (folder / "first_run.md").read_text("utf-8"), json.loads((folder / "first_run.json").read_text("utf-8"))


def test_a_part_that_fails_or_hangs_does_not_stop_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(first_run, "LEAST_SECONDS", 0)
    forks = (
        "import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'while 1: pass'])"
    )
    parts = [
        part("good", "print('a table')"),
        part("bad", "raise SystemExit('no such device')"),
        part("endless", forks, limit=1.0),
        Part("missing", ("/no/such/program",), 1.0),
        part("last", "print('another table')"),
    ]
    started = time.monotonic()
    first_run.run(parts, 60, tmp_path)
    assert time.monotonic() - started < 30
    page, record = results(tmp_path)
    assert [found["end"] for found in record] == ["ok", "failed", "out of time", "failed", "ok"]
    for text in ("## good: ok", "a table", "no such device", "begun", "No such file or directory", "another table"):
        assert text in page


def test_what_there_is_no_time_for_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(first_run, "LEAST_SECONDS", 1)
    first_run.run([part("sleeps", "import time; time.sleep(60)"), part("later", "print(1)")], 2, tmp_path)
    page, record = results(tmp_path)
    assert [found["end"] for found in record] == ["out of time", "left out"]
    assert "## later: left out" in page


def test_each_result_is_there_when_its_part_has_ended(tmp_path):
    shown = f"import pathlib; print(pathlib.Path({str(tmp_path / 'first_run.json')!r}).read_text())"
    first_run.run([part("one", "print(1)"), part("two", shown)], 60, tmp_path)
    page, _ = results(tmp_path)
    assert '"name": "one"' in page.split("## two")[1]


def test_the_parts_are_there():
    """The files of the tests exist, and the commands know the sections: without a GPU each says so in one line."""
    for found in PARTS:
        for argument in found.command:
            if argument.startswith("tests/"):
                assert (ROOT / argument).is_file(), argument
    sections = [found for found in PARTS if "benchmarks" in found.command]
    assert [found.name for found in sections] == ["launch", "gemm", "kernels", "training", "decoding"]
    for found in sections[:1]:
        done = subprocess.run(found.command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or done.stderr.startswith("python -m benchmarks: ")


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_minutes_are_above_zero(monkeypatch, capsys, minutes):
    monkeypatch.setattr(sys, "argv", ["first_run", "--minutes", minutes])
    with pytest.raises(SystemExit):
        first_run.main()
    assert "--minutes must be above 0" in capsys.readouterr().err
