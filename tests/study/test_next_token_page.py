"""The page of the next token in a real browser: its numbers are those of `probabilities` and `draw`."""

import html
import json
import math
import re
import subprocess

import numpy as np
import pytest

from tests.study.browser import CHROMIUM, FLAGS
from tinygrad_gpt.sampling import draw, probabilities
from tinygrad_gpt.study.next_token import Cut, NextToken, entropy, page

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
    text = page(NextToken(name, x, str), 1.0, Cut())
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
    text = page(NextToken("every effort", LOGITS["small"], "abcdefghi".__getitem__), 1.0, Cut(top_k=3), n=4)
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


@pytest.mark.parametrize("width", [500, 1280])  # Chromium's windows are no narrower
def test_nothing_sticks_out_of_the_window(tmp_path, width):
    long = NextToken("word " * 200 + "x" * 500, LOGITS["small"], lambda token: "long" * 30)
    script = "return [document.documentElement.scrollWidth, window.innerWidth];"
    needed, there = asked(tmp_path, page(long, 1.0, Cut()), script, width)
    assert needed <= there
    assert there <= width
