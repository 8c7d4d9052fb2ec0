"""The page of a trace in a real browser: no errors, clicks and keys work, it fits a phone, and needs no network."""

import re

import numpy as np
import pytest

from tests.study.browser import WIDTHS, in_frames
from tinygrad_gpt import ops
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.study.trace.html_page import page, page_part
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.spot_checks import spot_checks
from tinygrad_gpt.tape import Tensor, apply

pytestmark = pytest.mark.browser
CONFIG = GPTConfig(vocab_size=11, context_length=8, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1, tie_weights=True)


@pytest.fixture(scope="module")
def recorded():
    ids = np.arange(16).reshape(2, 8) % 11
    model = GPT(CONFIG, dtype="float64")

    def loss():
        return model.loss(ids, ids[:, ::-1], dropout=Dropout(0, 1))

    with trace() as t:
        loss().backward()
    return t, spot_checks(t, loss, model.parameters(), per_array=2)


@pytest.fixture(scope="module")
def text(recorded):
    return page(recorded[0], checks=recorded[1], note="Made by a test.", facts={"model": "</script><b>small</b>"})


def test_it_is_all_there_and_asks_for_nothing(ask, text, recorded):
    t, _ = recorded
    got = ask(
        text,
        """return {ops: all(".op .name").map(name => name.textContent),
            boxes: all(".box").map(box => box.getAttribute("aria-label")),
            loaded: performance.getEntriesByType("resource").length, facts: $("#facts").textContent,
            edges: all("#edges g").length, focus: current(), title: document.title};""",
    )
    assert got["ops"] == [op.name for op in t.ops]
    assert got["boxes"][:4] == ["wte", "wpe", "h.0", "h.0.ln_1"]
    assert got["loaded"] == 0
    assert "</script><b>small</b>" in got["facts"]
    assert got["edges"] == len({(v.op, op.index) for op in t.ops for v in op.inputs if v.op is not None})
    assert got["focus"] == [False, "op-0"]
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_every_step_can_be_shown(ask, text, recorded):
    t, _ = recorded
    script = """
        const seen = [];
        for (let i = 0; i < events.length; i++) {
          seen.push([...current(), $("#detail h2").firstChild.textContent, all("#detail canvas").length]);
          key("ArrowDown");
        }
        return seen;"""
    seen = ask(text, script)
    assert [(back, op) for back, op, *_ in seen] == [(e.way == "backward", f"op-{e.op.index}") for e in t.events]
    assert [heading for *_, heading, _ in seen] == [f"{e.op.index} {e.op.name}" for e in t.events]
    assert all(maps > 0 for *_, maps in seen)


def test_clicks_choose_an_op_its_way_and_its_parents(ask, text, recorded):
    t, _ = recorded
    gelu = next(op for op in t.ops if op.name == "gelu")
    script = f"""
        const steps = [];
        $("#op-{gelu.index}").click(); steps.push(current());
        $(".ways button:last-child").click(); steps.push(current());
        $("#op-0").click(); steps.push(current());
        $(".ways button:first-child").click(); steps.push(current());
        $("#op-{gelu.index}").click();
        all("#detail .card h3 button")[0].click(); steps.push(current());
        $("#next").click(); steps.push(current());
        $("#previous").click(); $("#previous").click(); steps.push(current());
        $("#slider").value = events.length - 1; $("#slider").dispatchEvent(new Event("input")); steps.push(current());
        $("#first").click(); steps.push(current());
        const box = $(".box[aria-label='h.0'] > h2 > button"); box.click();
        steps.push([box.getAttribute("aria-expanded"), $("#op-{gelu.index}").getBoundingClientRect().height]);
        return steps;"""
    i = gelu.index
    assert ask(text, script) == [
        *([False, f"op-{i}"], [True, f"op-{i}"], [True, "op-0"], [False, "op-0"], [False, f"op-{i - 1}"]),
        *([False, f"op-{i}"], [False, f"op-{i - 2}"], [True, f"op-{t.events[-1].op.index}"], [False, "op-0"]),
        ["false", 0],
    ]


