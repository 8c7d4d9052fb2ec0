"""The adapter for data loaders, and for the tokenizers, splits and files before them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from tinygrad_gpt.laws.first_call import FirstCall, call_text
from tinygrad_gpt.laws.law import Area, Array


@dataclass(frozen=True, eq=False, kw_only=True)
class LoaderUnderTest:
    """What prepares a text for training steps.  All functions are optional; arrays are NumPy's.

    load(tokens, *, context_length, batch_size, stride, seed)
                                       tokens (N,) of int -> a loader, or an error if they are too few for one window
    batch(loader, step)                ids, targets, each (B, T) of int; steps are counted from 1 across epochs
    steps_per_epoch(loader)            number of batches of an epoch (required unless the order is "random")
    split(tokens, val_fraction)        (train, validation)
    store(ids, vocab_size)             the ids as they are stored: an array, possibly of another dtype or on disk
    tokenizer(text)                    an object with encode(str) -> ids and decode(ids) -> str for this text

    `order`: "epochs" (every window once, shuffled anew each epoch), "sequential" (once, in order), "random" (windows
    drawn with replacement; stride is ignored, and every start is possible).  `drop_last`: whether windows that do not
    fill a batch are left out of an epoch.  `surrogates`: what encode does with half of a UTF-16 pair.
    """

    area: ClassVar[Area] = "data"
    name: str
    load: Callable[..., Any] | None = None
    batch: Callable[[Any, int], tuple[Array, Array]] | None = None
    steps_per_epoch: Callable[[Any], int] | None = None
    split: Callable[[Array, float], tuple[Array, Array]] | None = None
    store: Callable[[Array, int], Array] | None = None
    tokenizer: Callable[[str], Any] | None = None
    order: Literal["epochs", "sequential", "random"] = "epochs"
    drop_last: bool = True
    surrogates: Literal["error", "kept"] = "error"

    def __post_init__(self) -> None:
        if (self.load is None) != (self.batch is None):
            raise ValueError(f"load and batch come together; one is missing in {self.name!r}")
        if self.load is not None and self.order != "random" and self.steps_per_epoch is None:
            raise ValueError(f"order={self.order!r} needs steps_per_epoch in {self.name!r}")

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the given functions."""
        return frozenset(field.name for field in fields(self) if callable(getattr(self, field.name)))

    @property
    def first_calls(self) -> list[FirstCall]:
        """Each function on twenty tokens, or on a few words."""
        tokens, sizes = np.arange(20) % 5, {"context_length": 2, "batch_size": 2, "stride": 2, "seed": 0}

        def of_a_loader(name: str, form: str, *more: Any) -> list[FirstCall]:
            function, load = getattr(self, name), self.load
            if function is None or load is None:
                return []
            source = f"sut.{name}({', '.join(['sut.load(...)', *map(str, more)])})"
            return [
                FirstCall(name, source, lambda: function(load(tokens, **sizes), *more), f"its form is {name}{form}")
            ]

        return [
            *call_text(self.load, "load", "(tokens, *, context_length, batch_size, stride, seed)", tokens, **sizes),
            *of_a_loader("batch", "(loader, step) -> ids (B, T), targets (B, T)", 1),
            *of_a_loader("steps_per_epoch", "(loader)"),
            *call_text(self.split, "split", "(tokens, val_fraction) -> (train, validation)", tokens, 0.2),
            *call_text(self.store, "store", "(ids, vocab_size)", tokens, 5),
            *call_text(self.tokenizer, "tokenizer", "(text) -> an object with encode and decode", "To be, or not"),
        ]

    @property
    def policies(self) -> Mapping[str, object]:
        """The declared choices where several are right."""
        return {"order": self.order, "drop_last": self.drop_last, "surrogates": self.surrogates}
