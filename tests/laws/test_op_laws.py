"""The laws of ops on objects that are no NumPy op in float64: one dtype alone, answers in a wrong form."""

import numpy as np
import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.laws.law import LawBroken
from tinygrad_gpt.laws.ops.memory import empty_is_garbage


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


def test_without_float64_and_reference_there_is_nothing_to_differentiate():
    missing = {id: laws.find(id).missing(squares()) for id in GRADIENT_LAWS}
    assert missing == {id: {"derivative"} for id in GRADIENT_LAWS}
    assert laws.find("G04").applies_to(squares())


def test_a_bare_gradient_is_refused():
    with pytest.raises(LawBroken, match="a vjp that answers float32") as broken:
        laws.find("G05").check(squares(answer=lambda dx: dx))
    assert broken.value.expected == "one gradient per array, in a tuple"


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
