"""PyTorch's functions under the laws of ops.  docs/deviations.md says what fails and why."""

from tests.oracle.steady import check
from tests.oracle.torch_functions import FUNCTIONS, under_test
from tinygrad_gpt import laws

ZERO_DIMS = {"G10": "a 0-d tensor does not take part in promotion: float64 () with float32 (1,) gives float32"}
WHY = {
    "torch-add": ZERO_DIMS,
    "torch-mul": ZERO_DIMS,
    "torch-div": ZERO_DIMS,
    "torch-pow": ZERO_DIMS,
    "torch-where": ZERO_DIMS,
    "torch-max": {"G23": "among ties the first gets the whole gradient; amax shares it"},
    "torch-cat": {"G16": "0-d tensors are refused by a RuntimeError"},
    "torch-sdpa": {"G21": "the CPU's flash kernel makes zeros of a nan in a query where there are few keys"},
}


@laws.parametrize_with_laws(map(under_test, FUNCTIONS), expected_failures=lambda sut: WHY.get(sut.name, {}))
def test_functions(sut, law):
    check(sut, law)
