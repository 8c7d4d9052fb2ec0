"""The laws of checkpoints: a resumed run equals one that never stopped, and no disk fault loses a good checkpoint."""

from tinygrad_gpt.laws.checkpoints.resuming import RESUME_LAWS
from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest as CheckpointUnderTest
from tinygrad_gpt.laws.checkpoints.writing import WRITE_LAWS

CHECKPOINT_LAWS = (*RESUME_LAWS, *WRITE_LAWS)
