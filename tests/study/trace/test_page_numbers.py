"""The page's exact numbers and sums, asked for in a real browser, are NumPy's and Python's bit for bit."""

import json
import math
import random
import re

import numpy as np
import pytest

from tests.study.browser import in_frames
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.study.entries import entry_sum, names_of
from tinygrad_gpt.study.entries.entry import entry_text
from tinygrad_gpt.study.entries.rules import RULES
from tinygrad_gpt.study.entries.sums import sums_of
from tinygrad_gpt.study.trace.html_page import BatchText, page
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.serialize import arrays_of_trace
from tinygrad_gpt.study.trace.why import computation_of
from tinygrad_gpt.tape import Tensor, apply

pytestmark = pytest.mark.browser
CONFIG = GPTConfig(vocab_size=11, context_length=8, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1)
WORDS = ["a", "b", " ", "\n", "ä", "<b>", "'", "漢", "the", ".", "q"]
HELPERS = """
    const click = (element) => element.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    const enter = (words) => {
      $("#search").focus(); type(words);
      $("#search").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}));
    };
    const heading = () => $("#detail h2").textContent;
    const sections = () => all("#detail details").map((part) => part.querySelector("summary").textContent);
    const bigs = () => all("#detail .big output").map((part) => part.textContent);
"""


def step_of(dtype="float32", **settings):
    rng = np.random.default_rng(3)
    ids, targets = rng.integers(0, 11, (2, 2, 8))
    model = GPT(CONFIG, dtype=dtype, **settings)
    with reference_only(), trace() as t:
        model.loss(ids, targets, dropout=Dropout(0, 1)).backward()
    return t, BatchText(ids, targets, dict(enumerate(WORDS)))


@pytest.fixture(scope="module")
def step():
    return step_of()


@pytest.fixture(scope="module")
def text(step):
    return page(step[0], text=step[1])


