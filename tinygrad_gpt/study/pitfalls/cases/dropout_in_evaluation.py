"""Dropout that is still on in evaluation."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall

Steps = tuple[int, ...]
Losses = tuple[list[float], list[float]]


def train(seed: int, steps: int, evaluate_after: Steps) -> Losses:
    """The losses of training, and of validation."""
    rng = np.random.default_rng(seed)
    w = np.zeros(8)
    train_losses, val_losses = [], []
    for step in range(1, steps + 1):
        loss, dw = loss_and_gradient(w, batch(step), dropout=rng)
        w = w - 0.05 * dw
        train_losses.append(loss)
        if step in evaluate_after:
            loss, _ = loss_and_gradient(w, batch(0), dropout=rng)
            val_losses.append(loss)
    return train_losses, val_losses


def train_fixed(seed: int, steps: int, evaluate_after: Steps) -> Losses:
    """The losses of training, and of validation."""
    rng = np.random.default_rng(seed)
    w = np.zeros(8)
    train_losses, val_losses = [], []
    for step in range(1, steps + 1):
        loss, dw = loss_and_gradient(w, batch(step), dropout=rng)
        w = w - 0.05 * dw
        train_losses.append(loss)
        if step in evaluate_after:
            loss, _ = loss_and_gradient(w, batch(0), dropout=None)
            val_losses.append(loss)
    return train_losses, val_losses


def batch(step: int) -> tuple[Array, Array]:
    """x (16, 8) and y (16) of a step; step 0 is the validation set."""
    x = np.random.default_rng(1000 + step).standard_normal((16, 8))
    return x, x @ np.linspace(-1, 1, 8)


def loss_and_gradient(
    w: Array, data: tuple[Array, Array], *, dropout: np.random.Generator | None
) -> tuple[float, Array]:
    """Mean squared error of linear regression; with dropout, a fifth of the inputs is dropped."""
    x, y = data
    if dropout is not None:
        x = x * (dropout.random(x.shape) > 0.2) / 0.8
    error = x @ w - y
    return float((error**2).mean()), 2 * x.T @ error / len(y)


def symptom(train: Code) -> None:
    """Three runs of one seed: never evaluated, evaluated at the end, evaluated on the way as well."""
    for after in ((), (60,), (20, 40, 60)):
        losses, val_losses = train(7, 60, after)
        shown = ", ".join(f"{loss:.3f}" for loss in val_losses) or "(none)"
        name = ", ".join(map(str, after)) or "never"
        print(f"evaluated after {name:<10}  last train loss {losses[-1]:.3f}   val {shown}")


sut = laws.LossUnderTest(name="train", trajectory=lambda *run: np.array(train(*run)[0]))

PITFALL = Pitfall(
    name="dropout-in-evaluation",
    title="looking changes the run",
    area="loss",
    task="A training loop with dropout that now and then evaluates on a validation set.",
    wrong=train,
    fixed=train_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, trajectory=lambda *run: np.array(train_fixed(*run)[0])),
    laws=("L14",),
    why="The validation loss is that of a damaged model, and a different one each time. And the masks come from the "
    "generator of training: evaluate at other steps, and all later training is different. Evaluation must have no "
    "dropout and use no random numbers.",
)
