"""What a run needs: memory, disk, and the work for its evaluations."""

from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.kernels.limits import memory_limit_bytes
from tinygrad_gpt.nn import GPTConfig
from tinygrad_gpt.nn.cost import checkpoint_bytes, training_bytes
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.text import Batches

_MAX_EVAL_TOKENS = 8192
_EVALUATION_SHARE = 0.2  # of the run's work, at most


def memory_needed(config: GPTConfig, options: Train) -> int:
    """Bytes of the run's arrays at their peak, at most."""
    t = options.training
    rows = -(-t.batch_size // t.accumulation)  # computed together
    return training_bytes(config, rows, activation_checkpointing=t.activation_checkpointing)


def check_memory(config: GPTConfig, options: Train, device: str) -> None:
    """Raise UserError if the machine's memory cannot hold the run.  A GPU is not checked."""
    needed, here = memory_needed(config, options), memory_limit_bytes()
    if device == "cpu" and here is not None and needed > here:
        raise UserError(
            f"training takes about {human_number(needed, 'B')} of memory, this machine has {human_number(here, 'B')}: "
            "use a smaller model, --batch-size or --context-length, --accumulation or --activation-checkpointing"
        )


def disk_needed(config: GPTConfig, keep: int) -> int:
    """Bytes of the run's files, at most.

    Checkpoints: the newest `keep`, the best, that of a stop, and the next one.  model.safetensors: twice, while it is
    replaced; it is a third of a checkpoint.
    """
    return (keep + 3) * checkpoint_bytes(config) + 2 * checkpoint_bytes(config) // 3


def check_disk(config: GPTConfig, keep: int, folder: RunFolder) -> None:
    """Raise UserError if the disk cannot hold the run's files."""
    needed, free = disk_needed(config, keep), folder.free_bytes()
    if free < needed:
        raise UserError(
            f"the disk of {str(folder.path)!r} has {human_number(free, 'B')} free, "
            f"the run needs about {human_number(needed, 'B')} for its checkpoints: "
            "free some space, use a smaller --keep, or another --out"
        )


def tokens_seen(batches: Batches, step: int) -> int:
    """Tokens trained on after this many steps."""
    epochs, rest = divmod(step, batches.steps_per_epoch)
    return epochs * batches.tokens_per_epoch + rest * batches.batch_size * batches.context_length


def affordable_tokens(batches: Batches, steps: int, every: int, n_parts: int) -> int:
    """How many tokens of each part an evaluation scores, so that all evaluations are a fifth of the run's work.

    At most 8,192, at least one context length.  every: steps from one evaluation to the next; n_parts: parts of the
    text that are scored.  To score a token costs a third of what it costs to train on it.
    """
    n_evaluations = 1 + -(-steps // every)
    work = _EVALUATION_SHARE / (1 - _EVALUATION_SHARE) * 3 * tokens_seen(batches, steps)
    n_windows = int(work / (n_evaluations * n_parts)) // batches.context_length
    return max(batches.context_length, min(_MAX_EVAL_TOKENS, n_windows * batches.context_length))
