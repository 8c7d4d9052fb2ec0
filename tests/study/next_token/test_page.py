"""The page of the next token in a real browser: its numbers are those of `probabilities` and `draw`."""

import html
import json
import math
import re
import subprocess

import numpy as np
import pytest

from tests.study.browser import CHROMIUM, FLAGS, in_frames
from tinygrad_gpt.sampling import draw, probabilities
from tinygrad_gpt.sampling.settings import RULES, SamplerSettings
from tinygrad_gpt.study.next_token import NextToken, entropy, page

pytestmark = pytest.mark.browser
rng = np.random.default_rng(5)
LOGITS = {
    "small": np.float32([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]),
    "level": np.float32([1, 1, 1, 0, 0, -np.inf, 2, 2]),
    "float64": rng.normal(size=50) * 3,
    "GPT-2's vocabulary": (rng.normal(size=50_257) * 2).astype(np.float32),
}
CASES = [
    {"temperature": T, "top_k": k, "top_p": p, "min_p": m}
    for T in (0, 0.05, 0.7, 1, 5)
    for k in (None, 1, 3, 60_000)
    for p in (None, 0.3, 0.9, 1)
    for m in (None, 0.2)
]
UNIFORMS = [0, 0.1, 0.5, 0.999999]


WATCH = "<script>window.onerror = message => { document.title = 'error: ' + message; };</script>"
ANSWER = """<script>{
  const answer = (() => { %s })();
  const element = document.body.appendChild(document.createElement("pre"));
  Object.assign(element, {id: "answer", textContent: JSON.stringify(answer)});
}</script>"""


