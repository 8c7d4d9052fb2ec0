"""When a run saves, and how: its checkpoints, and the model that it leaves."""

from collections.abc import Callable

from tinygrad_gpt.checkpoints import Checkpoint, Checkpoints, save_checkpoint
from tinygrad_gpt.cli.train.console import Console
from tinygrad_gpt.cli.train.options import Run
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.cli.train.time_spent import TimeSpent
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.log import RunLog
from tinygrad_gpt.runs.names import CHECKPOINTS, MODEL

SHARE_OF_SAVING = 0.05  # of the time, at most
SHARE_OF_LOWEST = 0.1  # the same for the model with the lowest validation loss so far
MAX_SECONDS_UNSAVED = 600
_SAVING = "saving"
_STOP_KEY = "of_a_stop"  # in the metadata of a checkpoint that exists only because the run was stopped


class Saver:
    """Saves a run.  saved is the step of its newest checkpoint.

    A checkpoint that exists only because the run was stopped is deleted once there is a newer one: a run that was never
    stopped does not have it.
    """

    def __init__(
        self,
        options: Run,
        plan: Plan,
        folder: RunFolder,
        log: RunLog,
        console: Console,
        spent: TimeSpent,
        resumed: Checkpoint | None,
    ) -> None:
        self.plan, self.folder, self.log, self.console, self.spent = plan, folder, log, console, spent
        self.has_interval = options.checkpoint_every is not None
        self.checkpoints = Checkpoints(folder.file(CHECKPOINTS), keep=options.keep)
        self.saved = None if resumed is None else resumed.step
        self.stop_checkpoint = self.saved if resumed is not None and _STOP_KEY in resumed.metadata else None

    def is_planned(self, step: int) -> bool:
        """Whether a run saves after this step even if it is never stopped, unless there is no time for it."""
        return step > 0 and (step % self.plan.checkpoint_every == 0 or step == self.plan.steps)

    def is_due(self, step: int) -> bool:
        """Whether to save after this step.  Without --checkpoint-every the time decides too."""
        if step in (0, self.plan.steps):
            return step > 0
        is_long_ago = not self.has_interval and self.spent.since(_SAVING) > MAX_SECONDS_UNSAVED
        return (self.is_planned(step) or is_long_ago) and self.has_time(step)

    def has_time(self, step: int) -> bool:
        """Whether saving takes a small share of the time, this save included; with --checkpoint-every always."""
        if self.has_interval:
            return True
        return self.spent.allows(_SAVING, SHARE_OF_LOWEST if self._is_lowest(step) else SHARE_OF_SAVING)

    def _is_lowest(self, step: int) -> bool:
        """Whether the validation loss after this step is the lowest so far."""
        losses = [(e["val_loss"], e["step"]) for e in self.log.of("evaluation") if e["val_loss"] is not None]
        return bool(losses) and min(losses)[1] == step

    def save_checkpoint(self, step: int, val_loss: float | None = None, *, is_stop: bool = False) -> None:
        """Write a checkpoint of the state after this step.

        A stop's checkpoint has no validation loss: with one it could count as the best, and another would be deleted.
        """
        newest = "there is no checkpoint yet" if self.saved is None else f"the newest is of step {self.saved}"
        with self.spent.on(_SAVING), self.console.tolerate(CHECKPOINTS, f"; {newest}"):
            self.log.sync()  # whatever happens, the log reaches at least as far as the checkpoint
            _with_one_retry(
                lambda: self.checkpoints.save(
                    self.plan.model,
                    self.plan.optimizer,
                    step=step,
                    val_loss=val_loss,
                    metadata=self.plan.settings | ({_STOP_KEY: "yes"} if is_stop else {}),
                    more=int(is_stop or self.stop_checkpoint is not None),
                )
            )
            self.saved, before = step, self.stop_checkpoint
            self.stop_checkpoint = step if is_stop else None
            if before is not None and before != step:
                self.checkpoints.remove(before)

    def save_model(self, step: int) -> None:
        """Write the weights after this step to model.safetensors."""
        path, settings = self.folder.file(MODEL), self.plan.settings
        with self.spent.on(_SAVING), self.console.tolerate(MODEL):
            _with_one_retry(lambda: save_checkpoint(path, self.plan.model, step=step, metadata=settings))


def _with_one_retry(save: Callable[[], object]) -> None:
    """Save, and try once more if it fails: what prevents a write is often gone a moment later."""
    try:
        save()
    except OSError:
        save()
