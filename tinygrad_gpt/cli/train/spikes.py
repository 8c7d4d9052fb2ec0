"""Spikes of the loss: single steps in which it jumps, while the gradient is many times as long as usual."""

import math

_LOSS_JUMP = 0.5  # nats per token from one step to the next
_NORM_RATIO = 10  # times as long as gradients were before
_NORM_DECAY = 0.9  # of the usual length, per step
_STEPS_UNTIL_USUAL = 10  # steps until a usual length is known


class Spikes:
    """Watches the steps of a run and keeps the worst spike."""

    def __init__(self) -> None:
        self.seen = 0
        self.previous = math.inf
        self.usual = 0.0  # logarithm of the usual norm of gradients
        self.worst: tuple[float, str] | None = None  # how far the loss jumped, and the step in words

    def watch(self, step: int, loss: float | None, norm: float | None) -> None:
        """Look at the next step.  A step that was not finite is ignored."""
        if loss is None or not norm:
            return
        jump, long = loss - self.previous, math.log(norm) - self.usual
        if self.seen >= _STEPS_UNTIL_USUAL and jump > _LOSS_JUMP and long > math.log(_NORM_RATIO):
            if self.worst is None or jump > self.worst[0]:
                usual = math.exp(self.usual)
                words = f"loss {self.previous:.3g} -> {loss:.3g}, gradient norm {norm:.3g} (usually {usual:.2g})"
                self.worst = jump, f"at step {step:,}: {words}"
        else:  # a spike does not count as usual
            self.usual = (
                math.log(norm) if not self.seen else _NORM_DECAY * self.usual + (1 - _NORM_DECAY) * math.log(norm)
            )
        self.seen += 1
        self.previous = loss

    def worst_in_words(self, clip_norm: float | str, warmup_steps: int) -> str:
        """The worst spike, and the usual remedies that the run does not use; "" if there was none."""
        if self.worst is None:
            return ""
        unused = {"--clip-norm 1": clip_norm == "none", "--warmup-steps": not warmup_steps, "a lower --lr": True}
        return f"{self.worst[1]}; usual remedies: {', '.join(name for name, is_left in unused.items() if is_left)}"