def asked(tmp_path, text, script, width=1280):
    """What a script, run at the end of the page, returns; an error of the page is an error here."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "page.html"
    path.write_text(text.replace("<head>", "<head>" + WATCH).replace("</body>", ANSWER % script + "</body>"), "utf-8")
    where = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    command = [CHROMIUM, *FLAGS, *where, "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True).stdout
    assert "<title>error:" not in dom, re.search(r"<title>(.*?)</title>", dom)[1]
    return json.loads(html.unescape(re.search(r'<pre id="answer">(.*?)</pre>', dom, re.DOTALL)[1]))


@pytest.mark.parametrize("name", LOGITS)
def test_the_browser_computes_what_the_sampler_does(tmp_path, name):
    x = LOGITS[name]
    text = page(NextToken(name, x, str), 1.0, SamplerSettings())
    script = f"""
        const at = p => [[...p.slice(0, 50)], entropy(p), {UNIFORMS}.map(u => draw(p, u))];
        return {json.dumps(CASES)}.map(c => at(probabilities(logits, c)));"""
    for case, (probs, H, tokens) in zip(CASES, asked(tmp_path, text, script), strict=True):
        want = probabilities(x, **case)
        np.testing.assert_allclose(probs, want[:50], rtol=1e-9, atol=1e-12, err_msg=str(case))
        assert math.isclose(H, entropy(want), abs_tol=1e-9), case
        assert tokens == draw(want, np.array(UNIFORMS)).tolist(), case


STATE = """
  const texts = selector => [...document.querySelectorAll(selector)].map(element => element.textContent);
  const state = () => ({
    after: texts("#rows td:nth-child(1)").map((token, i) => token + " " + texts("#rows td:nth-child(3)")[i]),
    numbers: texts("dd"),
  });
  const to = (id, value) => {
    const input = document.getElementById(id);
    input.value = value;
    input.dispatchEvent(new Event("input"));
  };"""


def test_the_sliders_move_the_table(tmp_path):
    text = page(NextToken("every effort", LOGITS["small"], "abcdefghi".__getitem__), 1.0, SamplerSettings(top_k=3), n=4)
    steps = """
        const seen = [state()];
        to("temperature", 5); seen.push(state());
        to("top_k", ""); to("temperature-slider", 0); seen.push(state());
        document.getElementById("more").click(); seen.push(state());
        return seen;"""
    cut, warm, cold, more = asked(tmp_path, text, STATE + steps)
    assert cut == {"after": ["d 57.8%", "h 36.1%", "a 6.1%", "i -"], "numbers": ["0.856 nats", "2.35", "3 of 9", "d"]}
    assert warm["after"] == ["d 39.2%", "h 35.7%", "a 25.1%", "i -"]
    assert cold == {"after": ["d 100.0%", "h -", "a -", "i -"], "numbers": ["0.000 nats", "1", "1 of 9", "d"]}
    assert len(more["after"]) == 9


ALPHABET = NextToken("every effort", LOGITS["small"], "abcdefghi".__getitem__)
TRIED = {
    "temperature": [0, 1e-320, 0.5, 100, -0.1],
    "top_k": [1, 3, 60_000, 0, -3, 2.5],
    "top_p": [1e-6, 0.5, 1, 0, 1.01, -1],
    "min_p": [0, 0.5, 1, -0.1, 1.5],
    "u": [0, 0.5, 0.999999, 1, -0.1],
}


def allowed(name, value):
    """Whether the sampler takes this setting."""
    try:
        draw(np.ones(2), value) if name == "u" else probabilities(LOGITS["small"], **{name: value})
    except (TypeError, ValueError):
        return False
    return True


def test_a_box_takes_what_the_sampler_takes_and_says_what_that_is(tmp_path):
    script = f"""
        const refused = id => {{
          const word = document.getElementById(id + "-word").textContent;
          return [document.getElementById(id).getAttribute("aria-invalid"), word, texts("dd")];
        }};
        return Object.entries({json.dumps(TRIED)}).map(([id, values]) =>
          [id, values.map(value => {{ to(id, value); return [value, ...refused(id)]; }}),
            (to(id, id === "temperature" ? 1 : id === "u" ? 0.5 : ""), refused(id))]);"""
    for name, answers, (invalid, *_) in asked(tmp_path, page(ALPHABET, 1.0, SamplerSettings()), STATE + script):
        assert invalid == "false", name
        for value, invalid, word, (H, _, support, _) in answers:
            assert invalid == str(not allowed(name, value)).lower(), (name, value)
            if invalid == "true":
                rule = RULES[name].allowed.replace("None", "empty") if name in RULES else "a number from 0 to below 1"
                label = {"u": "uniform u"}.get(name, name.replace("_", "-"))
                assert word == f"{label} must be {rule}; got {value}"
            elif name != "u":
                want = probabilities(LOGITS["small"], **{name: value})
                assert (H, support) == (f"{entropy(want):.3f} nats", f"{(want > 0).sum()} of 9"), (name, value)


def test_numbers_say_whose_they_are_while_a_value_is_refused(tmp_path):
    script = """
        const told = () => [texts("#valid")[0], document.getElementById("numbers").className, texts("dd")[0]];
        const seen = [told()];
        to("top_k", 2.5); seen.push(told());
        to("temperature", ""); to("top_p", 0.9); seen.push(told());
        to("top_k", 2); to("temperature", 1); seen.push(told());
        return seen;"""
    text = page(ALPHABET, 1.0, SamplerSettings(top_k=3))
    before, refused, mixed, after = asked(tmp_path, text, STATE + script)
    assert before == ["", "", "0.856 nats"]
    valid = "Numbers of the last valid settings: temperature 1; top-k 3; top-p {}; min-p off; uniform u 0.5."
    assert refused == [valid.format("off"), "old", "0.856 nats"]
    H = entropy(probabilities(LOGITS["small"], top_k=3, top_p=0.9))
    assert mixed == [valid.format("0.9"), "old", f"{H:.3f} nats"]
    assert after[:2] == ["", ""]


def test_every_id_that_can_be_drawn_shows_its_text(tmp_path):
    x = rng.normal(size=300).astype(np.float32)
    slices = np.concatenate([[0], np.cumsum(probabilities(x))])
    middles = (slices[1:] + slices[:-1]) / 2
    script = f"""
        return {middles.tolist()}.map(u => {{ to("u", u); return texts("#drawn, tr.drawn .token"); }});"""
    text = page(NextToken("text", x, lambda token: f"'word {token}'"), 1.0, SamplerSettings())
    assert asked(tmp_path, text, STATE + script) == [[f"'word {token}'"] * 2 for token in range(300)]


LONG = NextToken(
    "word " * 200 + "x" * 500,
    np.append(LOGITS["small"], LOGITS["GPT-2's vocabulary"]),
    lambda token: "' internationally'" if token else repr("long" * 30),
)


@pytest.mark.parametrize("view", [ALPHABET, LONG], ids=["short", "long"])
def test_nothing_is_cut_crowded_or_faint(tmp_path, view):
    script = """
        const to = (id, value) => { $(id).value = value; $(id).dispatchEvent(new window.Event("input")); };
        const seen = [faults(window)];
        $("#more").click(); to("#u", 0.999999); to("#temperature", 10); seen.push(faults(window));
        to("#top_k", 2.5); to("#u", 1); to("#temperature", ""); seen.push(faults(window));
        return seen.flat();"""
    found = in_frames(tmp_path, page(view, 0.123456, SamplerSettings(top_p=0.9, top_k=6)), script)
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_the_legends_colours_are_the_bars(tmp_path):
    script = """
        const colours = name => [".key", ".bar"].map(what => window.getComputedStyle($(what + name)).backgroundColor);
        return [colours(".before"), colours(".after")];"""
    found = in_frames(tmp_path, page(ALPHABET, 1.0, SamplerSettings()), script, widths=(1280,))
    for (key, bar), (other_key, other_bar) in found.values():
        assert key == bar != other_key == other_bar
    assert found["1280 light"] != found["1280 dark"]