def numbers(array):
    """As JSON gives them back: None for what is not finite."""
    return [x if math.isfinite(x) else None for x in np.asarray(array, np.float64).reshape(-1).tolist()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_is_there_bit_for_bit(ask, dtype):
    t, batch = step_of(dtype)
    got = ask(
        page(t, text=batch),
        """return Object.fromEntries(Object.keys(exact.arrays).map((key) => {
          const array = arrayOf(key); return [key, [array.shape, [...array.data], array.dtype]]; }));""",
    )
    wanted = arrays_of_trace(t)
    for op in t.ops:
        call = sums_of(computation_of(op))
        wanted |= {f"{op.index}:{name}": call.array(name) for name in call.inside}
    assert set(got) == set(wanted)
    for key, array in wanted.items():
        shape, data, name = got[key]
        assert (shape, data, name) == (list(array.shape), numbers(array), array.dtype.name), key


def test_a_number_is_the_shortest_text_that_reads_back_as_it(ask, text):
    """As NumPy's text, which is as short."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**31, 2000, dtype=np.uint32)
    floats = [x for x in bits.view(np.float32) if np.isfinite(x)]
    floats += [np.float32(x) for x in (0.0, 1.0, 1e-45, 3.4028235e38, 0.1, 16777216.0, 2.0**-126)]
    got = ask(text, f"""return {json.dumps([float(x) for x in floats])}.map((x) => exactText(x, "float32"));""")
    for x, written in zip(floats, got, strict=True):
        assert np.float32(written) == x
        assert len(re.sub(r"e.*|\D", "", written).strip("0")) <= len(re.sub(r"e.*|\D", "", str(x)).strip("0")), (
            x,
            written,
        )


@pytest.mark.parametrize("spread", [0, 3, 60, 300])
def test_a_total_is_the_exact_sum_rounded_once(ask, text, spread):
    rng = np.random.default_rng(spread)
    lists = [(rng.normal(size=n) * 2.0 ** rng.integers(-spread, spread + 1, n)).tolist() for n in range(1, 60)]
    lists += [[1.0, 2.0**-53, x] for x in (0.0, 2.0**-106, -(2.0**-106))]  # half way between two floats
    lists += [[x, -x] for x in (1.5, 2.0**-1074)] + [[]]
    found = ask(text, f"return {json.dumps(lists)}.map(exactSum);")  # JSON has whole numbers without a point
    assert [float(total) for total in found] == [math.fsum(numbers) for numbers in lists]


def test_a_cell_for_several_entries_is_the_largest_of_them(ask):
    x = np.random.default_rng(1).normal(size=(3, 47, 301))
    with trace() as t:
        (Tensor(x, requires_grad=True) * 1.0).sum().backward()
    rows, columns, found = ask(
        page(t),
        """const [rows, columns] = values[0].map, found = [];
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++) found.push(entryInCell(arrayOf("0"), values[0].map, i, j));
        return [rows, columns, found];""",
    )
    flat = x.reshape(-1, 301)
    assert rows * columns < flat.size
    cells = [
        (block_rows, block)
        for block_rows in np.array_split(np.arange(len(flat)), rows)
        for block in np.array_split(np.arange(301), columns)
    ]
    for index, (block_rows, block) in zip(found, cells, strict=True):
        inside = flat[np.ix_(block_rows, block)]
        assert x[tuple(index)] == inside.flat[np.abs(inside).argmax()]


def drawn_entries(t, seed, count):
    """Entries of every array that has a sum: (op, name, index)."""
    draw = random.Random(seed)
    for op in t.ops:
        if op.function in RULES:
            call = sums_of(computation_of(op))
            for name in call.names:
                for _ in range(count):
                    yield op, name, tuple(draw.randrange(n) for n in call.shape(name))


SUMS = """return ASKED.map(([op, name, index]) => {
      const sum = sumOf(op, name, index);
      return [sum.formula, String(sum.total), String(sum.magnitude), sum.count, sum.terms(9).map((term) => [
        String(term.value), term.way,
        term.factors.map((f) => [f.label ?? f.name, f.form, String(f.value), f.index ?? null])])];
    });"""


def js_text(x):
    return "NaN" if math.isnan(x) else "Infinity" if x == math.inf else "-Infinity" if x == -math.inf else x


def require_sums(ask, t, page_text, entries):
    asked = [(op.index, name, index) for op, name, index in entries]
    for (op, name, index), got in zip(asked, ask(page_text, SUMS.replace("ASKED", json.dumps(asked))), strict=True):
        want = entry_sum(computation_of(t.ops[op]), name, index)
        formula, total, magnitude, count, terms = got
        assert (formula, count) == (want.formula, len(want)), (op, name, index)
        for shown, number in ((total, want.total), (magnitude, want.sum_of_magnitudes)):
            assert np.array_equal(float(shown), number, equal_nan=True), (op, name, index)
        for (value, way, factors), term in zip(terms, want.terms(9), strict=True):
            assert (float(value), way) == (pytest.approx(term.value, abs=0, rel=0, nan_ok=True), term.way)
            for (label, form, number, position), factor in zip(factors, term.factors, strict=True):
                assert np.array_equal(float(number), factor.value, equal_nan=True)
                assert (label, form) == (factor.name, factor.form)
                assert position == (None if factor.index is None else list(factor.index)), (op, name, index, label)


def test_the_sums_of_a_step_are_pythons_bit_for_bit(ask, step, text):
    t, _ = step
    require_sums(ask, t, text, drawn_entries(t, 0, 12))


def test_so_are_those_of_other_ops_shapes_and_what_is_not_finite(ask):
    """A script with broadcasting, moved entries, reductions, and a divergence."""
    rng = np.random.default_rng(5)
    a, b = (Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 3, 4), (3, 1)))
    c = Tensor(rng.normal(size=(4, 5)).astype(np.float32), requires_grad=True)
    with np.errstate(all="ignore"), trace() as t:
        x = (a * b - a / b + (a * a + 1.0) ** b).sum(axis=1)
        y = apply(ops.softmax, x @ c, axis=0) + apply(ops.log_softmax, x @ c).mean(axis=1, keepdims=True)
        z = y.reshape(5, 2).transpose(1, 0)[:, 1:4].max(axis=0).exp() + x.var(axis=0)[:3]
        z = z + ((b * b) ** a).sum(axis=(0, 1))[:3]  # the base is repeated
        w = apply(ops.masked_fill, z, np.array([True, False, False]), value=2.0) * np.array([np.inf, 1.0, 1e300])
        (w * w).sum().backward()
    require_sums(ask, t, page(t), drawn_entries(t, 1, 4))


def test_an_entry_shows_its_number_its_gradient_and_where_it_stands(ask, step, text):
    t, batch = step
    weight, qkv = t["h.0.mlp.c_fc.weight"], t["h.1.attn.c_attn.linear"]
    script = (
        HELPERS
        + """
        enter("h.0.mlp.c_fc.weight[3, 5]");
        const first = [heading(), $("#detail .where").textContent, bigs(), current()];
        enter("d h.1.attn.c_attn.linear[1,5,37]");
        const second = [heading(), $("#detail .where").textContent, bigs(), location.hash];
        enter("h.0.attn.causal_attention:P[0,1,5,3]");
        return [first, second, [heading(), $("#detail .where").textContent, bigs(), sections()]];"""
    )
    first, second, third = ask(text, script)
    assert first[0] == "h.0.mlp.c_fc.weight[3, 5]"
    assert first[1].startswith("input channel 3, output channel 5; read by op ")
    assert [np.float32(x) for x in first[2]] == [weight.array[3, 5], weight.gradient[3, 5]]
    assert first[3] == [False, f"op-{weight.terms[0].op}"]
    token, target = (WORDS[tokens[1, 5]].replace("\n", "↵") for tokens in (batch.ids, batch.targets))
    where = f"row 1, position 5 '{token}' → target '{target}', channel 37 (value, head 0, channel 5 of 8)"
    assert second[:2] == [
        "d h.1.attn.c_attn.linear[1, 5, 37]",
        f"{where}; made by op {qkv.op} linear; read by op {qkv.terms[0].op} causal_attention",
    ]
    assert [np.float32(x) for x in second[2]] == [
        qkv.gradient[1, 5, 37],
        qkv.array[1, 5, 37],
    ]  # the one asked for first
    assert second[3] == "#entry=d%20h.1.attn.c_attn.linear%5B1%2C%205%2C%2037%5D"
    assert "head 1, position 5" in third[1]
    assert "key position 3" in third[1]
    attention = next(op for op in t.ops if op.name == "causal_attention")
    assert float(third[2][0]) == sums_of(computation_of(attention)).array("P")[0, 1, 5, 3]
    assert float(third[2][1]) == sums_of(computation_of(attention)).array("dP")[0, 1, 5, 3]
    assert third[3] == ["Value", "Gradient", "All numbers", "By head"]


def test_one_walks_from_a_weights_gradient_to_the_loss_and_back(ask, step, text):
    """By the largest term's factor that is a gradient, with the mouse; even if the loss was looked at before."""
    t, _ = step
    script = (
        HELPERS
        + """
        enter("loss");
        const loss = [heading(), bigs()];
        enter("d h.0.mlp.c_fc.weight[3, 5]");
        const seen = [heading()];
        const isGradient = (chip) => /(^|\\W)d |:d/.test(chip.querySelector(".mono").textContent);
        for (let i = 0; i < 60; i++) {
          const next = all("#detail .sum button.factor").find(isGradient);
          if (!next || /cross_entropy$/.test(heading())) break;
          click(next); seen.push(heading());
        }
        const began = $("#detail").textContent.includes("Backward starts here");
        const trail = all(".trail > *").map((station) => station.textContent);
        click($(".trail button"));
        return [loss, seen, began, trail, heading(), all(".trail button").length];"""
    )
    loss, seen, began, trail, back, left = ask(text, script)
    assert (loss[0], np.float32(loss[1][0])) == (t.loss.name, t.loss.array)
    assert seen[0] == back == "d h.0.mlp.c_fc.weight[3, 5]"
    assert (seen[-1], began) == (f"d {t.loss.name}", True)
    assert len(seen) > 8
    assert trail == [seen[0], *seen[-7:]]  # the first station stays
    assert left == 0


