"""A run folder belongs to one run: time passes between looking and starting, and nothing may be lost."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_gpt
from tinygrad_gpt.runs import RunError, lock
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.names import MODEL


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_that_ended_meanwhile_is_not_replaced():
    first, second = RunFolder("run", "name"), RunFolder("run", "name")  # both find it free
    with first:
        first.start()
        first.file(MODEL).write_bytes(b"trained")
    with pytest.raises(RunError, match="'run' is not empty"), second:
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


def test_a_lock_of_another_machine_is_told_with_its_remedy(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(RunError, match=r"process 1 on elsewhere; if that run has ended, delete run/run\.lock"):
        RunFolder("run", "name", overwrite=True)
    (tmp_path / "run" / "run.lock").unlink()
    with RunFolder("run", "name") as folder:
        folder.create()
        with pytest.raises(RunError) as caught:
            RunFolder("run", "name", overwrite=True)
        assert "delete" not in str(caught.value)  # it has not ended


RACE = """
import sys
from tinygrad_gpt.runs import RunError
from tinygrad_gpt.runs.folder import RunFolder
print("ready", flush=True)
sys.stdin.readline()
try:
    with RunFolder("run", "", overwrite=True) as folder:
        folder.create()
        print("mine", flush=True)
        sys.stdin.read()
except RunError:
    print("refused", flush=True)
"""


def test_of_many_that_take_over_a_dead_ones_lock_one_has_it(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_gpt.__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    racers = [subprocess.Popen([sys.executable, "-c", RACE], env=environment, **pipes) for _ in range(4)]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 4
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [racer.stdout.readline().strip() for racer in racers]  # whose it is keeps it until all have answered
    finally:
        for racer in racers:
            racer.communicate(timeout=60)
    assert sorted(answers) == ["mine", "refused", "refused", "refused"]
    assert not (tmp_path / "run" / "run.lock").exists()


def test_a_lock_that_its_owner_removes_as_we_open_it_is_taken_anew(monkeypatch, tmp_path):
    lockable, removed = lock.is_lockable, []

    def removed_meanwhile(file, **settings):
        if not removed and not settings:
            removed.append((tmp_path / "run" / "run.lock").unlink())
            (tmp_path / "run" / "run.lock").touch()  # another run's already
        return lockable(file, **settings)

    monkeypatch.setattr(lock, "is_lockable", removed_meanwhile)
    with RunFolder("run", "name") as folder:
        folder.create()
        assert removed
        with pytest.raises(RunError, match=f"is in use by the run of process {os.getpid()}"):
            RunFolder("run", "name", overwrite=True)


def test_an_error_while_the_lock_is_taken_leaves_it_free(monkeypatch, tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    folder = RunFolder("new", "name")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"), folder:
            folder.create()
    assert not list(tmp_path.iterdir())
    with RunFolder("new", "name") as folder:
        folder.create()


@pytest.mark.parametrize(
    "owner", ["", "5", "{}", '{"pid": Infinity, "host": "a"}', '{"pid": 1e999, "host": "a"}', "[" * 4096]
)
def test_a_lock_file_that_names_no_process_does_not_keep_a_run_out(tmp_path, owner):
    (tmp_path / "run.lock").write_text(owner, "utf-8")
    held = lock.RunLock(tmp_path / "run.lock", "'run'")
    held.check_free()
    held.take()
    held.release()
