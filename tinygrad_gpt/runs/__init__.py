"""A run folder, as the train command writes it and as others read it.

load_run(path)   the model, or one of the run's checkpoints, with its tokenizer: a Run
read_log(path)   what happened in the run, step by step

Both raise RunError, a ValueError, if the folder is not a run folder.
"""

from tinygrad_gpt.runs.load import Run as Run
from tinygrad_gpt.runs.load import load_run as load_run
from tinygrad_gpt.runs.log import read_log as read_log
from tinygrad_gpt.runs.names import RunError as RunError
