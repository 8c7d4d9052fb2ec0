"""The page as a file: whole, small, and with the trace's numbers in it."""

import base64
import json
import re
from functools import partial

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.study.trace.html_page import page
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.serialize import arrays_of_trace
from tinygrad_gpt.study.trace.spot_checks import Check
from tinygrad_gpt.tape import Tensor, apply

LARGE = GPTConfig(vocab_size=1000, context_length=128, emb_dim=256, n_heads=8, n_layers=2, drop_rate=0.1)


def content(text):
    """What the page has been given."""
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)


@pytest.fixture(scope="module")
def recorded():
    ids = np.random.default_rng(0).integers(0, 1000, (4, 128))
    with trace() as t:
        GPT(LARGE).loss(ids, ids).backward()
    return t


def test_two_layers_stay_below_three_megabytes(recorded):
    assert len(page(recorded).encode()) < 3_000_000


def test_the_heat_maps_of_a_deep_model_leave_less_space_for_arrays():
    config = GPTConfig(vocab_size=20, context_length=64, emb_dim=64, n_heads=2, n_layers=7)
    ids = np.zeros((2, 64), int)
    with trace() as t:
        GPT(config).loss(ids, ids).backward()
    text = page(t)
    assert len(text.encode()) < 3_000_000
    assert sum(array.nbytes for array in arrays_of_trace(t).values()) > 3_000_000
    assert str(t.loss.index) in content(text)["exact"]["arrays"]


def test_the_numbers_are_the_traces(recorded):
    t, got = recorded, content(page(recorded))
    assert [(op["name"], op["scope"], op["output"]) for op in got["ops"]] == [
        (op.name, op.scope, op.output.index) for op in t.ops
    ]
    assert got["events"] == [{"way": event.way, "op": event.op.index} for event in t.events]
    for value, entry in zip(t.values, got["values"], strict=True):
        stats = entry["stats"]
        assert (tuple(stats["shape"]), stats["dtype"]) == (value.stats.shape, value.stats.dtype)
        assert [stats["mean"], stats["std"]] == pytest.approx([value.stats.mean, value.stats.std], rel=1e-5)
        assert [term["op"] for term in entry["terms"]] == [term.op for term in value.terms]
        rows, columns, _, cells, *_ = entry["map"]
        assert len(base64.b64decode(cells)) == rows * columns <= 40 * 128


def test_every_op_has_its_rule_formula_and_code(recorded):
    about = content(page(recorded))["about"]
    assert set(about) == {op.name for op in recorded.ops}
    for name, entry in about.items():
        assert entry["rule"]
        assert "<math>" in entry["formulas"]
        assert entry["code"]["text"].startswith(f"def {name}(")
    assert "def vjp" in content(page(recorded))["kernels"]["tinygrad_gpt.kernels.cpu.gelu"]["text"]


def test_nothing_in_it_can_end_the_script_or_load_anything():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace({"</script><img src=http://x>": x}) as t:
        x.sum().backward()
    text = page(t, title="</title><script>alert(1)</script>", facts={"<!--": "]]>"})
    assert text.count("</script>") == 2
    assert text.count("<script") == 2
    assert "<title>&lt;/title&gt;&lt;script&gt;" in text
    assert content(text)["values"][0]["name"] == "</script><img src=http://x>"
    assert not re.search(r"<(?:link|img|iframe|object)\b|@import|url\(", text.replace("\\u003c", ""))
    assert "default-src 'none'" in text


def test_checks_stand_with_their_array_and_nan_is_none():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        x.sum().backward()
    got = content(page(t, checks=[Check(0, (1,), 1.0, 1.0, np.nan, 1.0)], note="how"))
    numbers = {"at": 1.0, "analytic": 1.0, "numeric": None, "difference": None, "scale": 1.0}
    assert got["checks"] == [{"value": 0, "index": [1], **numbers}]
    assert got["note"] == "how"


def test_a_mark_of_the_page_s_own_in_what_it_is_given_is_text():
    title = "TITLE of DATA /* STYLE */ /* PROGRAM */"
    x = Tensor(np.ones(2), requires_grad=True)
    with trace({"DATA": x}) as t:
        x.sum().backward()
    text = page(t, title=title, note=title)
    assert (content(text)["title"], content(text)["note"], content(text)["values"][0]["name"]) == (title, title, "DATA")
    assert f"<title>{title}</title>" in text


@pytest.mark.parametrize(
    ("op", "shape", "settings"),
    [
        (ops.max, (0, 3), {"axis": 1}),
        (ops.causal_attention, (0, 2, 6), {"n_heads": 1}),
        (ops.causal_attention, (1, 2, 6), {"n_heads": np.int64(1)}),
    ],
)
def test_a_page_may_have_empty_arrays_and_sizes_of_numpy(op, shape, settings):
    with trace() as t:
        apply(op, Tensor(np.ones(shape), requires_grad=True), **settings).sum().backward()
    assert content(page(t))["exact"]["sums"][0]["shapes"]["y"] == list(t.ops[0].output.array.shape)


def test_arrays_with_the_same_numbers_have_their_own_dtypes():
    """An array is stored once only if all its copies are shown alike."""
    dtypes = ("float32", "float16", "bool", "uint8", "int32", "int64")
    with trace() as t:
        for dtype in dtypes:
            apply(ops.reshape, np.ones(3, dtype), shape=(3, 1))
    arrays = content(page(t))["exact"]["arrays"]
    for value in t.values:
        stored = arrays[str(value.index)]
        while "same" in stored:
            stored = arrays[stored["same"]]
        assert stored.get("shown_dtype", stored["dtype"]) == value.stats.dtype


def test_a_partial_has_the_code_and_the_derivation_of_its_function():
    def about(op):
        with trace() as t:
            apply(op, Tensor(np.ones(3), requires_grad=True)).sum().backward()
        return content(page(t))["about"]["gelu"]

    assert about(partial(ops.gelu, form="erf")) == about(ops.gelu)
    assert about(ops.gelu)["code"]["text"].startswith("def gelu(")