def test_a_gradient_of_several_parts_has_them_in_one_line_the_largest_first(ask, step, text):
    t, _ = step
    wholes = (t.why("h.0.add", (0, 0, c)) for c in range(CONFIG.emb_dim))
    want = next(why for why in wholes if abs(why.received[0].number) < abs(why.received[1].number))
    parts = sorted(want.received, key=lambda part: -abs(part.number))
    script = (
        HELPERS
        + """
        enter("d h.0.add[0,0,CHANNEL]");
        return [all("#detail details")[0].querySelector("p:not(.big)").textContent,
          all("#detail details")[0].querySelectorAll(".sum")[NORM].querySelector(".soft").textContent];"""
    )
    norm = next(i for i, part in enumerate(parts) if part.op.name == "layer_norm")
    line, ways = ask(text, script.replace("NORM", str(norm)).replace("CHANNEL", str(want.index[-1])))
    shown = re.findall(r"([+-]\S+) \(op (\d+) (\w+)\)", line)
    assert [(int(op), name) for _, op, name in shown] == [(part.op.index, part.op.name) for part in parts]
    assert [float(x) for x, *_ in shown] == pytest.approx([part.number for part in parts], rel=1e-5)
    by_way = {}
    for term in parts[norm].sum.terms():
        by_way[term.way] = by_way.get(term.way, 0) + term.value
    found = dict((way, float(x)) for way, x in re.findall(r"([a-z ]+) ([+-][\d.e+-]+)", ways))
    assert {way.strip(): x for way, x in found.items()} == pytest.approx(by_way, rel=1e-5)


