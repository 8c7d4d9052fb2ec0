"""The browser that the pages are tested in, and how it is started."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",  # else it refuses to run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
]
MEASURE = Path(__file__).with_name("measure.js").read_text("utf-8")
LOGGED = "CONSOLE"  # what Chromium writes before a line of the page's own
WIDTHS = (360, 768, 1024, 1280, 1440, 1920)
SCHEMES = ("light", "dark")


def in_frames(folder: Path, page: str, script: str, widths: Sequence[int] = WIDTHS) -> dict[str, Any]:
    """What a script returns of a page at every width, in light and in dark: {"360 light": ..., ...}.

    Each is a frame of its own in one window: a headless window is 500 wide at least, and a frame's scheme is its
    element's.  The script is the body of an async function of `window`, the frame's, `$`, which finds an element in it,
    and `faults`.  Whatever the page logs is an error here.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    cases = [[width, scheme] for width in widths for scheme in SCHEMES]
    embedded = json.dumps(page).replace("<", "\\u003c")
    driver = f"""<!doctype html><meta charset="utf-8"><body><script>{MEASURE}
      const page = {embedded}, answers = {{}};
      async function look(window, $) {{ {script} }}
      (async () => {{
        for (const [width, scheme] of {json.dumps(cases)}) {{
          const frame = document.createElement("iframe");
          frame.style.cssText = "position: fixed; left: 0; top: 0; height: 900px; border: 0";
          Object.assign(frame.style, {{ width: `${{width}}px`, colorScheme: scheme }});
          frame.srcdoc = page;
          document.body.append(frame);
          await new Promise((done) => frame.addEventListener("load", done));
          const find = (selector) => frame.contentDocument.querySelector(selector);
          answers[`${{width}} ${{scheme}}`] = await look(frame.contentWindow, find);
          frame.remove();
        }}
        const element = document.body.appendChild(document.createElement("pre"));
        Object.assign(element, {{ id: "answer", textContent: JSON.stringify(answers) }});
      }})();
    </script></body>"""
    path = folder / "frames.html"
    path.write_text(driver, "utf-8")
    where = [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", f"--window-size={max(widths)},900"]
    command = [CHROMIUM, *FLAGS, *where, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
    logged = [line for line in done.stderr.splitlines() if LOGGED in line]
    assert not logged, logged
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, "the script did not come to its end"
    return json.loads(html.unescape(found[1]))
