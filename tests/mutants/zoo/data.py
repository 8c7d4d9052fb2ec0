"""A right data loader, and broken ones: each with one piece written wrong, and its effect for a user."""

import random
import unicodedata
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.data.under_test import LoaderUnderTest
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant


class Right:
    """The right loader, in methods that a mutant can override."""

    def __init__(self, tokens: Array, *, context_length: int, batch_size: int, stride: int, seed: int) -> None:
        self.tokens, self.T, self.B, self.stride, self.seed = tokens, context_length, batch_size, stride, seed
        self.check()
        self.n_windows = (self.usable() - 1) // stride + 1

    def check(self) -> None:
        """Raise for a text without a window."""
        if len(self.tokens) <= self.T:
            raise ValueError(f"{len(self.tokens)} tokens do not hold a window of {self.T} and its last target")

    def usable(self) -> int:
        """The number of possible starts of a window."""
        return len(self.tokens) - self.T

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches."""
        return self.n_windows // self.B

    def order(self, epoch: int) -> Array:
        """The windows of an epoch in the order in which they are taken."""
        return self.generator(epoch).permutation(self.n_windows)

    def generator(self, epoch: int) -> np.random.Generator:
        """The random numbers of an epoch."""
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, epoch], np.uint64)))

    def batch(self, step: int) -> tuple[Array, Array]:
        """ids and targets."""
        epoch, i = divmod(step - 1, self.steps_per_epoch)
        starts = self.order(epoch)[i * self.B : (i + 1) * self.B] * self.stride
        return self.windows(starts)

    def windows(self, starts: Array) -> tuple[Array, Array]:
        """The rows that start here."""
        rows = self.tokens[starts[:, None] + np.arange(self.T + 1)].astype(np.int64)
        return rows[:, :-1], rows[:, 1:]


def split(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """The right split: first training, then validation."""
    n_train = len(tokens) - round(len(tokens) * val_fraction)
    return tokens[:n_train], tokens[n_train:]


def store(ids: Array, vocab_size: int) -> Array:
    """The right store: the smallest dtype for all ids; an id outside the vocabulary is an error."""
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"ids must be below {vocab_size}")
    return ids.astype(np.uint16 if vocab_size <= 2**16 else np.uint32)


@dataclass(frozen=True)
class Utf8:
    """The right tokenizer: bytes are the ids."""

    errors: str = "strict"

    def encode(self, text: str) -> Array:
        """The bytes of the text."""
        return np.frombuffer(self.prepared(text).encode("utf-8", self.errors), np.uint8)

    def prepared(self, text: str) -> str:
        """The text unchanged."""
        return text

    def decode(self, ids: Array) -> str:
        """The text of bytes."""
        return bytes(ids).decode("utf-8")


def adapted(name: str, loader: type[Right] = Right, **functions: Any) -> LoaderUnderTest:
    """A loader class as an object under test; split, store and tokenizer are right unless given."""
    return LoaderUnderTest(
        name=name,
        load=loader,
        batch=lambda loader, step: loader.batch(step),
        steps_per_epoch=lambda loader: loader.steps_per_epoch,
        **{"split": split, "store": store, "tokenizer": lambda text: Utf8()} | functions,
    )


RIGHT_LOADER = adapted("right")


DATA_MUTANTS: list[Mutant] = []


def mutant(name, *cites, field="loader"):
    """The class or function below replaces the right one in the mutant; its docstring is the story."""

    def add(broken):
        made = (lambda text: broken()) if field == "tokenizer" else broken
        DATA_MUTANTS.append(Mutant(name, adapted(name, **{field: made}), cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("targets-not-shifted")
class NotShifted(Right):
    """Targets are not shifted: the model learns to repeat its input, at a loss of 0."""

    def windows(self, starts: Array) -> tuple[Array, Array]:
        ids, _ = super().windows(starts)
        return ids, ids.copy()


@mutant("targets-wrap-around")
class Rolled(Right):
    """np.roll: the last target of each window is the window's first token."""

    def windows(self, starts: Array) -> tuple[Array, Array]:
        ids, _ = super().windows(starts)
        return ids, np.roll(ids, -1, axis=1)


