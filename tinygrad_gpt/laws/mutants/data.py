"""Broken data loaders, each the right one (Right, which passes all laws) with one piece of it written wrong.

The mutants' stories, at the end, say what each class does.
"""

# ruff: noqa: D101, D102

import random
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_gpt.laws.data.under_test import LoaderUnderTest
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.mutant import Mutant


class Right:
    """A loader as it should be, in pieces that a mutant can override."""

    def __init__(self, tokens: Array, *, context_length: int, batch_size: int, stride: int, seed: int) -> None:
        self.tokens, self.T, self.B, self.stride, self.seed = tokens, context_length, batch_size, stride, seed
        self.check()
        self.n_windows = (self.usable() - 1) // stride + 1

    def check(self) -> None:
        """Raise for a text without a window."""
        if len(self.tokens) <= self.T:
            raise ValueError(f"{len(self.tokens)} tokens do not hold a window of {self.T} and its last target")

    def usable(self) -> int:
        """How many places a window can start at."""
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
    """First training, then validation, as it should be."""
    n_train = len(tokens) - round(len(tokens) * val_fraction)
    return tokens[:n_train], tokens[n_train:]


def store(ids: Array, vocab_size: int) -> Array:
    """The smallest dtype that holds every id, and no id outside the vocabulary, as it should be."""
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"ids must be below {vocab_size}")
    return ids.astype(np.uint16 if vocab_size <= 2**16 else np.uint32)


@dataclass(frozen=True)
class Utf8:
    """Bytes as ids, as it should be."""

    errors: str = "strict"

    def encode(self, text: str) -> Array:
        """The bytes of the text."""
        return np.frombuffer(self.prepared(text).encode("utf-8", self.errors), np.uint8)

    def prepared(self, text: str) -> str:
        """The text as it is."""
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


class NotShifted(Right):
    def windows(self, starts: Array) -> tuple[Array, Array]:
        ids, _ = super().windows(starts)
        return ids, ids.copy()


class Rolled(Right):
    def windows(self, starts: Array) -> tuple[Array, Array]:
        ids, _ = super().windows(starts)
        return ids, np.roll(ids, -1, axis=1)


class LastMissing(Right):
    def usable(self) -> int:
        return max(1, super().usable() - 1)


class WithReplacement(Right):
    def order(self, epoch: int) -> Array:
        return self.generator(epoch).integers(0, self.n_windows, self.n_windows)


class NeedsOneMore(Right):
    def check(self) -> None:
        if len(self.tokens) <= self.T + 1:
            raise ValueError(f"{len(self.tokens)} tokens do not hold a window of {self.T}")


class SaysNothing(Right):
    def check(self) -> None:
        if len(self.tokens) <= self.T:
            raise ValueError("high <= 0")


class GlobalGenerator(Right):
    def order(self, epoch: int) -> Array:
        order = list(range(self.n_windows))
        random.shuffle(order)
        return np.array(order)


class Iterator(Right):
    taken = 0

    def batch(self, step: int) -> tuple[Array, Array]:
        self.taken += 1
        return super().batch(self.taken)


class OneOrder(Right):
    def order(self, epoch: int) -> Array:
        return super().order(0)


class SignedBits(Right):
    def windows(self, starts: Array) -> tuple[Array, Array]:
        if self.tokens.dtype.itemsize == 2:
            self.tokens = self.tokens.view(np.int16)
        return super().windows(starts)


class FromTheStart(Right):
    def check(self) -> None:
        super().check()
        if isinstance(self.tokens, np.memmap) and self.tokens.filename is not None:
            self.tokens = np.memmap(self.tokens.filename, self.tokens.dtype, mode="r")[: len(self.tokens)]


class LineEnds(Utf8):
    def prepared(self, text: str) -> str:
        return text.replace("\r\n", "\n")


class Normalised(Utf8):
    def prepared(self, text: str) -> str:
        return unicodedata.normalize("NFKC", text)


class Stripped(Utf8):
    def prepared(self, text: str) -> str:
        return text.strip()


def split_overlaps(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """Training takes one token of validation, as the target of its last window."""
    n_train = len(tokens) - round(len(tokens) * val_fraction)
    return tokens[: n_train + 1], tokens[n_train:]


def split_from_the_front(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """The fractions exchanged."""
    return split(tokens, 1 - val_fraction)


def uint16_for_all(ids: Array, vocab_size: int) -> Array:
    """65,536 becomes 0."""
    store(ids, vocab_size)
    return ids.astype(np.uint16)


def unchecked(ids: Array, vocab_size: int) -> Array:
    """Whatever comes."""
    return ids.astype(np.int64)


def mutant(name: str, story: str, *cites: str, loader: type[Right] = Right, **functions: Any) -> Mutant:
    """The right loader with this class, or these functions, in its place."""
    return Mutant(name, adapted(name, loader, **functions), story, cites)


DATA_MUTANTS = (
    mutant("targets-not-shifted", "The model learns to repeat its input, at a loss of 0.", loader=NotShifted),
    mutant(
        "targets-wrap-around", "np.roll: the last target of each window is the window's first token.", loader=Rolled
    ),
    mutant(
        "last-start-missing",
        "Starts end one too early: the text's last token is never a target.",
        "AOSSIE-Org/OpenVerifiableLLM#92",
        loader=LastMissing,
    ),
    mutant(
        "repeats-within-an-epoch",
        "Windows drawn with replacement, called an epoch: a third is never seen.",
        loader=WithReplacement,
    ),
    mutant("needs-one-more", "A text of exactly one window is refused.", loader=NeedsOneMore),
    mutant("says-nothing", "A text that is too short ends in 'high <= 0'.", "karpathy/nanoGPT#292", loader=SaysNothing),
    mutant(
        "global-generator",
        "The order comes from a global generator that everybody else draws from.",
        loader=GlobalGenerator,
    ),
    mutant(
        "iterator-in-disguise",
        "The next batch, whatever step is asked for: a resumed run starts over.",
        loader=Iterator,
    ),
    mutant("one-order-for-all", "Every epoch goes through the text in the same order.", loader=OneOrder),
    mutant("split-overlaps", "The last target of training is the first token of validation.", split=split_overlaps),
    mutant("split-from-the-front", "A validation share of 0.1 leaves a tenth to train on.", split=split_from_the_front),
    mutant("uint16-for-all", "16 bits for every vocabulary: id 65,536 becomes 0.", store=uint16_for_all),
    mutant("signed-16-bits", "A map of uint16 read as int16: ids above 32,767 are negative.", loader=SignedBits),
    mutant("reads-from-the-start", "The map's file is opened again, and its offset forgotten.", loader=FromTheStart),
    mutant(
        "ids-unchecked", "An id beyond the vocabulary fails at some later step, or wraps on a GPU.", store=unchecked
    ),
    mutant("normalises-line-ends", "CRLF becomes LF.", tokenizer=lambda text: LineEnds()),
    mutant(
        "normalises-unicode",
        "Compatibility forms are folded: ½ becomes three characters.",
        tokenizer=lambda text: Normalised(),
    ),
    mutant("strips", "Space at both ends is lost.", tokenizer=lambda text: Stripped()),
    mutant(
        "replaces-surrogates",
        "Half of a UTF-16 pair silently becomes a question mark.",
        tokenizer=lambda text: Utf8("replace"),
    ),
)
