"""Laws of unusual input: what must be refused, and what must not matter (S23 to S25, S33 to S35)."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, law
from tinygrad_gpt.laws.predicates import close_probabilities
from tinygrad_gpt.laws.sampling.cases import (
    TIED_LOGITS,
    allowed_ids,
    format_array,
    logits_and_settings,
    row_difference,
    uniform_grid,
)
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest
from tinygrad_gpt.laws.strategies import floats, laid_out, layouts, logits, ties


@st.composite
def _masked_logits(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """At least one forbidden id in the first row, at any temperature."""
    case = draw(logits_and_settings(sut, vocabulary=(2, 8), elements=TIED_LOGITS))
    V = case["logits"].shape[-1]
    case["logits"][0, draw(st.integers(1, V - 1))] = -np.inf
    if not np.isfinite(case["logits"][0]).any():
        case["logits"][0, 0] = 0.0
    return case


@law(
    "S23",
    "-inf forbids",
    area="sampling",
    case=_masked_logits,
    needs=("probabilities",),
    mutants=("forbids-by-minus-30",),
    cites=("pytorch/pytorch#4858", "pytorch/pytorch#13867", "pytorch/pytorch#48841", "pytorch/pytorch#50034"),
)
def minus_infinity_forbids(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """An id whose logit is -inf has probability 0 and is never drawn."""
    p = sut.p(logits, **settings)
    forbidden = np.asarray(logits == -np.inf)
    if (p[forbidden] != 0).any():
        raise LawBroken(format_array(p), f"0 where the logit is -inf: ids {allowed_ids(forbidden[0])} of row 0")
    if "ids" in sut.capabilities:
        u = np.concatenate([[0.0], uniform_grid(64), [1 - 2.0**-53]])
        drawn = sut.ids(logits[0], u, **settings)
        if forbidden[0][drawn].any():
            raise LawBroken(f"drew id {drawn[forbidden[0][drawn]][0]}", "never: its logit is -inf")


@st.composite
def _faulty_logits(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Logits with a nan or +inf, a row of only -inf, or rows without ids; also at T = 0."""
    case = draw(logits_and_settings(sut, elements=TIED_LOGITS))
    x = case["logits"]
    fault = draw(st.sampled_from(["nan", "inf", "all -inf", "no ids"]))
    i = draw(st.integers(0, len(x) - 1))
    if fault == "no ids":
        case = {"logits": x[:, :0], "settings": {}}
    elif fault == "all -inf":
        x[i] = -np.inf
    else:
        x[i, draw(st.integers(0, x.shape[-1] - 1))] = float(fault)
    if "temperature" in sut.capabilities and sut.zero_temperature == "greedy" and draw(st.booleans()):
        case["settings"]["temperature"] = 0.0
    return case


