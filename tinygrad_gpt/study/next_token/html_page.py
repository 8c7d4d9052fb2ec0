"""The page with sliders: it computes in the browser, by the rules of `probabilities`."""

import base64
import json
from importlib.resources import files

import numpy as np

from tinygrad_gpt.sampling import SamplerSettings
from tinygrad_gpt.sampling.settings import RULES
from tinygrad_gpt.study.next_token.view import NextToken

_UNIFORM = "a number from 0 to below 1"


def page(view: NextToken, temperature: float, cut: SamplerSettings, n: int = 10) -> str:
    """One HTML file that needs no other, with sliders for temperature, top-k, top-p, min-p and the uniform number.

    It contains the logit and the text of every id, since any may be drawn: about 0.9 MB for GPT-2's 50,257.
    """
    logits = np.ascontiguousarray(view.logits, view.logits.dtype.newbyteorder("<"))
    data = {
        "text": view.text,
        "dtype": view.logits.dtype.name,
        "logits": base64.b64encode(logits.tobytes()).decode(),
        "labels": [view.label(token) for token in range(len(logits))],
        "shown": n,
        "settings": {name: temperature if name == "temperature" else getattr(cut, name) for name in RULES},
        "allowed": {name: rule.allowed.replace("None", "empty") for name, rule in RULES.items()} | {"u": _UNIFORM},
    }
    safe = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # a token may be </script>
    template = files("tinygrad_gpt.study.next_token").joinpath("page.html").read_text("utf-8")
    return template.replace("/* DATA */ null", safe)
