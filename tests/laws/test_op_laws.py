"""The laws of ops on objects that are not NumPy ops in float64: other dtypes, results of a wrong form."""

import functools
import operator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.cases import CASES
from tinygrad_gpt import laws
from tinygrad_gpt.kernels import cpu
from tinygrad_gpt.laws.law import LawBroken
from tinygrad_gpt.laws.ops import memory, values
from tinygrad_gpt.laws.ops.memory import empty_is_garbage
from tinygrad_gpt.laws.ops.rounding import (
    LIBRARY_ROUNDINGS,
    Sensitivity,
    input_sensitivity,
    owner_sum_tolerance,
    reference_sensitivity,
)
from tinygrad_gpt.laws.strategies import normal, seeds


def squares(factor=1.0, answer=lambda dx: (dx,), **claims):
    """x², in float32 alone, its vjp wrong by a factor."""

    def op(x):
        assert x.dtype == np.float32
        return x * x, lambda dy: answer(2 * np.float32(factor) * x * dy)

    return laws.OpUnderTest(name="squares", op=op, dtypes=("float32",), **claims)


def square(x):
    return x * x


GRADIENT_LAWS = ("G02", "G03")


@pytest.mark.parametrize("id", ["G01", *GRADIENT_LAWS, "G04"])
def test_a_right_op_of_float32_alone_holds(id):
    laws.find(id).check(squares(reference=square))
    laws.find(id).check(squares(reference=square, analytic=False))


@pytest.mark.parametrize("id", GRADIENT_LAWS)
@pytest.mark.parametrize("factor", [1.01, 0.99])
def test_a_vjp_of_float32_alone_that_is_wrong_by_a_hundredth_is_found(id, factor):
    with pytest.raises(LawBroken, match=id):
        laws.find(id).check(squares(factor, reference=square))


# The mean of 67, 66, 66 is not a float32 number: a row computed in float32 is off by some 1e-5.
CANCELS = tuple(np.array(x, np.float32) for x in ([[67.0, 66.0, 66.0]], [2.8554688, 0.0, 0.0], [0.0, 0.0, 0.0]))


def layer_norm(factor, dtypes):
    """Ours with its gradients in float32 wrong by a factor."""
    (sut,) = CASES["layer_norm"]

    def op(x, gain, bias, **settings):
        y, vjp = sut.op(x, gain, bias, **settings)
        return y, lambda dy: tuple(dx * np.float32(factor) if dx.dtype == np.float32 else dx for dx in vjp(dy))

    return replace(sut, op=op, dtypes=dtypes)


@pytest.mark.parametrize(
    ("id", "dtypes"), [("G02", ("float32",)), ("G03", ("float32",)), ("G11", ("float32", "float64"))]
)
def test_what_float32_cannot_know_is_held_against_nobody(id, dtypes):
    for seed in range(20):
        laws.find(id).replay(layer_norm(1, dtypes), arrays=CANCELS, settings={}, seed=seed)
    with pytest.raises(LawBroken, match=id):
        laws.find(id).replay(layer_norm(1.01, dtypes), arrays=CANCELS, settings={}, seed=0)


def test_without_that_slack_a_right_op_would_break_the_law(monkeypatch):
    monkeypatch.setattr(values, "reference_sensitivity", lambda f, arrays: 0.0)
    with pytest.raises(LawBroken, match="G02"):
        laws.find("G02").replay(
            replace(CASES["layer_norm"][0], dtypes=("float32",), op=cpu.layer_norm), arrays=CANCELS, settings={}, seed=0
        )


def test_the_slack_depends_on_the_numbers_not_on_the_op():
    x = (1000 + normal(0, (50,))).astype(np.float32)
    last_digit = 1000 * np.finfo(np.float32).eps
    slack = reference_sensitivity(lambda x: x - 1000, (x,))
    assert LIBRARY_ROUNDINGS * last_digit / 4 < slack < LIBRARY_ROUNDINGS * last_digit * 4
    assert reference_sensitivity(lambda x: x - 1000, (x.astype(np.float64),)) == 0
    pair = np.array([67.0, 66.0], np.float32)
    assert reference_sensitivity(lambda x: x[:1] - x[1:], (pair,)) > 0, (
        "neighbours move apart, whatever the random choices"
    )