@pytest.mark.parametrize(
    ("asked", "opened"),
    [
        ("dlogits[0, 0, 3]", "lm_head.linear_cross_entropy:dlogits[0, 0, 3]"),
        ("wte.weight['ä', 5]", "wte.weight[4, 5]"),
        ('wte.weight["the", -1]', "wte.weight[8, 15]"),
        ("wte.weight[ 'the' , 5 ]", "wte.weight[8, 5]"),
        ("wte.weight[''', 5]", "wte.weight[6, 5]"),
        ("wte.weight['↵', 5]", "wte.weight[3, 5]"),
        ("h.0.ln_1.layer_norm:xhat[0, 0, 0]", "h.0.ln_1.layer_norm:x̂[0, 0, 0]"),
        ("h.1.mlp.c_fc.bias", "h.1.mlp.c_fc.bias[0]"),
        ("d loss", "d lm_head.linear_cross_entropy"),
    ],
)
def test_an_entry_is_found_by_short_names_tokens_and_from_the_end(ask, text, asked, opened):
    script = HELPERS + f"""type("gelu"); enter({json.dumps(asked)}); return [heading(), $("#search").value];"""
    assert ask(text, script) == [opened, ""]


def test_a_token_may_be_a_comma_or_a_bracket(ask, step):
    t, batch = step
    words = [",", "[", "]", "']", "↵", "a, b", "\n", *WORDS[:4]]
    script = (
        HELPERS
        + """
        const found = {}, entry = (token) => `lm_head.linear_cross_entropy:p[0, 0, '${token}']`;
        for (const [id, token] of WORDS.entries()) {
          type(entry(token)); const ops = all(".op:not([hidden])").length;
          enter(entry(token)); found[id] = [ops, heading()];
        }
        return found;"""
    )
    shown = page(t, text=BatchText(batch.ids, batch.targets, dict(enumerate(words))))
    found = ask(shown, script.replace("WORDS", json.dumps(words[:6])))
    assert found == {str(i): [1, f"lm_head.linear_cross_entropy:p[0, 0, {i}]"] for i in range(6)}


def test_every_array_of_a_script_is_found_by_its_name(ask):
    """Even if it has brackets, quotes or a colon, or begins as the name of a gradient does."""
    names = ["a[0]", "a", "d a", "b[", "it's <b>", "with:colon", "two\nlines", "%zz", "__proto__", "1"]
    tensors = {name: Tensor(np.ones((2, 2)), requires_grad=True) for name in names}
    with trace() as t:
        sum(tensors.values(), start=Tensor(np.zeros((2, 2)))).sum().backward()
    script = """
        const found = [];
        for (const name of places.keys()) for (const d of ["", "d "]) {
          const index = shapeOf(places.get(name)).map(() => 1), words = d + name + indexText(index);
          const opened = openFrom(`#entry=${encodeURIComponent(words)}`);
          const right = opened && sameArray(state.place, places.get(name)) && state.place.gradient === (d !== "");
          if (!right) found.push(words);
        }
        return [[...places.keys()], found];"""
    known, wrong = ask(page(t), script)
    assert set(names) <= set(known)
    assert wrong == ["d a[1, 1]"]  # both the gradient of "a" and an entry of "d a": the name comes first


def test_terms_come_by_size_and_more_on_request(ask, step, text):
    t, _ = step
    want = t.why("h.0.mlp.c_fc.weight", (3, 5)).received[0]
    script = (
        HELPERS
        + """
        enter("h.0.mlp.c_fc.weight[3, 5]");
        const rows = () => all("#detail .sum tbody tr").map((row) => row.cells[0].textContent);
        const table = $("#detail .sum table");
        const few = rows(); click($("#detail .more"));
        const chip = $("#detail button.factor").title;
        return [few, rows(), table.dataset.total, table.dataset.count, $("#detail tfoot").textContent, chip];"""
    )
    few, every, total, count, foot, chip = ask(text, script)
    terms = want.sum.terms()
    assert [float(x) for x in few[:-1]] == pytest.approx([term.value for term in terms[:12]], rel=1e-5)
    assert [float(x) for x in every] == pytest.approx([term.value for term in terms], rel=1e-5)
    assert float(few[-1]) == pytest.approx(sum(term.value for term in terms[12:]), rel=1e-4, abs=1e-9)
    assert (float(total), int(count)) == (want.sum.total, len(want.sum))
    assert f"the sum of {len(want.sum)} terms" in foot
    factor = terms[0].factors[0]
    value = t[re.match(r"(.*?)\[", chip)[1]]
    assert chip.startswith(entry_text(value.name, factor.index))
    assert np.float32(chip.rpartition(" = ")[2]) == value.array[factor.index]


