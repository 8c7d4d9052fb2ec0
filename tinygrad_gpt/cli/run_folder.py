"""The folder that a training run writes, and that generate and evaluate read.

model.safetensors  tokenizer.json   what was trained, and the tokens it knows
config.toml                         the options: tinygrad-gpt train --config RUN/config.toml runs it again
log.jsonl  loss.png  sample.txt     how it went
tokens.bin  tokens.bin.json         the text's tokens, if it was too large for memory
run.lock                            there while the run goes on: whose it is
"""

import json
import os
import platform
from contextlib import suppress
from pathlib import Path

from tinygrad_gpt.backend import resolve_device
from tinygrad_gpt.cli.errors import UserError, user_input
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.text import Tokenizer, load_tokenizer
from tinygrad_gpt.training import load_checkpoint

MODEL, TOKENIZER, CONFIG, LOG, PLOT, SAMPLE = (
    "model.safetensors",
    "tokenizer.json",
    "config.toml",
    "log.jsonl",
    "loss.png",
    "sample.txt",
)
TOKENS, LOCK = ("tokens.bin", "tokens.bin.json"), "run.lock"
RESULTS = (MODEL, TOKENIZER, CONFIG, LOG, PLOT, SAMPLE)
FILES = (*RESULTS, *TOKENS, LOCK)


class RunFolder:
    """A folder for one run, as a context: on the way out the lock goes, and after bad input everything it made.

    `RunFolder(out, ...)` only looks; `create()` makes the folder, takes the lock and shows that it can be written;
    `start()` removes the files of the run that --overwrite replaces.

    Raises UserError if out is no place for a run: a file, in use, not empty, or not writable.
    """

    def __init__(self, out: str | None, name: str, *, overwrite: bool = False) -> None:
        self.name, self.is_named, self.overwrite = name, out is not None, overwrite
        self.path = next_free(name) if out is None else Path(out)
        self.made: list[Path] = []  # files and folders that were not there before, in the order of their making
        self.created = self.started = self.has_tokens = False
        if out == "":
            raise UserError("--out must name a folder; got ''")
        with user_input():
            self.check(overwrite)

    def check(self, overwrite: bool) -> None:
        """Raise UserError if what is there forbids a run; writes nothing."""
        path = self.path
        existing = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        if not existing.is_dir():
            raise UserError(f"--out {str(path)!r}: {str(existing)!r} is a file, not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"--out {str(path)!r}: {str(existing)!r} cannot be written")
        if not path.exists():
            return
        self.check_unlocked()
        there = sorted(os.listdir(path))
        if there and not overwrite:
            raise UserError(f"--out {str(path)!r} is not empty: choose another folder, or --overwrite the run in it")
        if foreign := [name for name in there if name not in FILES]:
            raise UserError(f"--out {str(path)!r} holds {foreign[0]!r}, which no run wrote: choose another folder")

    def check_unlocked(self) -> None:
        """Raise UserError if a run that is still going holds the folder."""
        try:
            owner = json.loads((self.path / LOCK).read_text("utf-8"))
            pid, host = int(owner["pid"]), owner["host"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if host != platform.node() or is_running(pid):
            raise UserError(f"--out {str(self.path)!r} is in use by the run of process {pid} on {host}")

    def create(self) -> None:
        """Make the folder and the lock in it; the second time nothing."""
        if self.created:
            return
        if not self.is_named:
            self.path = next_free(self.name)  # another run may have taken the one that was free
        with user_input():
            self.check(self.overwrite)  # once more: reading the text took its time
            for folder in reversed([self.path, *self.path.parents]):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)
                    self.made.append(folder)
            lock = self.path / LOCK
            lock.unlink(missing_ok=True)  # of a run that ended without a chance to remove it
            with open(lock, "x", encoding="utf-8") as file:
                self.made.append(lock)
                json.dump({"pid": os.getpid(), "host": platform.node()}, file)
        self.created = True

    def tokens_file(self) -> Path:
        """Where to write the tokens of a text that is too large for memory."""
        self.create()
        self.has_tokens = True
        self.made += [path for path in map(self.file, TOKENS) if not path.exists()]
        return self.file(TOKENS[0])

    def start(self) -> None:
        """From here on the run is in the folder: what an earlier one left goes."""
        self.create()
        with user_input():
            for name in RESULTS if self.has_tokens else (*RESULTS, *TOKENS):
                self.file(name).unlink(missing_ok=True)
        self.started = True

    def file(self, name: str) -> Path:
        """Where a file of the run lies."""
        return self.path / name

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        if self.created:
            self.file(LOCK).unlink(missing_ok=True)
        if self.started:
            return
        for path in reversed(self.made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def next_free(name: str) -> Path:
    """runs/NAME-N with the lowest N that is not there yet."""
    n = 1
    while os.path.lexists(path := Path("runs", f"{name}-{n}")):
        n += 1
    return path


def is_running(pid: int) -> bool:
    """Whether a process of this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return True


def load_run(run: str, device: str) -> tuple[GPT, Tokenizer]:
    """The model and the tokenizer of a run folder.  Raises UserError if it is none."""
    folder = Path(run)
    if not folder.is_dir():
        raise UserError(f"RUN {run!r} is not a folder: give the one that train has made")
    missing = [name for name in (MODEL, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"RUN {run!r} is not a run folder: it has no {missing[0]}")
    with user_input():
        device = resolve_device(device)
        tokenizer = load_tokenizer(folder / TOKENIZER)
        model = load_checkpoint(folder / MODEL, device=device).model
    if model.config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"RUN {run!r}: its model knows {model.config.vocab_size} tokens, its tokenizer {tokenizer.vocab_size}: "
            "they are not of one run"
        )
    return model, tokenizer