IN_ANY_DTYPE = ("G06", "G09", "G15", "G22", "G23")
NARROW = [
    replace(sut, name=f"{sut.name}-{dtype}", dtypes=(dtype,))
    for suts in CASES.values()
    for sut in suts
    for dtype in ("float32", "float16")
]


@pytest.mark.parametrize(
    ("law", "sut"),
    [(laws.find(id), sut) for id in IN_ANY_DTYPE for sut in NARROW if laws.find(id).applies_to(sut)],
    ids=lambda x: getattr(x, "id", "") or x.name,
)
def test_a_right_op_of_one_narrow_dtype_holds(law, sut):
    law.check(sut)


def test_these_laws_apply_to_what_has_no_float64():
    assert all(any(laws.find(id).applies_to(sut) for sut in NARROW) for id in IN_ANY_DTYPE)


@given(seeds(), st.integers(1, 200), st.sampled_from(["float16", "float32"]))
def test_sums_in_any_order_are_within_their_bound(seed, n, dtype):
    terms = normal(seed, (n,)).astype(dtype)
    owners = np.arange(n) % 3
    exact = np.bincount(owners, terms.astype(np.float64), minlength=3)
    got = np.zeros(3, dtype)
    for owner, term in zip(owners, terms, strict=True):
        got[owner] += term
    assert (abs(got - exact) <= owner_sum_tolerance(terms, owners, 3, terms)).all()


def test_numbers_that_cancel_sway_a_result_and_float64_does_not():
    def difference(a, b):
        return a - b, lambda dy: (dy.copy(), -dy)

    op = laws.OpUnderTest(name="difference", op=difference, arity=2)
    a, b = normal(0, (2, 50)).astype(np.float32) + np.float32(1000)
    dy = np.ones(50, np.float32)
    found = input_sensitivity(op, (a, b), {}, dy)
    last_digit = 1000 * np.finfo(np.float32).eps
    # Though y itself is near 1.
    assert LIBRARY_ROUNDINGS * last_digit / 4 < found.y < LIBRARY_ROUNDINGS * last_digit * 4
    assert max(found.gradients.values()) < 1e-4
    assert input_sensitivity(op, (a.astype(np.float64), b.astype(np.float64)), {}, dy.astype(np.float64)).y == 0


def centred(x):
    """x less its mean; which end the sum begins at depends on the layout."""

    def mean(z):
        return functools.reduce(operator.add, z if z.flags.c_contiguous else z[::-1]) / z.dtype.type(len(z))

    return x - mean(x), lambda dy: (dy - mean(dy),)


def test_another_order_of_sums_is_no_other_result(monkeypatch):
    case = seeds().map(lambda seed: ((1000 + normal(seed, (7,)),), {}))
    op = laws.OpUnderTest(name="centred", op=centred, domain=case, dtypes=("float32",))
    laws.find("G15").check(op)
    monkeypatch.setattr(memory, "input_sensitivity", lambda *case: Sensitivity(0.0, {0: 0.0}))
    with pytest.raises(LawBroken, match="G15"):
        laws.find("G15").check(op)


def test_without_float64_and_reference_there_is_nothing_to_differentiate():
    missing = {id: laws.find(id).missing(squares()) for id in GRADIENT_LAWS}
    assert missing == {id: {"derivative"} for id in GRADIENT_LAWS}
    assert laws.find("G04").applies_to(squares())


def test_a_bare_gradient_is_refused():
    with pytest.raises(LawBroken, match="a vjp that returns float32") as broken:
        laws.find("G05").check(squares(answer=lambda dx: dx))
    assert broken.value.expected == "a tuple of one gradient per array"


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int16", "uint8", "bool", "datetime64[s]", "U3"])
def test_empty_arrays_of_any_dtype_can_be_made_while_they_are_garbage(dtype):
    with empty_is_garbage():
        x = np.empty(2, dtype)
    assert x.shape == (2,)
    if x.dtype.kind in "fc":
        assert np.isnan(x).all()
    elif x.dtype.kind in "iu":
        assert (x == np.iinfo(x.dtype).max).all()


def test_a_hidden_nan_without_axes_has_no_place():
    hides = laws.OpUnderTest(name="hides", op=lambda x: (np.nan_to_num(x), lambda dy: (dy,)), reference=np.positive)
    with pytest.raises(LawBroken) as broken:
        laws.find("G21").replay(hides, arrays=(np.array(1.0),), settings={}, array=0, place=0)
    assert broken.value.expected == "nan, or an error"