def test_a_table_has_all_numbers_with_tokens_beside_them(ask, step, text):
    t, batch = step
    script = (
        HELPERS
        + """
        const cells = (row) => [...row.cells].map((cell) => cell.textContent);
        const table = () => [...$(".numbers table").tBodies[0].rows].map(cells);
        enter("h.0.mlp.gelu[1,2,3]"); const values = table();
        click(all("#detail .ways button")[1]); const gradients = table();
        enter("wte.weight[2,3]"); click(all("#detail .ways button")[0]); const wte = table();
        enter("lm_head.linear_cross_entropy:p[0,2,3]");
        const heads = [...$(".numbers thead tr").cells].map((cell) => cell.textContent);
        return [values, gradients, wte, heads];"""
    )
    values, gradients, wte, heads = ask(text, script)
    gelu = t["h.0.mlp.gelu"]
    for shown, array in ((values, gelu.array[1]), (gradients, gelu.gradient[1]), (wte, t["wte.weight"].array)):
        assert np.array_equal(np.array([row[1:] for row in shown], np.float32), array)
    labels = (
        [WORDS[i].replace("\n", "↵") for i in batch.ids[1]],
        [WORDS[i].replace("\n", "↵") for i in batch.targets[1]],
    )
    assert [row[0] for row in values] == [f"{i}'{a}' → '{b}'" for i, (a, b) in enumerate(zip(*labels, strict=True))]
    assert [row[0] for row in wte] == [f"{i}'{word}'".replace("\n", "↵") for i, word in enumerate(WORDS)]
    assert heads == ["position ↓ token id →", *(f"{i}'{word}'".replace("\n", "↵") for i, word in enumerate(WORDS))]


def test_clicks_in_maps_tables_and_squares_choose_the_entry(ask, step, text):
    t, _ = step
    attention = next(op for op in t.ops if op.name == "causal_attention")
    script = (
        HELPERS
        + f"""
        show(eventOf.forward.get({attention.index}));
        const canvas = $("#detail canvas"), edge = canvas.getBoundingClientRect();
        const corner = {{clientX: edge.left + 1, clientY: edge.bottom - 1, bubbles: true}};
        canvas.dispatchEvent(new PointerEvent("pointermove", corner));
        const caption = $("#detail figcaption span").textContent;
        canvas.dispatchEvent(new MouseEvent("click", corner));
        const map = heading();
        click($('.numbers td[data-index="1,2,3"]')); const table = heading();
        key("ArrowRight", $(".numbers")); key("ArrowUp", $(".numbers")); const keys = heading();
        key("ArrowUp", $(".numbers")); key("ArrowUp", $(".numbers")); const edgeOfArray = heading();
        key("Escape"); const escaped = heading();
        const square = $('.squares td[data-index="0,1,5,3"]'), title = square.title;
        click(square);
        return [caption, map, table, keys, edgeOfArray, escaped, title, heading(), all(".squares table").length];"""
    )
    caption, in_map, table, keys, edge, escaped, title, square, count = ask(text, script)
    name = attention.output.name
    assert caption.startswith("[1, 7, 0]: ")
    assert np.float32(caption.split(": ")[1]) == attention.output.array[1, 7, 0]
    assert (in_map, table, keys, edge) == (
        f"{name}[1, 7, 0]",
        f"{name}[1, 2, 3]",
        f"{name}[1, 1, 4]",
        f"{name}[1, 0, 4]",
    )
    assert escaped.startswith(f"{attention.index} causal_attention")
    assert float(title.rpartition(": ")[2]) == sums_of(computation_of(attention)).array("P")[0, 1, 5, 3]
    assert (square, count) == (f"{name}:P[0, 1, 5, 3]", CONFIG.n_heads)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("no.such.name[1]", "no array is called no.such.name"),
        ("C_FC.bia[1]", "no array is called C_FC.bia; there are h.0.mlp.c_fc.bias, h.1.mlp.c_fc.bias"),
        ("c_fc.bias[1]", "c_fc.bias may be h.0.mlp.c_fc.bias, h.1.mlp.c_fc.bias"),
        ("wte.weight[11, 0]", "wte.weight has shape (11, 16): no entry [11, 0]"),
        ("wte.weight[1]", "wte.weight has shape (11, 16): no entry [1]"),
        ("wte.weight[-12, x]", "wte.weight has shape (11, 16): no entry [-12, x]"),
    ],
)
def test_what_is_not_there_is_one_line(ask, text, asked, answer):
    script = HELPERS + f"""enter({json.dumps(asked)}); return [$("#wrong").textContent, current()];"""
    assert ask(text, script) == [answer, [False, "op-0"]]