def test_the_details_are_the_traces(ask, text, recorded):
    t, checks = recorded
    residual = next(value for value in t.values if len(value.terms) == 2 and value.op is not None)
    head = t["wte.weight"]
    script = f"""
        const details = () => all("#detail details").map(d => d.querySelector("summary").textContent);
        $("#op-{residual.op}").click(); $(".ways button:last-child").click();
        const rows = all("#detail .card:first-child tbody tr");
        const terms = rows.map(row => [...row.cells].slice(1, 4).map(cell => cell.textContent));
        $("#op-{head.op or 0}").click();
        return {{terms, sections: details(), checks: all("#detail tbody .good").length, bad: all("#detail .bad").length,
            math: all("#detail math").length, code: all("#detail pre").map(p => p.textContent)}};"""
    got = ask(text, script)
    assert [row[0] for row in got["terms"]] == [f"{term.op} {t.ops[term.op].name}" for term in residual.terms]
    assert [float(row[1]) for row in got["terms"]] == pytest.approx([t_.stats.norm for t_ in residual.terms], rel=1e-3)
    assert [float(row[2]) for row in got["terms"]] == pytest.approx([t_.sum.norm for t_ in residual.terms], rel=1e-3)
    wanted = {"Formula", "Gradient", "Value", "Spot checks", "Kept for backward", "Derivation", "Code", "Called from"}
    assert set(got["sections"]) == wanted
    of_embedding = [check for check in checks if check.value in (t.ops[0].output.index, head.index)]
    assert (got["checks"], got["bad"]) == (len(of_embedding), 0)
    assert got["math"] > 0
    assert got["code"][0].startswith("def embedding(table: Array, ids: Array)")


def test_keys_move_search_and_close(ask, text, recorded):
    t, _ = recorded
    script = """
        const steps = [];
        key("ArrowRight"); key("ArrowDown"); steps.push(current());
        key("ArrowLeft"); steps.push(current());
        key("b"); steps.push(current());
        key("End"); steps.push(current());
        key("Home"); steps.push(current());
        key("/"); steps.push(document.activeElement.id);
        key("Escape", $("#search")); steps.push(document.activeElement === document.body);
        key("Escape"); steps.push([$("#detail").hidden, document.activeElement.id]);
        key("ArrowDown"); steps.push($("#detail").hidden);
        key("Home"); key("ArrowDown", $("#detail pre")); key("End", $("#detail pre")); steps.push(current());
        return steps;"""
    last = t.events[-1].op.index
    assert ask(text, script) == [
        *([False, "op-2"], [False, "op-1"], [True, "op-1"], [True, f"op-{last}"], [False, "op-0"]),
        *("search", True, [True, "op-0"], False, [False, "op-0"]),
    ]


def test_search_finds_ops_scopes_and_parameters(ask, text, recorded):
    t, _ = recorded
    script = """
        const seen = op => !op.hidden && op.getBoundingClientRect().height > 0;
        const found = () => all(".op").filter(seen).map(op => +op.id.slice(3));
        const words = ["gelu", "h.1.attn", "c_fc.bias", "LINEAR mlp", "no such thing"];
        const answers = words.map(words => { type(words); return [found(), $("#nothing").hidden]; });
        type("gelu"); key("Enter", $("#search")); answers.push(current());
        key("Escape", $("#search")); answers.push([found().length, $("#search").value]);
        return answers;"""
    got = ask(text, script)

    def ops(wanted):
        return [[op.index for op in t.ops if wanted(op)], True]

    assert got[0] == ops(lambda op: op.name == "gelu")
    assert got[1][0] == [op.index for op in t.ops if "h.1.attn" in op.scope]
    assert got[2] == ops(lambda op: any("c_fc.bias" in value.name for value in op.inputs))
    assert set(got[3][0]) >= set(ops(lambda op: op.name == "linear" and "mlp" in op.scope)[0])
    assert got[4] == [[], False]
    assert got[5] == [False, f"op-{next(op.index for op in t.ops if op.name == 'gelu')}"]
    assert got[6] == [len(t.ops), ""]


def test_play_walks_to_the_end_and_can_be_stopped(ask, text, recorded):
    t, _ = recorded
    script = """
        const wait = ms => new Promise(done => setTimeout(done, ms));
        $("#play").click();
        await wait(1500);
        const after = [state.event, $("#play").getAttribute("aria-pressed")];
        $("#play").click();
        await wait(1500);
        const paused = state.event;
        show(events.length - 2);
        $("#play").click();
        await wait(3000);
        return [...after, paused, state.event, $("#play").getAttribute("aria-label")];"""
    assert ask(text, script) == [2, "true", 2, len(t.events) - 1, "Play"]


