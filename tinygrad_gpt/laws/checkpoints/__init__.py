"""The laws of checkpoints: a resumed run is the one that was stopped, and no fault of a disk loses a good one."""

from tinygrad_gpt.laws.checkpoints.resuming import RESUME_LAWS
from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest as CheckpointUnderTest
from tinygrad_gpt.laws.checkpoints.writing import WRITE_LAWS

CHECKPOINT_LAWS = (*RESUME_LAWS, *WRITE_LAWS)