def test_an_address_opens_an_entry(ask, text):
    assert ask(text, 'return $("#detail h2").textContent;', hash="#entry=wte.weight%5B1,2%5D") == "wte.weight[1, 2]"
    assert ask(text, 'return $("#detail h2").textContent;', hash="#entry=nothing%5B1%5D").startswith("0 embedding")


@pytest.mark.parametrize("address", ["#entry=%", "#entry=%E0%A4%A", "#entry=a%0Ab", "#entry=", "#forward-999"])
def test_a_malformed_address_opens_the_first_op(ask, text, address):
    assert ask(text, 'return $("#detail h2").textContent;', hash=address).startswith("0 embedding")


def test_a_file_that_was_written_again_forgets_entries_that_it_no_longer_has(ask, text):
    script = """
        const gone = [{value: 9999, index: [0]}, {op: 9999, inside: "P", index: []}, {value: 0, index: [999, 0]}];
        const trail = [...gone, {value: 0, index: [1, 2]}];
        history.replaceState({place: gone[0], trail}, "", "#entry=ids%5B0%2C1%5D");
        const opened = openFrom(location.hash);
        return [opened, $("#detail h2").textContent, all(".trail button").map((b) => b.textContent)];"""
    assert ask(text, script) == [True, "ids[0, 1]", ["wte.weight[1, 2]"]]


def test_back_returns_to_entries_and_steps(ask, text):
    script = (
        HELPERS
        + """
        const wait = () => new Promise((done) => setTimeout(done, 200));
        const back = async () => { history.back(); await wait(); return heading(); };
        enter("d h.0.mlp.c_fc.weight[3, 5]");
        click(all("#detail .sum button.factor")[1]);
        const second = heading(); const stations = all(".trail button").length;
        $("#to-op").click();
        const seen = [await back(), all(".trail button").length, await back()];
        seen.push((await back()).slice(0, 11), location.hash);
        return [second, stations, ...seen];"""
    )
    second, stations, *seen = ask(text, script)
    assert stations == 1
    assert seen == [
        second,
        1,
        "d h.0.mlp.c_fc.weight[3, 5]",
        "0 embedding" + seen[3].removeprefix("0 embedding"),
        "#forward-0",
    ]


def test_back_leaves_an_array_after_any_number_of_arrow_keys(ask, text):
    script = (
        HELPERS
        + """
        enter("h.0.mlp.c_fc.weight[3, 5]"); enter("h.0.mlp.gelu[1, 2, 3]");
        for (let i = 0; i < 3; i++) key("ArrowRight", $(".numbers"));
        const moved = [heading(), decodeURIComponent(location.hash)];
        history.back(); await new Promise((done) => setTimeout(done, 200));
        return [moved, heading()];"""
    )
    name = "h.0.mlp.gelu[1, 2, 6]"
    assert ask(text, script) == [[name, f"#entry={name}"], "h.0.mlp.c_fc.weight[3, 5]"]


def test_keys_follow_terms_and_do_not_leave_an_entry(ask, step, text):
    script = (
        HELPERS
        + """
        enter("h.0.mlp.c_fc.linear[0, 1, 2]");
        const first = heading(); key("ArrowDown"); key("ArrowLeft"); const stays = heading();
        const factor = all("#detail .sum tbody tr")[1].querySelector("button.factor .mono").textContent;
        key("2"); const followed = heading(), focus = document.activeElement.id;
        type("gelu"); key("Escape", $("#search")); const cleared = [heading(), $("#search").value];
        key("Escape"); const left = heading();
        key("?"); const help = $("#help").hidden;
        return [first, stays, factor, followed, focus, cleared, left, help];"""
    )
    first, stays, factor, followed, focus, cleared, left, help_hidden = ask(text, script)
    assert first == stays == "h.0.mlp.c_fc.linear[0, 1, 2]"
    assert followed == factor
    assert focus == "detail"
    assert cleared == [followed, ""]
    assert re.match(r"\d+ layer_norm", left)
    assert not help_hidden