COLOURS = """
    const paper = () => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
    const look = () => [paper(), $("#detail canvas").toDataURL(), ["--low", "--zero", "--high"].map(colour)];
    const seen = [look()];
    for (let i = 0; i < 3; i++) { $("#theme").click(); seen.push(look()); }
    return seen;"""


def heat_map_colours(which):
    """As the style has them, in light (0) or dark (1)."""
    pairs = re.findall(r"--(?:low|zero|high): light-dark\(rgb\((.*)\), rgb\((.*)\)\)", page_part("page.css"))
    return [[int(n) for n in pair[which].split()] for pair in pairs]


@pytest.mark.parametrize("dark", [False, True])
def test_it_has_the_systems_colours_and_every_click_of_the_switch_changes_them(ask, text, dark):
    flags = ["--blink-settings=preferredColorScheme=0"] if dark else []
    system, first, second, third = ask(text, COLOURS, 1280, 900, *flags)
    bright, dim = (first, system) if dark else (system, first)
    assert min(bright[0]) > 200
    assert max(dim[0]) < 60
    assert bright[1] != dim[1]  # heat maps are painted anew
    assert (bright[2], dim[2]) == (heat_map_colours(0), heat_map_colours(1))
    assert (second, third) == (system, first)


def test_steps_are_counted_as_ops_are(ask, text, recorded):
    last = len(recorded[0].events) - 1
    script = """
        const told = () => $("#status").textContent.split("  ")[0];
        const seen = [told()]; $("#op-4").click(); seen.push(told()); key("End"); seen.push(told());
        return seen;"""
    assert ask(text, script) == [f"0/{last}", f"4/{last}", f"{last}/{last}"]


def test_a_constant_gradient_has_a_size_and_ids_have_no_mean(ask):
    x, table, ids = (
        Tensor(np.ones(4), requires_grad=True),
        Tensor(np.ones((3, 2)), requires_grad=True),
        np.array([1, 2]),
    )
    with trace() as t:
        (x * 0.5).sum().backward()
    sent = 'show(events.length - 1); return all("#detail .card p").map(p => p.textContent);'
    assert any("mean 0.5, rms 0.5," in told for told in ask(page(t), sent))
    with trace() as t:
        apply(ops.embedding, table, ids).sum().backward()
    told = ask(page(t), 'return all("#detail .card p").map(p => p.textContent);')
    assert "2 int64" in told


def test_the_place_names_its_function(ask, text):
    told = ask(text, 'return $("#detail .where").textContent;')
    assert re.match(r"tinygrad_gpt/nn/gpt.py:\d+ in hidden\(\)  x = ", told)


EVERY_STATE = """
    const all = (selector) => [...window.document.querySelectorAll(selector)], seen = [];
    const look = (state, root) => seen.push(...faults(window, root).map((fault) => `${state}: ${fault}`));
    const search = (text) => { $("#search").value = text; $("#search").dispatchEvent(new window.Event("input")); };
    look("as it opens");
    $("#help-button").click(); look("help"); $("#help-button").click();
    for (const text of ["linear", "no such thing", ""]) { search(text); look(`search for ${text}`); }
    for (const step of STEPS) {
      window.show(step);
      for (const section of all("details")) section.open = true;
      look($("#status").textContent, $("#detail"));
    }
    return {seen, maps: all("#detail canvas").length, sheet: window.getComputedStyle($("#detail")).position};"""


def test_nothing_is_cut_crowded_or_faint_at_any_op_and_width(tmp_path, text, recorded):
    t, _ = recorded
    steps = {(event.way, event.op.name): step for step, event in enumerate(t.events)}  # one of each, with long names
    found = in_frames(tmp_path, text, EVERY_STATE.replace("STEPS", str([*steps.values()])), widths=(320, *WIDTHS))
    assert {where: got["seen"] for where, got in found.items() if got["seen"]} == {}
    for where, got in found.items():
        assert got["maps"] > 0
        assert got["sheet"] == ("fixed" if int(where.split()[0]) < 800 else "static")


def a_layer_of_a_name_that_goes_on_and_on_and_on(x, weight):
    return (x @ weight) * np.inf


def test_long_names_and_what_is_not_finite_are_whole_too(tmp_path):
    weight = Tensor(np.full((3, 3), -1.23456e-12), requires_grad=True)
    names = {"a_parameter_with_a_name_of_forty_characters_": weight}
    with np.errstate(all="ignore"), trace(names) as t:
        y = Tensor(np.array([[-1.0, np.nan, 1e300]]), requires_grad=True)
        for _ in range(3):
            y = y + a_layer_of_a_name_that_goes_on_and_on_and_on(y, weight)
        y.sum().backward()
    script = EVERY_STATE.replace("STEPS", str([0, 1, 2, len(t.events) - 2, len(t.events) - 1]))
    found = in_frames(tmp_path, page(t, title="A_title_" * 20), script, widths=(320, 1440))
    assert {where: got["seen"] for where, got in found.items() if got["seen"]} == {}


