"""Every array of an odd step can be opened on the page, and its controls used, without an error in the program."""

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.study.trace import html_page
from tinygrad_gpt.study.trace.html_page import BatchText, page
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.tape import Tensor, apply

pytestmark = pytest.mark.browser
CONFIG = GPTConfig(vocab_size=3, context_length=2, emb_dim=2, n_heads=1, n_layers=1)
FEW_BYTES = 200  # so that most arrays are not in the page
OPEN_EVERYTHING = """
    const faults = [];
    history.pushState = history.replaceState = () => {}; // a browser allows only so many in a second
    events.forEach((_, event) => show(event));
    for (const name of places.keys())
      for (const words of [name, `d ${name}`]) {
        const place = parsePlace(words);
        if (typeof place === "string") {
          if (place !== `${name} has no entries`) faults.push(place);
          continue;
        }
        try {
          open(place);
          const wrong = $("#detail").textContent.match(/.{0,40}(undefined|NaN|\\[object).{0,40}/s);
          if (wrong) faults.push(`${words}: ${wrong[0]}`);
          for (const press of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"])
            if ($(".numbers")) key(press, $(".numbers"));
          $("#detail .more")?.click();
          $("#detail select")?.dispatchEvent(new Event("change", { bubbles: true }));
          key("1");
        } catch (error) {
          faults.push(`${words}: ${error.stack}`);
        }
      }
    return faults;"""


def a_diverged_step():
    model, (ids, targets) = GPT(CONFIG), np.arange(4).reshape(2, 1, 2) % 3
    model.parameters()["wte.weight"].data[0, 0] = np.nan
    model.parameters()["h.0.mlp.c_fc.weight"].data[0, 0] = np.inf
    with np.errstate(all="ignore"), reference_only(), trace() as t:
        model.loss(ids, targets).backward()
    return t, BatchText(ids, targets, {0: "a"})  # of the other tokens there is no text


def a_recomputed_step():
    ids = np.zeros((1, 2), int)
    with reference_only(), trace() as t:
        GPT(CONFIG, activation_checkpointing=True).loss(ids, ids).backward()
    return t, None


def empty_arrays():
    def empty(*shape):
        return Tensor(np.ones(shape), requires_grad=True)

    with trace() as t:
        total = apply(ops.softmax, empty(0, 3)).max(axis=1).sum()
        total = total + apply(ops.causal_attention, empty(0, 2, 6), n_heads=1).sum()
        (total + apply(ops.embedding, empty(4, 2), np.zeros((0, 2), int)).sum()).backward()
    return t, None


def cubed(x):
    return x**3, lambda dy: (3 * x * x * dy,)


def a_script():
    x = Tensor(np.arange(6, dtype=np.float16).reshape(2, 3), requires_grad=True)
    with trace() as t:
        y = apply(ops.concatenate, apply(cubed, x) + x, x)[::-1].T
        apply(ops.masked_fill, y, np.eye(3, 4, dtype=bool), value=-np.inf).max(axis=0)
        y.backward(np.ones((3, 4), np.float16))
    return t, None


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (a_diverged_step, None),
        (a_recomputed_step, FEW_BYTES),
        (empty_arrays, None),
        (a_script, None),
        (a_script, 0),
    ],
)
def test_all_of_it_can_be_opened(ask, monkeypatch, make, limit):
    if limit is not None:
        monkeypatch.setattr(html_page, "_FILE_BYTES", 0)
        monkeypatch.setattr(html_page, "_LEAST_BYTES", limit)
    t, text = make()
    assert ask(page(t, text=text), OPEN_EVERYTHING) == []