def test_the_largest_entry_and_the_table_are_one_click_away(ask, step, text):
    t, _ = step
    outputs = [op.output for op in t.ops if op.output.array.ndim == 3]
    value = next(v for v in outputs if v.array.flat[np.abs(v.array).argmax()] < 0)  # the sign does not matter
    script = (
        HELPERS
        + f"""
        show(eventOf.forward.get({value.op}));
        const [largest, numbers] = $("#detail figcaption").querySelectorAll("button");
        click(largest); const entry = heading();
        show(eventOf.forward.get({value.op}));
        click($("#detail figcaption").querySelectorAll("button")[1]);
        const top = () => $(".numbers").getBoundingClientRect().top, before = top(), edge = $("#detail");
        const inView = before > edge.getBoundingClientRect().top && before < edge.getBoundingClientRect().bottom - 99;
        click($('.numbers td[data-index="0,3,1"]'));
        return [largest.textContent, entry, numbers.textContent, inView, before - top()];"""
    )
    words, entry, numbers, in_view, moved = ask(text, script)
    index = np.unravel_index(np.abs(value.array).argmax(), value.array.shape)
    assert float(words.removeprefix("largest ")) == pytest.approx(value.array[index], rel=1e-3)
    assert entry == f"{value.name}[{', '.join(map(str, index))}]"
    assert (numbers, in_view) == ("numbers", True)
    assert abs(moved) < 2  # the table stays under the eyes


def test_what_is_not_in_the_page_is_said_and_full_has_it(ask):
    model = GPT(GPTConfig(vocab_size=50, context_length=64, emb_dim=192, n_heads=2, n_layers=1))
    ids = np.zeros((4, 64), int)
    with trace() as t:
        model.loss(ids, ids).backward()
    script = (
        HELPERS
        + """
        enter("h.0.mlp.c_fc.weight[3, 5]");
        const missing = /The numbers of [^ ]* are not in this page/;
        return [bigs().length, $("#detail").textContent.match(missing)?.[0] ?? ""];"""
    )
    small, full = page(t), page(t, full=True)
    assert len(small) < 3_000_000 < len(full)
    assert ask(small, script) == [0, "The numbers of h.0.mlp.c_fc.weight are not in this page"]
    assert ask(full, script) == [2, ""]


def test_a_recomputed_blocks_gradients_have_their_sums(ask):
    ids = np.zeros((1, 4), int)
    with reference_only(), trace() as t:
        GPT(CONFIG, activation_checkpointing=True).loss(ids, ids).backward()
    want = t.why("h.0.mlp.c_fc.weight", (3, 5)).received
    script = (
        HELPERS + """enter("h.0.mlp.c_fc.weight[3, 5]"); return all(".sum table").map((sum) => sum.dataset.total);"""
    )
    assert [float(total) for total in ask(page(t), script)] == [part.sum.total for part in want]


def test_a_cell_with_a_nan_leads_to_it(ask):
    x = np.arange(47.0 * 301).reshape(47, 301)
    x[0, 0] = np.nan
    with np.errstate(all="ignore"), trace() as t:
        (Tensor(x, requires_grad=True) * 1.0).sum().backward()
    script = (
        HELPERS
        + """
        const words = [...$("#detail figcaption").querySelectorAll("button")].map((button) => button.textContent);
        return [entryInCell(arrayOf("0"), values[0].map, 0, 0), words[0]];"""
    )
    assert ask(page(t), script) == [[0, 0], "largest nan"]


def cubed(x):
    return x**3, lambda dy: (3 * x * x * dy,)


def test_an_op_without_rules_says_so_and_backward_may_start_with_any_gradient(ask):
    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    with trace() as t:
        apply(cubed, x).backward(np.array([1.0, 5.0]))
    script = (
        HELPERS
        + """
        const sums = () => all("#detail .sum").map((part) => part.textContent);
        enter("x[1]"); const sent = sums();
        enter("cubed[1]"); return [sent, sums(), $("#detail").textContent.match(/Backward starts[^.]*/)[0]];"""
    )
    sent, made, began = ask(page(t), script)
    assert sent == ["by op 0 cubed backward: computed: 135; this op has no rules, so there is no sum."]
    assert made == ["by op 0 cubed: computed: 27; this op has no rules, so there is no sum."]
    assert began == "Backward starts here, with the gradient that it was given"


def test_names_may_have_brackets_and_quotes(ask):
    names = ["w[0]", "w", 'q"1', "it's [here]", "loss"]
    leaves = {name: Tensor(np.ones((2, 3)), requires_grad=True) for name in names}
    with trace(leaves) as t:
        total = leaves["w"] * 1.0
        for name in names:
            total = total + leaves[name]
        total.sum().backward()
    script = (
        HELPERS
        + f"""
        const seen = [];
        for (const name of {json.dumps(names)}) {{ enter(`d ${{name}}[1, 2]`); seen.push(heading()); }}
        for (const button of all("#facts button")) click(button);
        return [...seen, heading()];"""
    )
    assert ask(page(t), script) == [*(f"d {name}[1, 2]" for name in names), t.loss.name]


def test_an_address_that_is_no_text_opens_the_first_step(ask, text):
    script = "return [$('#detail h2').textContent.slice(0, 11), openFrom('#entry=%E4'), openFrom('#entry=a%0Ab')];"
    assert ask(text, script, hash="#entry=%") == ["0 embedding", False, False]