@law(
    "S24",
    "invalid logits are an error",
    area="sampling",
    case=_faulty_logits,
    needs=("results",),
    mutants=("nan-becomes-zero",),
    cites=("JustVugg/colibri#369", "karpathy/nanoGPT#273"),
)
def faulty_logits_are_an_error(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """A nan, +inf, a row of only -inf, and rows without ids are errors, also at temperature 0."""
    try:
        seen = sut.results(logits, **settings)
    except sut.errors:
        return
    raise LawBroken(format_array(seen), " or ".join(error.__name__ for error in sut.errors))


NAN, INF = float("nan"), float("inf")
_BAD: dict[str, tuple[Any, ...]] = {
    "temperature": (-1.0, NAN, INF, True, "1"),
    "top_k": (-1, 1.5, 2.0, True, NAN, "2"),
    "top_p": (-0.1, 1.5, NAN, True, "0.5"),
    "min_p": (-0.1, 1.5, NAN, True, "0.5"),
}
_GOOD: dict[str, tuple[tuple[Any, Any], ...]] = {  # (as given, the same in the plainest type)
    "temperature": ((2, 2.0), (np.float32(0.5), 0.5), (np.int64(1), 1.0)),
    "top_k": ((np.int64(2), 2), (np.int32(1), 1)),
    "top_p": ((1, 1.0), (np.float64(0.5), 0.5)),
    "min_p": ((np.float32(0.25), 0.25), (np.float64(0.5), 0.5)),
}


@st.composite
def _any_setting(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """A setting and a value that is invalid, or valid but of an unusual type."""
    name = draw(st.sampled_from(sut.settings))
    values = [*_BAD[name], *(value for value, _ in _GOOD[name]), *([0] if name == "top_k" else [])]
    return {
        "logits": draw(logits(vocabulary=(2, 8), elements=TIED_LOGITS)),
        "setting": name,
        "value": draw(st.sampled_from(values)),
    }


@law(
    "S25",
    "bad settings are errors",
    area="sampling",
    case=_any_setting,
    needs=("results", "settings"),
    mutants=("nan-top-p-accepted", "true-is-one"),
    cites=("Vision-CAIR/MiniGPT-4#200", "ohdearquant/lattice#295", "TransformerLensOrg/TransformerLens#1347"),
)
def bad_settings_are_errors(sut: SamplerUnderTest, logits: Array, setting: str, value: Any) -> None:
    """A negative, nan, infinite, Boolean or text setting, a k that is not a whole number, and a top_p or min_p above 1
    are errors (also k = 0, unless by policy it means off). Whole-number temperatures and NumPy scalars are allowed.
    """
    good = [plain for given, plain in _GOOD[setting] if type(given) is type(value) and given == value]
    off = setting == "top_k" and value == 0 and type(value) is int and sut.zero_k == "off"
    if good or off:
        p, q = sut.results(logits, **{setting: value}), sut.results(logits, **({setting: good[0]} if good else {}))
        if not close_probabilities(p, q, sut.tolerance(1e-12)):
            raise LawBroken(
                f"{format_array(p)} for {value!r}", f"{format_array(q)}, as for {good[0] if good else 'no limit'}"
            )
        return
    try:
        seen = sut.results(logits, **{setting: value})
    except sut.errors:
        return
    raise LawBroken(
        f"{setting} = {value!r} gave {format_array(seen)}", f"{' or '.join(error.__name__ for error in sut.errors)}"
    )


@law(
    "S33",
    "one id, one row, no rows",
    area="sampling",
    case=lambda sut: logits_and_settings(sut, rows=(0, 1), vocabulary=(1, 3), elements=TIED_LOGITS, masked=False),
    needs=("probabilities",),
    mutants=("row-zero-threshold", "squeezes-a-single-row"),
)
def degenerate_shapes(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """A batch without rows gives no rows, one row gives one row, and with V = 1 the only id has probability 1."""
    p = sut.p(logits, **settings)
    if p.shape != logits.shape:
        raise LawBroken(f"shape {p.shape}", f"shape {logits.shape}")
    if logits.shape[-1] == 1 and not np.array_equal(p, np.ones_like(logits)):
        raise LawBroken(format_array(p), "1: there is one id")


@law(
    "S34",
    "float32 logits agree with float64",
    area="sampling",
    case=lambda sut: logits_and_settings(sut, "temperature", "top_k", "min_p", elements=(ties(), floats(8))),
    needs=("probabilities",),
    mutants=("float32-goes-to-half", "float32-drops-rare-ids"),
    cites=("NVIDIA/Megatron-LM#7182",),
)
def float32_agrees(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """The same numbers in float32 and in float64 give the same ids, and a total variation below 1e-5. Unequal logits
    within 1 ulp and ids on min-p's threshold may differ. (For T >= 0.5, without top-p, whose sum may miss p by its last
    bit.)
    """
    settings = settings | {"temperature": max(0.5, settings["temperature"])} if "temperature" in settings else settings
    x = logits.astype(np.float32)
    narrow, wide = sut.p(x, **settings), sut.p(x.astype(np.float64), **settings)
    for i, (p, q) in enumerate(zip(narrow, wide, strict=True)):
        if sut.ties == "any" or has_close_neighbours(
            x[i]
        ):  # which of equal logits stay is up to the sampler: compare by rank
            p, q = np.sort(p), np.sort(q)
        same = allowed_ids(p) == allowed_ids(q)
        if not same and not near_the_threshold(x[i], **settings):
            raise LawBroken(
                f"row {i}: kept {allowed_ids(narrow[i])} for float32", f"{allowed_ids(wide[i])}, as for float64"
            )
        variation = float(np.where(np.isnan(p) & np.isnan(q), 0, np.abs(p - q)).sum()) / 2
        if same and not variation <= 1e-5:
            note = f" for float32, total variation {variation:.2g}"
            raise LawBroken(*row_difference(narrow[i : i + 1], wide[i : i + 1], note, first_row=i))


def has_close_neighbours(x: Array) -> bool:
    """Whether a row of float32 has unequal numbers within 1 ulp, which any rounding can make equal."""
    rising = np.unique(x)
    return bool((rising[1:] <= np.nextafter(rising[:-1], np.float32(np.inf))).any())


def near_the_threshold(x: Array, temperature: float = 1.0, min_p: float = 0.0, **others: Any) -> bool:
    """Whether a rounding decides if min-p, before the temperature or after it, keeps an id of this row."""
    thresholds = [x.max() + T * math.log(min_p) for T in (1.0, temperature)] if min_p else []
    return any((np.abs(x - threshold) <= 1e-5 * max(1.0, temperature)).any() for threshold in thresholds)


@st.composite
def _in_layouts(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Two or three rows, and the name of a layout."""
    return draw(logits_and_settings(sut, rows=(2, 3), vocabulary=(2, 8), elements=TIED_LOGITS)) | {
        "layout": draw(layouts())
    }


@law(
    "S35",
    "the layout does not matter",
    area="sampling",
    case=_in_layouts,
    needs=("probabilities",),
    mutants=("writes-into-its-input", "reads-memory-in-order"),
)
def layout_does_not_matter(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any], layout: str) -> None:
    """Strided, reversed, transposed and read-only logits give the same result as a contiguous copy."""
    p, q = sut.p(laid_out(logits, layout), **settings), sut.p(logits.copy(), **settings)
    if not close_probabilities(p, q, sut.tolerance(1e-12)):
        raise LawBroken(*row_difference(p, q, f" for {layout} logits"))


ROBUSTNESS_LAWS = (
    minus_infinity_forbids,
    faulty_logits_are_an_error,
    bad_settings_are_errors,
    degenerate_shapes,
    float32_agrees,
    layout_does_not_matter,
)
