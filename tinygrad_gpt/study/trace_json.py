"""A trace as plain dictionaries, for programs that read JSON: every number in full, nan and infinities as None."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tinygrad_gpt.study.numbers import Stats
from tinygrad_gpt.study.spot_check import Check
from tinygrad_gpt.study.trace import Op, Trace, Value

_VERSION = 1


def as_dict(trace: Trace, checks: Iterable[Check] = ()) -> dict[str, Any]:
    """What was recorded: events in order of time, ops, values with the terms of their gradients, spot checks.

    Ops and values are named by their numbers, which are their places in the lists.
    """
    return {
        "version": _VERSION,
        "kept_bytes": trace.kept_bytes,
        "loss": None if trace.loss is None else trace.loss.index,
        "events": [{"way": event.way, "op": event.op.index} for event in trace.events],
        "ops": [_of_op(op) for op in trace.ops],
        "values": [_of_value(value) for value in trace.values],
        "checks": [_none_for_nonfinite(asdict(check) | {"difference": check.difference}) for check in checks],
    }


def _of_op(op: Op) -> dict[str, Any]:
    """An op."""
    return {
        "name": op.name,
        "scope": op.scope,
        "lines": [asdict(line) for line in op.lines],
        "inputs": [value.index for value in op.inputs],
        "wanted": list(op.wanted),
        "settings": op.settings,
        "output": op.output.index,
        "within": op.within,
        "kernel": op.kernel,
        "seconds": op.seconds,
        "vjp_seconds": op.vjp_seconds,
        "kept_bytes": op.kept_bytes,
        "kept": [
            {"name": kept.name, "shape": list(kept.array.shape), "bytes": kept.nbytes, "owner": kept.owner}
            for kept in op.kept
        ],
    }


def _of_value(value: Value) -> dict[str, Any]:
    """An array and its gradient."""
    return {
        "name": value.name,
        "kind": value.kind,
        "op": value.op,
        "stats": _of_stats(value.stats),
        "gradient": None if value.gradient_stats is None else _of_stats(value.gradient_stats),
        "terms": [
            {"op": term.op, "slot": term.slot, "stats": _of_stats(term.stats), "sum": _of_stats(term.sum)}
            for term in value.terms
        ],
    }


def _of_stats(stats: Stats) -> dict[str, Any]:
    """The numbers of an array."""
    return _none_for_nonfinite(asdict(stats) | {"rms": stats.rms})


def _none_for_nonfinite(numbers: dict[str, Any]) -> dict[str, Any]:
    """None in the place of numbers that JSON has no word for."""
    return {
        name: None if isinstance(number, float) and not math.isfinite(number) else number
        for name, number in numbers.items()
    }
