"""PyTorch's side of each section, tiny and on the CPU: it computes what we compute."""

import contextlib

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is whom we are compared with")

from benchmarks import ours  # noqa: E402
from benchmarks.cuda import gemm, launching, rival_torch, training  # noqa: E402
from benchmarks.generation import hugging_face  # noqa: E402
from tests.benchmarks.test_cuda_sections import CONFIG, TINY  # noqa: E402
from tinygrad_gpt import GPT, generate  # noqa: E402
from tinygrad_gpt.kernels.cuda import PRECISIONS  # noqa: E402
from tinygrad_gpt.nn.initial_weights import initial_weights  # noqa: E402

torch.optim.AdamW([torch.zeros(1)])  # the first one sets an environment variable: no test is to blame for that


@pytest.fixture(autouse=True)
def as_it_was():
    """PyTorch's switch is the process's."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_its_steps_are_ours(precision):
    """The loss at equal weights, and after some steps."""
    weights = initial_weights(CONFIG, 0, "float32")
    loss, step = rival_torch.contender(CONFIG, weights, precision, device="cpu")
    our_loss, our_step = ours.functions(GPT(CONFIG, weights=weights), contextlib.nullcontext)
    batch = TINY.batch()
    assert loss(*batch) == pytest.approx(our_loss(*batch), rel=training.AGREE[precision])
    for _ in range(5):
        step(*batch)
        our_step(*batch)
    assert loss(*batch) == pytest.approx(our_loss(*batch), rel=training.AGREE[precision])
    assert loss(*batch) < GPT(CONFIG, weights=weights).loss(*batch).item() - 1e-3


def test_precisions_are_switched():
    weights = initial_weights(CONFIG, 0, "float32")
    losses = {}
    for precision, allowed in (("float32", "highest"), ("tf32", "high"), ("bfloat16", "highest")):
        losses[precision] = rival_torch.contender(CONFIG, weights, precision, device="cpu")[0](*TINY.batch())
        assert torch.get_float32_matmul_precision() == allowed
    assert losses["bfloat16"] != losses["float32"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("transposed", ["", "a", "b"])
def test_its_products_are_of_the_same_kind(transposed, precision):
    make, multiply = gemm.theirs(precision, "cpu")
    a, b, out = gemm.operands(make, transposed, 3, 4, 5)
    assert (a.shape, b.shape, out.shape) == ((3, 4), (4, 5), (3, 5))
    assert [x.is_contiguous() for x in (a, b)] == [transposed != "a", transposed != "b"]
    assert out.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    multiply(a, b, out)
    torch.testing.assert_close(out, a @ b)


def test_its_calls_run():
    for call in launching.their_calls("cpu").values():
        assert isinstance(call(), torch.Tensor)


def test_hugging_face_continues_as_we_do():
    pytest.importorskip("transformers", reason="whose generation we are compared with")
    model = GPT(CONFIG, seed=2)
    for tensor in model.parameters().values():
        tensor.data *= 10  # so that tokens differ
    want = [int(ids[0]) for ids in generate(model, [[1, 2]], 4)]
    assert len(set(want)) > 1
    assert hugging_face(model, "cpu", "float32", [1, 2])(4) == want
    assert len(hugging_face(model, "cpu", "bfloat16", [1, 2])(4)) == 4
