"""Short runs that are stopped and compared: what the tests of saving, signals and resuming share."""

import json
import signal
from contextlib import contextmanager

import pytest

from tinygrad_gpt.checkpoints.safetensors_file import DIGEST, open_safetensors, write
from tinygrad_gpt.cli.terminal import InterruptedBySignal, StopFlag
from tinygrad_gpt.cli.train.evaluation import Evaluation
from tinygrad_gpt.cli.train.session import Session

FLAGS = (
    "--preset tiny --tokenizer bytes --emb-dim 8 --n-heads 2 --n-layers 1 --context-length 8 --drop-rate 0.2 "
    "--batch-size 2 --eval-tokens 40 --sample-tokens 3 --no-progress"
)
TEXT = "To be, or not to be, that is the question:\n" * 2  # 5 steps an epoch
SHORT = [*FLAGS.split(), "--steps", "7", "--eval-every", "3", "--checkpoint-every", "2"]  # nothing falls together
TIMES = ("seconds", "tokens_per_second")


def log(folder):
    """The lines of a run's log, without the times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def state(folder):
    """All that a run has left, but for the times in its log."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {"log.jsonl": log(folder)}


def assert_same(folder, whole):
    got, want = state(folder), state(whole)
    assert got.keys() == want.keys()
    for name in want:
        assert got[name] == want[name], name


def without(path, *names):
    """Write a checkpoint again, without these of its metadata, as older versions have left them out."""
    with open_safetensors(path) as file:
        tensors = {name: file.tensor(name) for name in file.tensors}
        metadata = {name: value for name, value in file.metadata.items() if name not in (*names, DIGEST)}
    with open(path, "wb") as file:
        write(file, tensors, metadata)


class StopAt:
    """Instead of StopFlag.check: at its n-th call a signal comes."""

    def __init__(self, n, number=signal.SIGINT, at_once=False):
        self.n, self.number, self.at_once = n, number, at_once

    def __enter__(self):
        self.before, left = StopFlag.check, [self.n]

        def check(stop, *_):
            left[0] -= 1
            if left[0] == 0:
                stop.signal = self.number
                if self.at_once:
                    raise InterruptedBySignal(self.number)
            self.before(stop)

        StopFlag.check = check
        return self

    def __exit__(self, *_):
        StopFlag.check = self.before


@contextmanager
def stop_after(step):
    """Within this block SIGTERM comes right after this training step."""
    record_step = Session.record_step

    def record_and_stop(session, report):
        record_step(session, report)
        if report.step == step:
            session.stop.signal = signal.SIGTERM

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "record_step", record_and_stop)
        yield


def score_by_step(patch, loss_of):
    """Both parts of the text have this loss after a step."""
    after_step, step = Session.after_step, [0]

    def remember_step(session):
        step[0] = session.step
        after_step(session)

    patch.setattr(Session, "after_step", remember_step)
    patch.setattr(Evaluation, "score", lambda *_: loss_of(step[0]))
