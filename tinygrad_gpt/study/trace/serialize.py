"""A trace for other programs: plain dictionaries for JSON, with None for nan and infinities; and its arrays."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.study.trace.records import OpRecord, Recording, Term, Value
from tinygrad_gpt.study.trace.spot_checks import Check
from tinygrad_gpt.study.trace.stats import Stats

_VERSION = 1


def as_dict(trace: Recording, checks: Iterable[Check] = ()) -> dict[str, Any]:
    """What was recorded: events in order of time, ops, values with the terms of their gradients, spot checks.

    An op or a value is referred to by its index in its list.
    """
    return {
        "version": _VERSION,
        "kept_bytes": trace.kept_bytes,
        "loss": None if trace.loss is None else trace.loss.index,
        "events": [{"way": event.way, "op": event.op.index} for event in trace.events],
        "ops": [_op(op) for op in trace.ops],
        "values": [_value(value) for value in trace.values],
        "checks": [_none_for_nonfinite(asdict(check) | {"difference": check.difference}) for check in checks],
    }


def arrays_of_trace(trace: Recording) -> dict[str, Array]:
    """Every array of a trace, by the index of its value in `as_dict`'s "values".

    "12" is the array of value 12, "12.gradient" its gradient, and "12.term.0", "12.term.1", ... are the terms whose sum
    the gradient is, if there are several.
    """
    arrays: dict[str, Array] = {}
    for value in trace.values:
        arrays[str(value.index)] = np.asarray(to_host(value.array))
        if value.gradient is not None:
            arrays[f"{value.index}.gradient"] = np.asarray(to_host(value.gradient))
        if len(value.terms) > 1:
            for n, term in enumerate(value.terms):
                arrays[f"{value.index}.term.{n}"] = np.asarray(to_host(term.array))
    return arrays


def _op(op: OpRecord) -> dict[str, Any]:
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


def _value(value: Value) -> dict[str, Any]:
    return {
        "name": value.name,
        "variable": value.variable,
        "kind": value.kind,
        "op": value.op,
        "stats": _stats(value.stats),
        "gradient": None if value.gradient_stats is None else _stats(value.gradient_stats),
        "terms": [_term(term) for term in value.terms],
    }


def _term(term: Term) -> dict[str, Any]:
    return {"op": term.op, "slot": term.slot, "stats": _stats(term.stats), "sum": _stats(term.sum)}


def _stats(stats: Stats) -> dict[str, Any]:
    return _none_for_nonfinite(asdict(stats) | {"rms": stats.rms})


def _none_for_nonfinite(numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(number, float) and not math.isfinite(number) else number
        for name, number in numbers.items()
    }