def test_a_square_is_attention_only_in_an_attention_op(ask):
    with trace() as t:
        x = Tensor(np.ones((2, 2, 3, 3)), requires_grad=True) * 2.0
        x.sum().backward()
    script = HELPERS + """enter("multiply[0, 0, 0, 0]"); return sections();"""
    assert ask(page(t), script) == ["Value", "Gradient", "All numbers"]


def test_the_keyboard_stays_at_what_it_pressed(ask, text):
    script = (
        HELPERS
        + """
        enter("h.0.attn.causal_attention:P[0,1,5,3]");
        const select = all("#detail select")[1];
        select.focus(); select.value = "0"; select.dispatchEvent(new Event("change", {bubbles: true}));
        const chosen = document.activeElement === all("#detail select")[1];
        enter("h.0.mlp.gelu[1,2,3]");
        all("#detail .ways button")[1].focus(); document.activeElement.click();
        const side = document.activeElement.textContent;
        enter("h.0.mlp.c_fc.weight[3, 5]");
        $("#detail .more").focus(); document.activeElement.click();
        const row = document.activeElement.closest("tr")?.rowIndex;
        return [chosen, side, row, $("#detail .to-numbers")?.getAttribute("aria-label") ?? null];"""
    )
    assert ask(text, script) == [True, "gradient", 12, None]


def test_the_names_of_buttons_say_which_numbers(ask, text):
    found = ask(text, """return all("#detail .to-numbers").map((button) => button.getAttribute("aria-label"));""")
    assert "numbers of wte.embedding" in found
    assert len(set(found)) == len(found)


def test_back_returns_to_a_recomputed_blocks_own_copy_of_a_parameter(ask):
    ids = np.zeros((1, 4), int)
    with trace() as t:
        GPT(CONFIG, activation_checkpointing=True).loss(ids, ids).backward()
    name = "h.0.mlp.c_fc.weight"
    copy = [value.index for value in t.values if value.name == name][-1]
    assert copy != t[name].index
    script = """
        open({value: COPY, index: [3, 5]});
        open({value: 0, index: [0, 0]});
        history.back();
        await new Promise((done) => setTimeout(done, 200));
        return state.place.value;"""
    assert ask(page(t), script.replace("COPY", str(copy))) == copy


def test_what_is_not_finite_has_numpys_names(ask):
    x = Tensor(np.array([np.nan, np.inf, -np.inf, 1.0]), requires_grad=True)
    with np.errstate(all="ignore"), trace() as t:
        (x * x).sum().backward()
    script = """
        const chips = [0, 1, 2, 3].map((i) => {
          open({value: places.get("multiply").value, index: [i]}); return $(".factor b").textContent; });
        return [chips, document.body.innerText.match(/NaN|Infinity/)];"""
    assert ask(page(t), script) == [["nan", "inf", "-inf", "1"], None]


ENTRIES = """
    const all = (selector) => [...window.document.querySelectorAll(selector)], seen = [];
    const look = (state, root) => seen.push(...faults(window, root).map((fault) => `${state}: ${fault}`));
    for (const entry of NAMES) {
      const opened = window.openFrom(`#entry=${encodeURIComponent(entry)}`);
      if (!opened) seen.push(`not opened: ${entry}`);
      look(entry, $("#detail"));
    }
    return {seen, sheet: window.getComputedStyle($("#detail")).position};"""


def test_an_entry_is_whole_at_every_width(tmp_path, step, text):
    entries = [
        *("wte.weight[2, 3]", "h.0.mlp.c_fc.weight[3, 5]", "h.0.ln_1.layer_norm[1, 2, 3]", "h.1.mlp.gelu[0, 1, 2]"),
        *(
            "h.1.attn.c_attn.linear[1, 5, 37]",
            "h.0.attn.causal_attention:dS[0, 1, 5, 3]",
            "lm_head.linear_cross_entropy",
        ),
    ]
    found = in_frames(tmp_path, text, ENTRIES.replace("NAMES", json.dumps(entries)))
    assert {where: got["seen"] for where, got in found.items() if got["seen"]} == {}


def test_names_of_a_step_are_all_found(ask, step, text):
    t, _ = step
    names = [value.name for value in t.values]
    names += [
        f"{op.output.name}:{name}"
        for op in t.ops
        for name in names_of(computation_of(op))
        if name != "y" and name not in {f"d{argument}" for argument in computation_of(op).inputs}
    ]
    found = ask(text, f"return {json.dumps(names)}.map((name) => typeof parsePlace(name) !== 'string');")
    assert [name for name, there in zip(names, found, strict=True) if not there] == []
