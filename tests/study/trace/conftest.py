"""A page in a real browser that answers questions."""

import html
import json
import re
import subprocess

import pytest

from tests.study.browser import CHROMIUM, FLAGS

LOGGING = ["--hide-scrollbars", "--enable-logging=stderr"]  # what the page logs is looked at
ANSWER = """<script>addEventListener("load", async () => {
  const key = (name, target = document.body) =>
    target.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}));
  const $ = selector => document.querySelector(selector), all = selector => [...document.querySelectorAll(selector)];
  const current = () => [document.body.classList.contains("back"), $("[aria-current]")?.id];
  const type = text => { $("#search").value = text; $("#search").dispatchEvent(new Event("input")); };
  const answer = await (async () => { %s })();
  const element = document.body.appendChild(document.createElement("pre"));
  Object.assign(element, {id: "answer", textContent: JSON.stringify(answer)});
});</script>"""


@pytest.fixture
def ask(tmp_path):
    """What a script, run when the page has been drawn, returns; whatever the page logs is an error here."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")

    def ask(text, script, width=1280, height=900, *flags, hash=""):
        path = tmp_path / "page.html"
        path.write_text(text.replace("</body>", ANSWER % script + "</body>"), "utf-8")
        where = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}"]
        command = [CHROMIUM, *FLAGS, *LOGGING, *where, *flags, "--dump-dom", path.as_uri() + hash]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
        logged = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not logged, logged
        found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, "the script did not come to its end"
        return json.loads(html.unescape(found[1]))

    return ask
