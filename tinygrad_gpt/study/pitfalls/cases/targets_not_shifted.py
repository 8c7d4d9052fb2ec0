"""Targets that are the inputs."""

from collections import Counter
from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def windows(tokens: Array, starts: Array, T: int) -> tuple[Array, Array]:
    """-> ids, targets, each (N, T)"""
    places = starts[:, None] + np.arange(T)
    ids = tokens[places]
    targets = tokens[places]
    return ids, targets


def windows_fixed(tokens: Array, starts: Array, T: int) -> tuple[Array, Array]:
    """-> ids, targets, each (N, T)"""
    places = starts[:, None] + np.arange(T)
    ids = tokens[places]
    targets = tokens[places + 1]
    return ids, targets


class Loader:
    """Windows of a text, one after the other."""

    def __init__(self, windows: Code, tokens: Array, context_length: int, batch_size: int, stride: int) -> None:
        if len(tokens) <= context_length:
            raise ValueError(f"text has {len(tokens)} tokens; context_length {context_length} needs one more")
        self.windows, self.tokens, self.length, self.batch_size = windows, tokens, context_length, batch_size
        self.starts = np.arange(0, len(tokens) - context_length, stride)

    def batch(self, step: int) -> tuple[Array, Array]:
        """ids, targets of a step, counted from 1."""
        last = step * self.batch_size
        ids, targets = self.windows(self.tokens, self.starts[last - self.batch_size : last], self.length)
        return ids.astype(np.int64), targets.astype(np.int64)


def symptom(windows: Code) -> None:
    """A model that counts which character follows which; it is trained on a text, and then writes."""
    text = "to be or not to be that is the question "
    tokens = np.frombuffer(text.encode(), np.uint8)
    ids, targets = windows(tokens, np.arange(0, len(text) - 8, 8), 8)
    pairs = Counter(zip(ids.ravel().tolist(), targets.ravel().tolist(), strict=True))
    seen = Counter(ids.ravel().tolist())
    nats = -sum(n * np.log(n / seen[a]) for (a, _), n in pairs.items()) / ids.size
    following = {a: b for (a, b), _ in sorted(pairs.items(), key=lambda item: item[1])}
    written = [ord("t")]
    for _ in range(15):
        written.append(following.get(written[-1], ord(" ")))
    print(f"loss on the training text: {abs(nats):.3f} nats per character")
    print(f"it writes: {bytes(written).decode()!r}")


def under_test(windows: Code) -> laws.LoaderUnderTest:
    """The loader with these windows."""

    def load(tokens: Array, *, context_length: int, batch_size: int, stride: int, seed: int) -> Loader:
        return Loader(windows, tokens, context_length, batch_size, stride)

    return laws.LoaderUnderTest(
        name="loader",
        load=load,
        batch=Loader.batch,
        steps_per_epoch=lambda loader: len(loader.starts) // loader.batch_size,
        order="sequential",
    )


sut = under_test(windows)

PITFALL = Pitfall(
    name="targets-not-shifted",
    title="a loss of 0, and nothing learned",
    area="data",
    task="Cuts a text into inputs, and into what the model has to predict.",
    wrong=windows,
    fixed=windows_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, load=under_test(windows_fixed).load),
    laws=("D1",),
    why="A language model predicts the next token: each target is the token after its input. If the target is the "
    "input itself, it learns to repeat it, and the loss looks wonderful.",
)
