"""The files of a run folder, and the error for a folder that cannot be used as one.

model.safetensors  tokenizer.json   the trained model, and its tokenizer
config.toml                         the options: tinygrad-gpt train --config RUN/config.toml repeats the run
log.jsonl  loss.png  sample.txt     how the training went
checkpoints/                        from these the run can be resumed: tinygrad-gpt train --resume RUN
crash/                              the step that was not finite, to be examined
tokens.bin  tokens.bin.json         the tokens of the text, if the text is too large for memory
tokens.new.bin  tokens.new.bin.json tokens for the run that will replace this one, until it starts
run.lock                            exists while the run is trained; names its process
"""

import re

from tinygrad_gpt.checkpoints import CheckpointError

MODEL, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.toml"
LOG, PLOT, SAMPLE = "log.jsonl", "loss.png", "sample.txt"
CHECKPOINTS, CRASH = "checkpoints", "crash"  # folders
CRASH_FILES = ("model.safetensors", "step.json", "report.txt")
TOKENS, NEW_TOKENS = ("tokens.bin", "tokens.bin.json"), ("tokens.new.bin", "tokens.new.bin.json")
LOCK = "run.lock"
RESULTS = (MODEL, TOKENIZER, CONFIG, LOG, PLOT, SAMPLE)

_ALL_FILES = (*RESULTS, *TOKENS, *NEW_TOKENS, LOCK)
_DRAFT = re.compile(rf"\.({'|'.join(map(re.escape, _ALL_FILES))})\.[0-9a-f]{{16}}\.tmp")


class RunError(CheckpointError):
    """A folder is not a run folder, lacks what was requested, or cannot take a new run.  The text is one line."""


def is_draft(name: str) -> bool:
    """Whether a process that was killed has left this file half-written."""
    return _DRAFT.fullmatch(name) is not None


def is_of_a_run(name: str) -> bool:
    """Whether a run writes a file or a folder of this name."""
    return name in (*_ALL_FILES, CHECKPOINTS, CRASH) or is_draft(name)
