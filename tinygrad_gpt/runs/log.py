"""log.jsonl: the events of a run in order, a line of JSON for each.

{"event": "step", "step": 1, "loss": ..., "lr": ..., "grad_norm": ...}   and, for a skipped step, "skipped": the reason
{"event": "evaluation", "step": 2, "epoch": ..., "train_loss": ..., "val_loss": ..., ...}
                                                and "eval_tokens": each loss covers at most this many tokens
{"event": "sample", "step": 2, "epoch": ..., "text": ...}
{"event": "end", "step": 4}                                               the run is complete

A loss is in nats per token, and null if it was not finite.  A run that was resumed has the same lines as one that never
stopped, except for the times in them.
"""

import json
import os
from pathlib import Path
from typing import Any

from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.runs.names import LOG, RunError

Record = dict[str, Any]


class RunLog:
    """The log of a run that is being trained.  `records` holds its lines except those of steps (there may be millions).

    Raises OSError if the file cannot be written.  Nothing is lost then: the next call tries again.
    """

    def __init__(self, path: Path, records: list[Record]) -> None:
        self.records = [record for record in records if not _is_step(record)]
        self.n_skipped = sum("skipped" in record for record in records)
        with atomic_write(path) as file:
            file.writelines(map(_to_line, records))
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.waiting = b""  # not in the file yet

    def write(self, **record: Any) -> None:
        """Add a line to the file."""
        if not _is_step(record):
            self.records.append(record)
        self.n_skipped += "skipped" in record
        self.waiting += _to_line(record)
        self.flush()

    def flush(self) -> None:
        """Write the lines that are not in the file yet."""
        while self.waiting:
            self.waiting = self.waiting[os.write(self.file, self.waiting) :]

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        self.flush()
        os.fsync(self.file)

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)

    def of(self, event: str) -> list[Record]:
        """The records of one event (not "step"), without the event's name."""
        found = [record for record in self.records if record["event"] == event]
        return [{name: value for name, value in record.items() if name != "event"} for record in found]


def _to_line(record: Record) -> bytes:
    return f"{json.dumps(record)}\n".encode()


def read_log(path: str | os.PathLike[str]) -> list[Record]:
    """The records of a run's log, in order.  path is the run folder; the module's text says what a record holds.

    Reading stops at the first line that is not whole: a run that was killed may have left one.  The list is empty if
    there is no log yet.  Raises RunError if path is not a folder.
    """
    if not Path(path).is_dir():
        raise RunError(f"{os.fspath(path)!r} is not a folder: give the one that train has made")
    records: list[Record] = []
    try:
        for text in (Path(path) / LOG).read_bytes().split(b"\n"):
            record = json.loads(text)
            if not isinstance(record, dict) or type(record["step"]) is not int or type(record["event"]) is not str:
                break
            records.append(record)
    except (OSError, ValueError, KeyError):
        pass
    return records


def records_up_to(records: list[Record], step: int) -> list[Record]:
    """The records up to a training step, without those of the evaluation, the sample and the end that follow it."""
    return [record for record in records if record["step"] < step or (record["step"] == step and _is_step(record))]


def _is_step(record: Record) -> bool:
    return bool(record["event"] == "step")


def eval_tokens_of(records: list[Record]) -> int | None:
    """The `eval_tokens` of the last evaluation; None if there is none, or it does not say."""
    found = [record.get("eval_tokens") for record in records if record["event"] == "evaluation"]
    return found[-1] if found and type(found[-1]) is int and found[-1] > 0 else None


def has_ended(records: list[Record]) -> bool:
    """Whether the run is complete."""
    return bool(records) and records[-1]["event"] == "end"


def skipped_last(records: list[Record]) -> int:
    """How many training steps were skipped in a row at the end of the log."""
    steps = [record for record in records if _is_step(record)]
    for n, record in enumerate(reversed(steps)):
        if "skipped" not in record:
            return n
    return len(steps)
