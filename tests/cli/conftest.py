"""What the tests of the command line share: a way to call it, a small text, a small run."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import tinygrad_gpt
from tests.cli.runs import SHORT
from tests.cli.runs import TEXT as SHORT_TEXT
from tinygrad_gpt.cli import main

TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 48
TINY_FLAGS = (
    "--preset tiny --tokenizer bytes --emb-dim 8 --n-heads 2 --n-layers 1 --context-length 8 --drop-rate 0.2 "
    "--batch-size 2 --steps 4 --eval-every 2 --eval-tokens 32 --sample-tokens 3"
)


class Result(NamedTuple):
    """What a call has done."""

    code: int
    out: str
    err: str


def stream():
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def call(*argv):
    """Run the command line in this process."""
    out, err = stream(), stream()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in argv])
    return Result(code, *(s.buffer.getvalue().decode("utf-8") for s in (out, err)))


def listing(folder):
    """Everything there is, whatever it is.

    Not the times of folders: taking the lock and giving it back changes them, also in a run that is refused.
    """

    def seen(path):
        if path.is_symlink():
            return os.readlink(path)
        return path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else os.lstat(path).st_mode

    return {path: seen(path) for path in sorted(folder.rglob("*"))}


def plain_plot(records, path, *, title):
    """In place of plot_losses, which takes most of the time of a tiny run: what it would draw."""
    rows = [[record["epoch"], record["tokens_seen"], record["train_loss"], record["val_loss"]] for record in records]
    Path(path).write_text(f"{title}\n{rows}", encoding="utf-8")


@pytest.fixture(scope="module")
def plain_plots():
    """Runs of this process draw no plots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_gpt.cli.train.recorder.plot_losses", plain_plot)
        yield


@pytest.fixture(scope="session")
def tg():
    return call


@pytest.fixture(scope="session")
def tiny():
    """Flags for a run that takes a blink."""
    return TINY_FLAGS.split()


@pytest.fixture(scope="session")
def program():
    """Run the command line in a process of its own; program.start gives the process while it runs."""
    import matplotlib.font_manager  # noqa: F401  (writes its cache, so that no process of ours tells of doing it)

    package = str(Path(tinygrad_gpt.__file__).parents[1])

    def start(*argv, **environment):
        return start_python("-m", "tinygrad_gpt", *argv, **environment)

    def start_python(*argv, **environment):
        command = [sys.executable, *map(str, argv)]
        environment = {**os.environ, "PYTHONPATH": package, **environment}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, encoding="utf-8", **pipes)

    def finished(process):
        with process:
            out, err = process.communicate(timeout=800)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def program(*argv, **environment):
        return finished(start(*argv, **environment))

    program.start = start
    program.python = lambda *argv: finished(start_python(*argv))
    return program


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "hamlet.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory, text_file):
    """A run folder; nobody writes to it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert call("train", text_file, *TINY_FLAGS.split(), "--out", folder).code == 0
    return folder


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """A file of 5 training steps."""
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(SHORT_TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory, text):
    """The short run that never stopped; nobody writes to it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_gpt.cli.train.recorder.plot_losses", plain_plot)
        assert call("train", text, *SHORT, "--out", folder).code == 0
    return folder


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own, so that it sees what was written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
