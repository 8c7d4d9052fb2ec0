"""The learning rate as a pure function of the step."""

import math

from tinygrad_gpt.checks import at_least_one, not_negative, whole_number


def cosine_schedule(
    step: int, *, peak_lr: float, total_steps: int, warmup_steps: int = 0, min_lr: float = 0.0
) -> float:
    """Linear warm-up to peak_lr, then half a cosine down to min_lr.  Steps count from 1.

    Step 1 has peak_lr / (warmup_steps + 1), and step warmup_steps + 1 has peak_lr.  Then the rate falls.  Step
    total_steps and all later steps have min_lr.

    Raises ValueError for a step below 1, a warm-up that leaves no step for the peak, or min_lr above peak_lr.
    Source.  Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, without restarts.
    """
    at_least_one("step", step)
    at_least_one("total_steps", total_steps)
    if not 0 <= whole_number("warmup_steps", warmup_steps, 0) < total_steps:
        raise ValueError(f"warmup_steps must be from 0 to below total_steps {total_steps}; got {warmup_steps}")
    if not not_negative("min_lr", min_lr) <= not_negative("peak_lr", peak_lr):
        raise ValueError(f"min_lr must be from 0 to peak_lr {peak_lr}; got {min_lr}")
    if step <= warmup_steps:
        return peak_lr * step / (warmup_steps + 1)
    decay_steps = max(1, total_steps - (warmup_steps + 1))  # 1 if the peak is the last step: later ones have min_lr
    done = min(1.0, (step - warmup_steps - 1) / decay_steps)
    return min_lr + 0.5 * (peak_lr - min_lr) * (1 + math.cos(math.pi * done))
