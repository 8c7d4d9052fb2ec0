"""What a notebook shows: a tensor as HTML, a picture from its file."""

import html
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.cases import CASES
from tinygrad_gpt import GPT, GPTConfig, Tensor, no_grad, ops
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.notebook import Picture, as_html
from tinygrad_gpt.tape import apply, recompute_in_backward


def lines(tensor):
    """The text of a tensor's HTML, a line for each <div>."""
    parts = re.split("</div>|<pre.*?>|</pre>", tensor._repr_html_())
    return [html.unescape(re.sub("<.*?>", "", part)) for part in parts]


def test_a_leaf_shows_its_gradient():
    x = Tensor(np.float32([3, 4]), requires_grad=True)
    assert lines(x)[:2] == ["Tensor shape (2,), float32", "gradient none yet"]
    (x * x / 2).sum().backward()
    assert lines(x)[1] == "gradient in .grad, of norm 5"
    assert "[3. 4.]" in lines(x)


def test_a_result_shows_the_op_and_the_shapes_that_it_was_made_from():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    loss = (x @ np.ones((3, 4))).sum()
    assert lines(x @ np.ones((3, 4)))[1:3] == [
        "made by matmul of (2, 3), a constant",
        "gradient passed on, not stored: not a leaf",
    ]
    assert lines(loss)[:2] == ["Tensor scalar, float64", "made by sum of (2, 4)"]
    loss.backward()
    assert lines(loss)[1] == "made by sum, already used by backward"


def test_a_constant_asks_for_nothing():
    x = Tensor(np.ones(2), requires_grad=True)
    with no_grad():
        assert lines(x + x)[1] == "gradient not required"


def test_entries_cannot_pass_for_html():
    assert "<b>x</b>" not in as_html(np.array(["<b>x</b>"]), {})


def test_a_large_tensor_is_shortened():
    assert len(Tensor(np.ones((1000, 1000)))._repr_html_()) < 1500


PLAIN = [(op, sut) for op in ops.ALL_OPS for sut in CASES[op.__name__] if sut.op is op]


@pytest.mark.parametrize(("op", "sut"), PLAIN, ids=[sut.name for _, sut in PLAIN])
@settings(max_examples=2)
@given(data=st.data())
def test_every_op_is_told_by_its_name(op, sut, data):
    arrays, keywords = data.draw(sut.cases)
    inputs = [Tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in map(np.asarray, arrays)]
    with reference_only():
        assert lines(apply(op, *inputs, **keywords))[1].startswith(f"made by {op.__name__} of ")


def test_kernels_are_told_by_the_name_of_their_op():
    model = GPT(GPTConfig(vocab_size=5, context_length=4, emb_dim=4, n_heads=2, n_layers=1))
    loss = model.loss(np.zeros((1, 4), int), np.ones((1, 4), int))
    assert lines(loss)[1].startswith("made by linear_cross_entropy of (1, 4, 4), ")
    assert (
        lines(recompute_in_backward(lambda x: x * x, Tensor(np.ones(2), requires_grad=True)))[1]
        == "made by recomputed of (2,)"
    )


def test_a_picture_is_its_file(tmp_path):
    path = tmp_path / "plot.png"
    path.write_bytes(b"the bytes")
    assert Picture(path)._repr_png_() == b"the bytes"
