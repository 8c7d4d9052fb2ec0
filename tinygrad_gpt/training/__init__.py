"""Training and evaluation.  Names that moved to other packages can still be imported from here."""

from importlib import import_module

from tinygrad_gpt.checkpoints import Checkpoint as Checkpoint
from tinygrad_gpt.checkpoints import CheckpointError as CheckpointError
from tinygrad_gpt.checkpoints import Checkpoints as Checkpoints
from tinygrad_gpt.checkpoints import load_checkpoint as load_checkpoint
from tinygrad_gpt.checkpoints import load_gpt2 as load_gpt2
from tinygrad_gpt.checkpoints import save_checkpoint as save_checkpoint
from tinygrad_gpt.training.evaluate import Evaluation as Evaluation
from tinygrad_gpt.training.evaluate import evaluate as evaluate
from tinygrad_gpt.training.evaluate import perplexity as perplexity
from tinygrad_gpt.training.loop import StepReport as StepReport
from tinygrad_gpt.training.loop import train as train

_MOVED_TO_DEBUG = ("NonFinite", "find_nonfinite", "replay")  # crash folders of version 0.1 import `replay` from here


def __getattr__(name: str) -> object:
    if name not in _MOVED_TO_DEBUG:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("tinygrad_gpt.debug"), name)