@mutant("last-start-missing", "AOSSIE-Org/OpenVerifiableLLM#92")
class LastMissing(Right):
    """The last start is missing: the text's last token is never a target."""

    def usable(self) -> int:
        return max(1, super().usable() - 1)


@mutant("repeats-within-an-epoch")
class WithReplacement(Right):
    """Windows of an epoch are drawn with replacement: a third of them is missing."""

    def order(self, epoch: int) -> Array:
        return self.generator(epoch).integers(0, self.n_windows, self.n_windows)


@mutant("needs-one-more")
class NeedsOneMore(Right):
    """A text of exactly one window is refused."""

    def check(self) -> None:
        if len(self.tokens) <= self.T + 1:
            raise ValueError(f"{len(self.tokens)} tokens do not hold a window of {self.T}")


@mutant("says-nothing", "karpathy/nanoGPT#292")
class SaysNothing(Right):
    """The error for a short text is 'high <= 0', which explains nothing."""

    def check(self) -> None:
        if len(self.tokens) <= self.T:
            raise ValueError("high <= 0")


@mutant("global-generator")
class GlobalGenerator(Right):
    """The order comes from the global generator, which other code uses too."""

    def order(self, epoch: int) -> Array:
        order = list(range(self.n_windows))
        random.shuffle(order)
        return np.array(order)


@mutant("iterator-in-disguise")
class Iterator(Right):
    """Returns the next batch, whatever the step: a resumed run starts over."""

    taken = 0

    def batch(self, step: int) -> tuple[Array, Array]:
        self.taken += 1
        return super().batch(self.taken)


@mutant("one-order-for-all")
class OneOrder(Right):
    """Every epoch goes through the text in the same order."""

    def order(self, epoch: int) -> Array:
        return super().order(0)


@mutant("split-overlaps", field="split")
def split_overlaps(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """The last target of training is the first token of validation."""
    n_train = len(tokens) - round(len(tokens) * val_fraction)
    return tokens[: n_train + 1], tokens[n_train:]


@mutant("split-from-the-front", field="split")
def split_from_the_front(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """The shares are swapped: with a validation share of 0.1, a tenth is left for training."""
    return split(tokens, 1 - val_fraction)


@mutant("uint16-for-all", field="store")
def uint16_for_all(ids: Array, vocab_size: int) -> Array:
    """16 bits for every vocabulary: id 65,536 becomes 0."""
    store(ids, vocab_size)
    return ids.astype(np.uint16)


@mutant("signed-16-bits")
class SignedBits(Right):
    """A map of uint16 is read as int16: ids above 32,767 are negative."""

    def windows(self, starts: Array) -> tuple[Array, Array]:
        if self.tokens.dtype.itemsize == 2:
            self.tokens = self.tokens.view(np.int16)
        return super().windows(starts)


@mutant("reads-from-the-start")
class FromTheStart(Right):
    """The map's file is opened again without its offset."""

    def check(self) -> None:
        super().check()
        if isinstance(self.tokens, np.memmap) and self.tokens.filename is not None:
            self.tokens = np.memmap(self.tokens.filename, self.tokens.dtype, mode="r")[: len(self.tokens)]


@mutant("ids-unchecked", field="store")
def unchecked(ids: Array, vocab_size: int) -> Array:
    """An id outside the vocabulary is stored: it fails at a later step, or wraps on a GPU."""
    return ids.astype(np.int64)


@mutant("normalises-line-ends", field="tokenizer")
class LineEnds(Utf8):
    """CRLF becomes LF."""

    def prepared(self, text: str) -> str:
        return text.replace("\r\n", "\n")


@mutant("normalises-unicode", field="tokenizer")
class Normalised(Utf8):
    """Compatibility forms are folded: ½ becomes three characters."""

    def prepared(self, text: str) -> str:
        return unicodedata.normalize("NFKC", text)


@mutant("strips", field="tokenizer")
class Stripped(Utf8):
    """Space at both ends is lost."""

    def prepared(self, text: str) -> str:
        return text.strip()


@mutant("replaces-surrogates", field="tokenizer")
@dataclass(frozen=True)
class ReplacesSurrogates(Utf8):
    """Half of a UTF-16 pair silently becomes a question mark."""

    errors: str = "replace"
