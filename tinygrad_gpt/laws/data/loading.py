"""The laws of data: windows over a text, their order, the split, ids on disk, the tokenizer's round trip."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.data.under_test import LoaderUnderTest
from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.strategies import seeds

_LOADER = ("load", "batch")
STARTS, DRAWS = 16, 400  # of a random loader: the chance that some start is missing is below 16 (15/16)^400 < 1e-9


@st.composite
def _corpora(draw: st.DrawFn, sut: LoaderUnderTest) -> Case:
    """Sizes of a text of distinct tokens that gives at least one batch, and a seed."""
    context_length, batch_size = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    stride = 1 if sut.order == "random" else draw(st.integers(1, 6))
    windows = draw(st.integers(batch_size, STARTS if sut.order == "random" else 8))
    rest = draw(st.integers(0, stride - 1))  # tokens after the last window that are in no window
    return {
        "n_tokens": (windows - 1) * stride + context_length + 1 + rest,
        "context_length": context_length,
        "stride": stride,
        "batch_size": batch_size,
        "seed": draw(seeds()),
    }


def _text(n_tokens: int) -> Array:
    """Distinct tokens, so that a window shows where it starts; no token equals its position."""
    return 3 * np.arange(n_tokens) + 7


def _batch(sut: LoaderUnderTest, loader: Any, step: int) -> tuple[Array, Array]:
    """ids and targets of a step."""
    assert sut.batch is not None
    ids, targets = sut.batch(loader, step)
    return np.asarray(ids), np.asarray(targets)


def _first_steps(sut: LoaderUnderTest, loader: Any, epochs: int = 1) -> range:
    """The steps of the first epochs; for a loader without epochs, as many steps."""
    per_epoch = 3 if sut.steps_per_epoch is None else sut.steps_per_epoch(loader)
    return range(1, epochs * per_epoch + 1)


def _bits(batches: list[tuple[Array, Array]]) -> list[Any]:
    """Batches as values that can be compared."""
    return [(ids.tolist(), targets.tolist()) for ids, targets in batches]


@law(
    "D1",
    "targets are the next tokens",
    area="data",
    case=_corpora,
    needs=_LOADER,
    mutants=("targets-not-shifted", "targets-wrap-around"),
)
def next_tokens(sut: LoaderUnderTest, n_tokens: int, seed: int, **sizes: int) -> None:
    """ids and targets are (batch_size, context_length). Each row of ids is a slice of the text; its targets start one
    token later.
    """
    assert sut.load is not None
    tokens, length = _text(n_tokens), sizes["context_length"]
    loader = sut.load(tokens, seed=seed, **sizes)
    for step in _first_steps(sut, loader):
        ids, targets = _batch(sut, loader, step)
        if ids.shape != targets.shape or ids.shape[1:] != (length,) or not 1 <= len(ids) <= sizes["batch_size"]:
            raise LawBroken(f"shapes {ids.shape}, {targets.shape}", f"({sizes['batch_size']}, {length}) for both")
        for row, following in zip(ids, targets, strict=True):
            start = (int(row[0]) - 7) // 3
            want = tokens[start : start + length + 1]
            if not (np.array_equal(row, want[:-1]) and np.array_equal(following, want[1:])):
                raise LawBroken(f"ids {row}, targets {following}", f"ids {want[:-1]}, targets {want[1:]}")


@law(
    "D2",
    "every window, also the last one",
    area="data",
    case=_corpora,
    needs=_LOADER,
    mutants=("last-start-missing", "repeats-within-an-epoch"),
    cites=("AOSSIE-Org/OpenVerifiableLLM#92", "spro/char-rnn.pytorch#3"),
)
def every_window(sut: LoaderUnderTest, n_tokens: int, seed: int, **sizes: int) -> None:
    """Windows start at 0, stride, 2 stride, ... up to and including N - context_length - 1. An epoch has each window
    once, or as many as fill whole batches. A random loader with up to 16 windows draws each within 400 draws, except
    once in 10^9 runs.
    """
    assert sut.load is not None
    possible = list(range(0, n_tokens - sizes["context_length"], sizes["stride"]))
    if sut.order == "random":
        sizes["batch_size"] = 1
    loader = sut.load(_text(n_tokens), seed=seed, **sizes)
    steps = range(1, DRAWS + 1) if sut.order == "random" else _first_steps(sut, loader)
    starts = [(int(row[0]) - 7) // 3 for step in steps for row in _batch(sut, loader, step)[0]]
    if sut.order == "random":
        if sorted(set(starts)) != possible:
            raise LawBroken(f"starts {sorted(set(starts))}", f"{possible}", "order='random'")
        return
    number = len(possible) - (len(possible) % sizes["batch_size"] if sut.drop_last else 0)
    strange = sorted(set(starts) - set(possible))
    if strange or len(starts) != number or len(set(starts)) != number:
        raise LawBroken(f"starts {sorted(starts)} in an epoch", f"{number} of {possible}, each once")


@law(
    "D3",
    "the shortest text",
    area="data",
    case=lambda sut: cases(
        context_length=st.integers(1, 50), missing=st.integers(1, 50), stride=st.integers(1, 50), seed=seeds()
    ),
    needs=_LOADER,
    mutants=("needs-one-more", "says-nothing"),
    cites=("karpathy/nanoGPT#292",),
)
def shortest_text(sut: LoaderUnderTest, context_length: int, missing: int, stride: int, seed: int) -> None:
    """A text of context_length + 1 tokens gives one window; a shorter text is an error that names both numbers."""
    assert sut.load is not None
    sizes = {"context_length": context_length, "batch_size": 1, "stride": stride}
    loader = sut.load(_text(context_length + 1), seed=seed, **sizes)
    ids, _ = _batch(sut, loader, 1)
    if not np.array_equal(ids, _text(context_length)[None]):
        raise LawBroken(f"{ids}", f"the one window {_text(context_length)}")
    n_tokens = max(0, context_length + 1 - missing)
    try:
        _batch(sut, sut.load(_text(n_tokens), seed=seed, **sizes), 1)
    except Exception as error:
        words = str(error)
        if str(n_tokens) not in words or str(context_length) not in words:
            raise LawBroken(f"{error!r}", f"an error that names {n_tokens} and {context_length}") from None
        return
    raise LawBroken(f"a batch from {n_tokens} tokens", f"an error: context_length is {context_length}")


@law(
    "D4",
    "a batch is a function of seed and step",
    area="data",
    case=_corpora,
    needs=_LOADER,
    mutants=("global-generator", "iterator-in-disguise", "one-order-for-all"),
)
def function_of_the_step(sut: LoaderUnderTest, n_tokens: int, seed: int, **sizes: int) -> None:
    """A step's batch depends on (seed, step) alone, not on earlier calls. Epochs differ in order, and so do seeds."""
    assert sut.load is not None
    tokens = _text(n_tokens)
    loader, other = (sut.load(tokens.copy(), seed=seed, **sizes) for _ in range(2))
    steps = _first_steps(sut, loader, epochs=2)
    forwards = [_batch(sut, loader, step) for step in steps]
    backwards = [_batch(sut, other, step) for step in reversed(steps)][::-1]
    if _bits(forwards) != _bits(backwards):
        raise LawBroken(f"{_bits(backwards)} in reverse order", f"{_bits(forwards)}")
    if sut.order == "sequential":
        return
    sizes = {"context_length": 1, "batch_size": 1, "stride": 1}
    orders = [
        _bits([_batch(sut, loader, step) for step in range(first, first + 16)])
        for loader in (sut.load(_text(17), seed=each, **sizes) for each in (seed, seed ^ 1))
        for first in (1, 17)
    ]
    if any(orders[i] == orders[j] for i in range(4) for j in range(i)):  # by chance once in 10^12 runs
        raise LawBroken("two epochs or two seeds in one order of 16 windows", "different orders")


