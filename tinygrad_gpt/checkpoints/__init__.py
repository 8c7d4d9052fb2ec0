"""Checkpoints: a model and its optimizer in one file; the checkpoints of a run; the published files of GPT-2."""

from tinygrad_gpt.checkpoints.checkpoint import Checkpoint as Checkpoint
from tinygrad_gpt.checkpoints.checkpoint import CheckpointError as CheckpointError
from tinygrad_gpt.checkpoints.checkpoint import load_checkpoint as load_checkpoint
from tinygrad_gpt.checkpoints.checkpoint import save_checkpoint as save_checkpoint
from tinygrad_gpt.checkpoints.folder import Checkpoints as Checkpoints
from tinygrad_gpt.checkpoints.gpt2_file import load_gpt2 as load_gpt2
