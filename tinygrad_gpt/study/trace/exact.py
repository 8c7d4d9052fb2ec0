"""The exact numbers of a step, and the sums that they are made by, for the page.

The arrays have the keys of `arrays_of_trace`; one inside an op is "14:dS", with the op's index.  The smallest come
first, until the limit: a page without an array says that it does not have it.  The sums are in index notation (see
`study.entries.notation`), so the page evaluates them with a program that knows no op.
"""

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.study.entries.call_sums import CallSums
from tinygrad_gpt.study.entries.notation import Lookup
from tinygrad_gpt.study.entries.rules import RULES
from tinygrad_gpt.study.entries.sums import sums_of
from tinygrad_gpt.study.trace.records import OpRecord, Recording, Value
from tinygrad_gpt.study.trace.serialize import arrays_of_trace
from tinygrad_gpt.study.trace.why import computation_of, gradient_terms

_AXES = {  # what an index letter counts in a step of a GPT
    "b": "row",
    "t": "position",
    "j": "key position",
    "h": "head",
    "d": "channel in the head",
    "c": "channel",
    "k": "channel",
    "i": "input channel",
    "o": "output channel",
    "v": "token id",
}
_ROW_AXES = ("row", "position", "channel")


@np.errstate(all="ignore")  # a diverged step is looked at, too
def exact_numbers(trace: Recording, limit_bytes: float, token_ids: Array | None = None) -> dict[str, Any]:
    """The arrays, all together at most limit_bytes; the sums of every op; for every value the parts of its gradient.

    With the batch's token ids (B, T), the axes of arrays have names: row, position, head, channel.
    """
    patterns: dict[str, int] = {}
    sums: list[Any] = []
    axes: dict[str, list[str]] = {}
    arrays = _Arrays(limit_bytes)
    by_size = sorted(arrays_of_trace(trace).items(), key=lambda item: item[1].nbytes)
    for key, array in by_size:
        arrays.add(key, array)
    for op in trace.ops:
        if op.function not in RULES:
            sums.append(None)
            continue
        call = sums_of(computation_of(op))
        sums.append(_sums(op, call, patterns))
        if all(str(value.index) in arrays.found for value in (*op.inputs, op.output)):
            for name, array in _inside(op, call):
                arrays.add(f"{op.index}:{name}", array)
        if token_ids is not None:
            for key, words in _axes(op, call, token_ids):
                if key in arrays.found:
                    axes.setdefault(key, words)
    return {
        "arrays": arrays.found,
        "patterns": [json.loads(pattern) for pattern in patterns],
        "sums": sums,
        "axes": axes,
        "received": [_received(trace, value) for value in trace.values],
    }


class _Arrays:
    """Arrays as the page reads them; one that is already there under another key is stored once."""

    def __init__(self, limit_bytes: float) -> None:
        self.left = limit_bytes
        self.found: dict[str, Any] = {}
        self.keys: dict[tuple[np.dtype[Any], tuple[int, ...], bytes], str] = {}

    def add(self, key: str, array: Array) -> None:
        """Store an array if there is space for it."""
        plain = _plain(array)
        content = array.dtype, array.shape, hashlib.sha256(plain.tobytes()).digest()
        if (same := self.keys.get(content)) is not None:
            self.found[key] = {"same": same}
        elif plain.nbytes <= self.left:
            self.left -= plain.nbytes
            self.keys[content] = key
            text = base64.b64encode(plain.tobytes()).decode("ascii")
            shown = {} if array.dtype == plain.dtype else {"shown_dtype": array.dtype.name}
            self.found[key] = {"dtype": plain.dtype.name, "shape": list(array.shape), "data": text, **shown}


def _plain(array: Array) -> Array:
    """The same numbers in a type that JavaScript has: float32 or float64, int32, uint8."""
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8)
    if kind in "iu":
        fits = not array.size or (array.min() >= -(2**31) and array.max() < 2**31)
        return array.astype("<i4") if fits else array.astype("<f8")
    return array.astype("<f8") if array.dtype.itemsize == 8 else array.astype("<f4")  # float16 and bfloat16 fit into 4


def _sums(op: OpRecord, call: CallSums, patterns: dict[str, int]) -> dict[str, Any]:
    """An op's sums; the patterns that ops share are stored once and referred to by number."""
    texts = [json.dumps(asdict(pattern), ensure_ascii=False) for pattern in call.patterns]
    return {
        "arguments": {name: value.index for name, value in op.arguments.items()},
        "patterns": [patterns.setdefault(text, len(patterns)) for text in texts],
        "sizes": call.sizes,
        "numbers": {label: _json_number(number) for label, number in call.numbers.items()},
        "shapes": {name: list(call.shape(name) or ()) for name in call.names},
    }


def _json_number(number: float) -> float | str:
    """JSON has no infinities and no nan; JavaScript reads these words."""
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def _inside(op: OpRecord, call: CallSums) -> Iterator[tuple[str, Array]]:
    """The arrays that the sums read, and that are neither inputs nor y nor dy."""
    for name in call.inside:
        if op.output.gradient is not None or not name.startswith("d"):
            yield name, call.array(name)


def _axes(op: OpRecord, call: CallSums, token_ids: Array) -> Iterator[tuple[str, list[str]]]:
    """What the axes of the op's arrays count, by the arrays' keys; as far as the op's index letters tell."""
    rows = tuple(token_ids.shape)
    arguments = op.arguments
    keys = {"y": str(op.output.index), **{name: str(value.index) for name, value in arguments.items()}}
    ids_are_tokens = any(np.array_equal(to_host(value.array), token_ids) for value in op.inputs)
    for entry in call.entries:
        if any(isinstance(item, Lookup) for item in entry.index):
            continue
        letters = [item if isinstance(item, str) else "c" for item in entry.index]
        argument = arguments.get(entry.name.removeprefix("d"))
        is_leaf = argument is not None and argument.kind == "leaf"
        by_row = not is_leaf and tuple(call.sizes.get(letter) for letter in letters[:2]) == rows
        words = []
        for axis, letter in enumerate(letters):
            known = _AXES.get(letter, f"axis {axis}")
            if by_row and axis < len(_ROW_AXES) and known not in ("head", "token id"):
                known = _ROW_AXES[axis]
            words.append("position" if known == "token id" and op.name == "embedding" and not ids_are_tokens else known)
        if op.scope.rpartition(".")[2] == "wpe" and len(words) == 2:
            words = ["position", "channel"]
        yield keys.get(entry.name, keys.get(entry.name.removeprefix("d"), f"{op.index}:{entry.name}")), words


def _received(trace: Recording, value: Value) -> list[dict[str, Any]]:
    """The parts of a value's gradient: the op whose vjp sent it, the argument, and the key of the array."""
    parts = []
    for term in gradient_terms(trace, value):
        op = trace.ops[term.op]
        sender = op.inputs[term.slot]
        n = next(i for i, own in enumerate(sender.terms) if own is term)
        key = f"{sender.index}.term.{n}" if len(sender.terms) > 1 else f"{sender.index}.gradient"
        parts.append({"op": term.op, "argument": list(op.arguments)[term.slot], "array": key})
    return parts
