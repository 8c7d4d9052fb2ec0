"""log.jsonl: what happened in a run, one line of JSON each, in the order in which it happened.

{"event": "step", "step": 1, "loss": ..., "lr": ..., "grad_norm": ...}   and "skipped": why, if the step was
{"event": "evaluation", "step": 2, "epoch": ..., "train_loss": ..., "val_loss": ..., ...}
                                                and "eval_tokens": how many tokens each of these losses is of, at most
{"event": "sample", "step": 2, "epoch": ..., "text": ...}
{"event": "end", "step": 4}                                               the run is complete

A run that is resumed from a checkpoint has the same lines as one that never stopped, but for the times in them.
"""

import json
import os
from pathlib import Path
from typing import Any

from tinygrad_gpt.files import atomic_write

Record = dict[str, Any]


class RunLog:
    """The log of a run that is going on.  `records` are its lines but for the steps', which may be millions.

    Raises OSError if the file cannot be written; after an error nothing is lost, the next call tries again.
    """

    def __init__(self, path: Path, records: list[Record]) -> None:
        self.records = [record for record in records if not _is_step(record)]
        self.n_skipped = sum("skipped" in record for record in records)
        with atomic_write(path) as file:
            file.writelines(map(_to_line, records))
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.waiting = b""  # what is not in the file yet

    def write(self, **record: Any) -> None:
        """Add a line, on its way to the disk at once."""
        if not _is_step(record):
            self.records.append(record)
        self.n_skipped += "skipped" in record
        self.waiting += _to_line(record)
        self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        while self.waiting:
            self.waiting = self.waiting[os.write(self.file, self.waiting) :]

    def sync(self) -> None:
        """Have every line on the disk when this returns."""
        self.flush()
        os.fsync(self.file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.file)

    def of(self, event: str) -> list[Record]:
        """The lines of an event other than a step, without its name."""
        found = [record for record in self.records if record["event"] == event]
        return [{name: value for name, value in record.items() if name != "event"} for record in found]


def _to_line(record: Record) -> bytes:
    """A record as a line of the file."""
    return f"{json.dumps(record)}\n".encode()


def read_log(path: Path) -> list[Record]:
    """The lines of a log, as far as they are whole: the last may have been cut off.  None without a file."""
    records: list[Record] = []
    try:
        for text in path.read_bytes().split(b"\n"):
            record = json.loads(text)
            if not isinstance(record, dict) or type(record["step"]) is not int or type(record["event"]) is not str:
                break
            records.append(record)
    except (OSError, ValueError, KeyError):
        pass
    return records


def records_up_to(records: list[Record], step: int) -> list[Record]:
    """The lines up to the end of a training step, without what was done after it: evaluation, sample, the end."""
    return [record for record in records if record["step"] < step or (record["step"] == step and _is_step(record))]


def _is_step(record: Record) -> bool:
    """Whether this is the line of a training step."""
    return bool(record["event"] == "step")


def eval_tokens_of(records: list[Record]) -> int | None:
    """How many tokens of each part the last evaluation has scored at most; None if there is none that says so."""
    found = [record.get("eval_tokens") for record in records if record["event"] == "evaluation"]
    return found[-1] if found and type(found[-1]) is int and found[-1] > 0 else None


def has_ended(records: list[Record]) -> bool:
    """Whether the run is complete."""
    return bool(records) and records[-1]["event"] == "end"


def skipped_last(records: list[Record]) -> int:
    """How many training steps in a row were skipped before the log ends."""
    steps = [record for record in records if _is_step(record)]
    for n, record in enumerate(reversed(steps)):
        if "skipped" not in record:
            return n
    return len(steps)