@law(
    "D5",
    "training and validation are disjoint",
    area="data",
    case=lambda sut: cases(
        n_tokens=st.integers(1, 200), val_fraction=st.sampled_from([0.0, 0.1, 0.5]) | st.floats(0, 0.9)
    ),
    needs=("split",),
    mutants=("split-overlaps", "split-from-the-front"),
)
def split_is_disjoint(sut: LoaderUnderTest, n_tokens: int, val_fraction: float) -> None:
    """Training and validation are the text, cut once: no token is shared or lost. Validation is val_fraction of the
    text, within one token.
    """
    assert sut.split is not None
    train, val = (np.asarray(part) for part in sut.split(_text(n_tokens), val_fraction))
    if not np.array_equal(np.concatenate([train, val]), _text(n_tokens)):
        raise LawBroken(f"train {train}, val {val}", "the text, cut once")
    if abs(len(val) - n_tokens * val_fraction) > 1:
        raise LawBroken(f"{len(val)} of {n_tokens} tokens for validation", f"{n_tokens * val_fraction:.1f}")


_VOCABULARIES = st.sampled_from([2, 255, 256, 257, 32768, 32769, 50257, 65535, 65536, 65537, 100277])


@st.composite
def _kept_ids(draw: st.DrawFn, sut: LoaderUnderTest) -> Case:
    """A vocabulary size at the limit of a dtype, and ids, among them the last one."""
    vocab_size = draw(_VOCABULARIES)
    ids = draw(st.lists(st.integers(0, vocab_size - 1), max_size=4))
    return {"ids": np.array([*ids, vocab_size - 1]), "vocab_size": vocab_size}