def test_the_terms_table_is_whole(tmp_path, text, recorded):
    t, _ = recorded
    norm = next(op for op in t.ops if op.name == "layer_norm")
    value = norm.inputs[0]
    script = f"""
        $("#op-{norm.index}").click(); $(".ways button:last-child").click();
        const table = $("#detail .card:nth-child(2) table"), card = table.closest(".card").getBoundingClientRect();
        const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(2).map((cell) => cell.textContent));
        const outside = [...table.querySelectorAll("th, td, .share")].filter((part) => {{
          const box = part.getBoundingClientRect();
          return box.left < card.left - 1 || box.right > card.right + 1 || part.scrollWidth > part.clientWidth + 1;
        }});
        return [rows, outside.map((part) => part.textContent)];"""
    for rows, outside in in_frames(tmp_path, text, script).values():
        assert outside == []
        assert [float(norm) for norm, _ in rows] == pytest.approx([t_.stats.norm for t_ in value.terms], rel=1e-3)
        assert [float(total) for _, total in rows] == pytest.approx([t_.sum.norm for t_ in value.terms], rel=1e-3)


def test_keys_colours_are_those_of_the_maps_and_bars(tmp_path, text):
    script = """
        const style = (selector) => window.getComputedStyle($(selector));
        const background = (selector) => style(selector).backgroundColor.match(/\\d+/g).map(Number);
        window.show(Number($("#slider").max));
        const seen = new Set();
        for (const canvas of window.document.querySelectorAll("#detail canvas")) {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          for (let i = 0; i < pixels.length; i += 4) seen.add(pixels.slice(i, i + 3).join());
        }
        const inMap = (selector) => seen.has(background(selector).join());
        const ink = (selector) => style(selector).color.match(/\\d+/g).map(Number);
        $("#help-button").click();
        return [inMap(".key .low"), inMap(".key .high"), ink(".forward-ink"), background(".op .bars i"),
          ink(".backward-ink"), background(".op .bars i + i")];"""
    for low, high, forward, value, backward, gradient in in_frames(tmp_path, text, script, widths=(1280,)).values():
        assert (low, high) == (True, True)  # the largest entries have the colours of the ends
        assert (forward, backward) == (value, gradient)
        assert forward != backward


def test_controls_are_buttons_with_names_and_a_visible_focus(ask, text):
    script = """
        $("#op-3").focus();
        const controls = all("button, input, [tabindex='0']");
        const named = control => /[a-z]/i.test(control.getAttribute("aria-label") || control.textContent);
        return {unnamed: controls.filter(control => !named(control)).map(control => control.outerHTML),
            clickable: all("[onclick]").length, outline: getComputedStyle($("#op-3")).outlineStyle,
            images: all("canvas").every(c => c.getAttribute("role") === "img" && c.getAttribute("aria-label")),
            lang: document.documentElement.lang, live: $("#status").getAttribute("aria-live")};"""
    got = ask(text, script)
    assert got["unnamed"] == []
    assert got["clickable"] == 0
    assert got["images"]
    assert (got["lang"], got["live"]) == ("en", "polite")


def test_a_link_opens_at_its_step(ask, text):
    assert ask(text, "return current();", hash="#backward-5") == [True, "op-5"]
    assert ask(text, "return current();", hash="#backward-999") == [False, "op-0"]


def test_a_blocks_second_run_code_of_ones_own_and_nothing_at_all(ask):
    ids = np.zeros((1, 4), int)
    with trace() as t:
        GPT(CONFIG, activation_checkpointing=True).loss(ids, ids).backward()
    assert ask(page(t), 'return all(".op.again").length;') == sum(op.within is not None for op in t.ops)
    with trace() as t:
        x = Tensor(np.array([[1.0, np.nan]]), requires_grad=True)
        (x * np.inf).sum().backward()
    assert "1 NOT FINITE" in ask(page(t), 'return $("#detail").textContent;')
    with trace() as t:
        pass
    assert ask(page(t), 'return $("#status").textContent;') == "Nothing was recorded."
