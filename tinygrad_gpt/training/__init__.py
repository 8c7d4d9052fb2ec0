"""Training, evaluation, checkpoints and plots."""

from tinygrad_gpt.training.anomaly import NonFinite as NonFinite
from tinygrad_gpt.training.anomaly import find_nonfinite as find_nonfinite
from tinygrad_gpt.training.anomaly import replay as replay
from tinygrad_gpt.training.checkpoint import Checkpoint as Checkpoint
from tinygrad_gpt.training.checkpoint import CheckpointError as CheckpointError
from tinygrad_gpt.training.checkpoint import load_checkpoint as load_checkpoint
from tinygrad_gpt.training.checkpoint import save_checkpoint as save_checkpoint
from tinygrad_gpt.training.checkpoints import Checkpoints as Checkpoints
from tinygrad_gpt.training.evaluate import Evaluation as Evaluation
from tinygrad_gpt.training.evaluate import evaluate as evaluate
from tinygrad_gpt.training.evaluate import perplexity as perplexity
from tinygrad_gpt.training.gpt2_file import load_gpt2 as load_gpt2
from tinygrad_gpt.training.loop import StepReport as StepReport
from tinygrad_gpt.training.loop import train as train
from tinygrad_gpt.training.run import Run as Run
from tinygrad_gpt.training.run import load_run as load_run
