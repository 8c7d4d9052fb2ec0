"""Our batches, split, token files and tokenizers under the laws of data."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.rng import Purpose, philox_words, to_uniform
from tinygrad_gpt.text import Batches, build_tokenizer, encode_to_file, split_tokens


def store(ids, vocab_size):
    """The ids of a text, through a file and back."""
    tokenizer = SimpleNamespace(
        vocab_size=vocab_size, fingerprint="", joint="", safe_cut=len, encode=lambda text: ids[: len(text)]
    )
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        text.write_text("x" * len(ids))
        return np.array(encode_to_file(tokenizer, text, Path(folder, "tokens.bin")))


batches = {
    f"Batches-{order}-{'whole' if drop_last else 'all'}": laws.LoaderUnderTest(
        name=f"Batches-{order}-{'whole' if drop_last else 'all'}",
        load=lambda tokens, *, shuffle=order == "epochs", drop_last=drop_last, **sizes: Batches(
            tokens, shuffle=shuffle, drop_last=drop_last, **sizes
        ),
        batch=Batches.batch,
        steps_per_epoch=lambda loader: loader.steps_per_epoch,
        order=order,
        drop_last=drop_last,
    )
    for order, drop_last in [("epochs", True), ("epochs", False), ("sequential", True)]
}
files = laws.LoaderUnderTest(name="files", split=split_tokens, store=store)
tokenizers = [
    laws.LoaderUnderTest(name=kind, tokenizer=lambda text, kind=kind: build_tokenizer(kind, text + "."))
    for kind in ("compact", "gpt2", "bytes", "chars")
]


@laws.parametrize_with_laws([*batches.values(), files, *tokenizers])
def test_law(sut, law):
    law.check(sut)


def test_load_and_batch_come_together():
    with pytest.raises(ValueError, match="load and batch come together; one is missing in 'half'"):
        laws.LoaderUnderTest(name="half", load=Batches)
    with pytest.raises(ValueError, match="order='epochs' needs steps_per_epoch in 'half'"):
        laws.LoaderUnderTest(name="half", load=Batches, batch=Batches.batch)


class Uniform:
    """A loader without epochs: windows start anywhere, with replacement."""

    def __init__(self, tokens, *, context_length, batch_size, stride, seed):
        if len(tokens) <= context_length:
            raise ValueError(f"{len(tokens)} tokens, context_length {context_length}")
        self.tokens, self.T, self.B, self.seed = tokens, context_length, batch_size, seed

    def batch(self, step):
        u = to_uniform(philox_words(self.seed, Purpose.DATA_ORDER, step=step, count=self.B))
        starts = (u * (len(self.tokens) - self.T)).astype(int)
        windows = self.tokens[starts[:, None] + np.arange(self.T + 1)].astype(np.int64)
        return windows[:, :-1], windows[:, 1:]


@laws.parametrize_with_laws(
    [laws.LoaderUnderTest(name="uniform", load=Uniform, batch=Uniform.batch, order="random")],
)
def test_a_loader_with_replacement_passes_too(sut, law):
    law.check(sut)