@law("D6", "stored ids fit their dtype", area="data", case=_kept_ids, needs=("store",), mutants=("uint16-for-all",))
def ids_fit(sut: LoaderUnderTest, ids: Array, vocab_size: int) -> None:
    """Every id up to V - 1 is stored unchanged, also beyond the limit of a dtype (65,536 does not fit into 16 bits)."""
    assert sut.store is not None
    kept = np.asarray(sut.store(ids, vocab_size))
    if kept.tolist() != ids.tolist():
        raise LawBroken(f"{kept} of {kept.dtype}", f"{ids}")


@law(
    "D7",
    "a memory map is an array",
    area="data",
    case=_corpora,
    needs=_LOADER,
    mutants=("signed-16-bits", "reads-from-the-start"),
    examples=25,
)
def memory_map(sut: LoaderUnderTest, n_tokens: int, seed: int, **sizes: int) -> None:
    """A loader gives the same batches from a memory map of uint16 as from an array of the same numbers."""
    assert sut.load is not None
    tokens = 65535 - _text(n_tokens)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokens.bin")
        path.write_bytes(np.concatenate([[0], tokens]).astype("<u2").tobytes())
        mapped = np.memmap(path, "<u2", mode="r")[1:]
        here, there = (sut.load(source, seed=seed, **sizes) for source in (tokens, mapped))
        steps = _first_steps(sut, here)
        want, got = (_bits([_batch(sut, loader, step) for step in steps]) for loader in (here, there))
        del there, mapped  # on some systems an open map cannot be deleted
    if got != want:
        raise LawBroken(f"{got} from the map", f"{want}")


@law(
    "D8",
    "no id beyond the vocabulary",
    area="data",
    case=lambda sut: _kept_ids(sut).flatmap(
        lambda case: cases(
            **{name: st.just(value) for name, value in case.items()}, beyond=st.sampled_from([0, 1, 1000, -1])
        )
    ),
    needs=("store",),
    mutants=("ids-unchecked",),
)
def no_id_beyond(sut: LoaderUnderTest, ids: Array, vocab_size: int, beyond: int) -> None:
    """An id outside [0, V) is an error when the text is stored, not a wrong embedding at a later step."""
    assert sut.store is not None
    bad = ids.copy()
    bad[-1] = beyond if beyond < 0 else vocab_size + beyond
    try:
        kept = sut.store(bad, vocab_size)
    except Exception:
        return
    raise LawBroken(f"{bad} stored as {np.asarray(kept)} for V = {vocab_size}", "an error")


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\r\n",
        "a\r\nb\rc\n",
        "\0",
        "👩‍👩‍👧 é é",
        "\ufeff",
        "  two  spaces ",
        "<|endoftext|>",
        "\t\n",
        "ﬁ ½",
        "٣ हिन्दी",
    ]
)


@law(
    "D9",
    "decode(encode(text)) is text",
    area="data",
    case=lambda sut: cases(text=_TEXTS, place=st.integers(0, 12)),
    needs=("tokenizer",),
    mutants=("normalises-line-ends", "normalises-unicode", "strips", "replaces-surrogates"),
)
def round_trip(sut: LoaderUnderTest, text: str, place: int) -> None:
    """Encoding and decoding gives back every valid text, character by character. Half of a UTF-16 pair is an error, or
    is given back if that is declared.
    """
    assert sut.tokenizer is not None
    tokenizer = sut.tokenizer(text)
    back = tokenizer.decode(tokenizer.encode(text))
    if back != text:
        raise LawBroken(f"{back!r}", f"{text!r}")
    broken = text[:place] + "\ud83d" + text[place:]
    try:
        tokenizer = sut.tokenizer(broken)
        back = tokenizer.decode(tokenizer.encode(broken))
    except ValueError:
        if sut.surrogates == "error":
            return
        raise
    if sut.surrogates == "error" or back != broken:
        want = "an error" if sut.surrogates == "error" else repr(broken)
        raise LawBroken(f"{back!r} for {broken!r}", want, f"surrogates={sut.surrogates!r}")


DATA_LAWS = (
    next_tokens,
    every_window,
    shortest_text,
    function_of_the_step,
    split_is_disjoint,
    ids_fit,
    memory_map,
    no_id_beyond,
    round_trip,
)
