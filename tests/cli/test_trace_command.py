"""tinygrad-gpt trace: what it prints and writes is what was recorded."""

import json
import re

import pytest
from safetensors.numpy import load_file

from tinygrad_gpt import ops
from tinygrad_gpt.checkpoints import load_checkpoint

SMALL = ["--n-layers", "1", "--emb-dim", "8", "--n-heads", "2", "--context-length", "4"]
SCRIPT = """
import numpy as np
import sys
from tinygrad_gpt import Tensor
w = Tensor(np.ones((2, 2)), requires_grad=True)
(w @ w).sum().backward()
assert __name__ == "__main__" and len(sys.argv) == 1
"""


def test_the_tree_of_a_small_model(tg):
    result = tg("trace", *SMALL)
    assert (result.code, result.err) == (0, "")
    assert re.search(r"\n    c_attn\n      4 linear +2x4x24 .* layers.py:\d+\n", result.out)
    assert "15 ops" in result.out
    assert "15 vjps" in result.out


def test_without_a_terminal_all_steps_are_shown(tg):
    result = tg("trace", *SMALL, "--step")
    assert result.code == 0
    assert re.findall(r"^\[(\d+)/29\]", result.out, re.MULTILINE) == [str(i) for i in range(30)]
    assert "Enter" not in result.out


@pytest.mark.parametrize(("columns", "widest", "folder"), [(20, 80, ""), (80, 80, ""), (300, 120, "tinygrad_gpt/nn/")])
def test_nothing_is_wider_than_the_terminal(tg, monkeypatch, columns, widest, folder):
    monkeypatch.setenv("COLUMNS", str(columns))
    tree, steps = tg("trace").out, tg("trace", "--step").out
    assert max(map(len, (tree + steps).splitlines())) <= widest
    assert f" {folder}gpt.py:" in tree


def test_the_ops_own_files_are_what_is_traced(tg, tmp_path):
    assert tg("trace", *SMALL, "--json", "t.json").code == 0
    attention = next(
        op for op in json.loads((tmp_path / "t.json").read_text("utf-8"))["ops"] if op["name"] == "causal_attention"
    )
    assert {kept["name"] for kept in attention["kept"]} == {"q", "k", "v", "weights"}


def test_step_waits_for_enter_and_ends_with_q(tg, monkeypatch):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("\n\nq\n"))
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    from tinygrad_gpt.cli.trace import main

    assert main([*SMALL, "--step"]) == 0
    assert re.findall(r"^\[(\d+)/29\]", out.getvalue(), re.MULTILINE) == ["0", "1", "2"]
    assert out.getvalue().count("Enter: next, q: quit") == 3


def test_files_hold_what_was_recorded(tg, tmp_path):
    result = tg("trace", *SMALL, "--json", "t.json", "--html", "t.html", "--checks", "1", "--tie-weights")
    assert (result.code, result.err) == (0, "")
    assert [line.split(",")[0] for line in result.out.splitlines()] == ["wrote t.html", "wrote t.json"]
    recorded = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert len(recorded["ops"]) == 15
    wte = next(value for value in recorded["values"] if value["name"] == "wte.weight")
    assert [recorded["ops"][term["op"]]["name"] for term in wte["terms"]] == ["linear_cross_entropy", "embedding"]
    assert len(recorded["checks"]) == sum(value["gradient"] is not None for value in recorded["values"])
    assert max(check["difference"] for check in recorded["checks"]) < 1e-3
    page = (tmp_path / "t.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert len(page) < 1_000_000
    assert re.search(r'1 layers, 2 heads, width 8, vocabulary \d+"', page)


def test_chosen_numbers_are_checked(tg):
    result = tg("trace", *SMALL, "--check", "wte.weight[3,5]", "h.0.mlp.gelu[1, 2, 3]")
    assert result.code == 0
    found = re.findall(r"^(\S+)\[(.*)\]: (\S+) analytic, (\S+) by differences", result.out, re.MULTILINE)
    assert [match[:2] for match in found] == [("wte.weight", "3, 5"), ("h.0.mlp.gelu", "1, 2, 3")]
    for *_, by_hand, by_differences in found:
        assert float(by_hand) == pytest.approx(float(by_differences), rel=1e-3, abs=1e-7)


def test_a_trained_model_is_traced_with_its_own_weights(tg, run, tmp_path):
    result = tg("trace", run, "--json", "t.json", "--text", "To be, or not to be", "--checks", "0")
    assert (result.code, result.err) == (0, "")
    recorded = json.loads((tmp_path / "t.json").read_text("utf-8"))
    wte = next(value for value in recorded["values"] if value["name"] == "wte.weight")
    weights = load_checkpoint(run / "model.safetensors").model.parameters()
    assert wte["stats"]["std"] == weights["wte.weight"].data.astype("float64").std()
    assert recorded["checks"] == []


def test_a_script_is_run_and_watched(tg, tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    result = tg("trace", "mine.py")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^0 matmul +2x2 .* mine.py:6$", result.out, re.MULTILINE)


@pytest.mark.parametrize("plain", [[], ["--kernels"], ["--activation-checkpointing"], ["--drop-rate", "0.5"]])
def test_kernels_checkpointing_and_dropout(tg, tmp_path, plain):
    assert tg("trace", *SMALL, *plain, "--json", "t.json", "--checks", "1").code == 0
    recorded = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert any(op["kernel"] for op in recorded["ops"]) == (plain == ["--kernels"])
    assert max(check["difference"] for check in recorded["checks"]) < 1e-3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nowhere"], "RUN 'nowhere' is not a folder"),
        (["nowhere.py"], "SCRIPT 'nowhere.py' is not a file"),
        (["--text", "short"], "--text has 5 tokens; 2 rows of 16 and the token after need 33"),
        (["--text", ""], "--text must not be empty; leave it out"),
        (["--n-heads", "5"], "n_heads must divide emb_dim 32; got 5"),
        (["--check", "wte"], "--check must be NAME[I,J]"),
        (["--check", "x[1]"], "--check: no array is called 'x'"),
        (["--check", "wte.weight[1]"], "--check: wte.weight has shape"),
        (["--check", "wte.weight[1,99999]"], "--check: wte.weight has shape"),
        (["--html", "no/where.html"], "--html must name a file in a folder that exists"),
        (["--checks", "-1"], "--checks must be at least 0"),
    ],
)
def test_bad_input_is_one_line(tg, argv, message):
    result = tg("trace", *argv)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("tinygrad-gpt trace: ")
    assert result.err.count("\n") == 1
    assert message in result.err


def test_options_that_do_not_fit_are_refused(tg, run, tmp_path):
    assert "does not apply to a trained model" in tg("trace", run, "--n-layers", "1").err
    assert "--context-length must be at most 8" in tg("trace", run, "--context-length", "9").err
    (tmp_path / "mine.py").write_text("x = 1\n")
    assert "ran no op" in tg("trace", "mine.py").err
    assert "do not apply" in tg("trace", "mine.py", "--n-layers", "1").err
    assert "a script is run once" in tg("trace", "mine.py", "--check", "w[1]").err


def test_a_model_that_cannot_read_the_default_text_needs_another(tg, tmp_path):
    (tmp_path / "text.txt").write_text("abc " * 60)
    shape = ["--n-layers", "1", "--emb-dim", "8", "--n-heads", "2", "--context-length", "8"]
    assert tg("train", "text.txt", "--tokenizer", "chars", "--steps", "1", *shape, "--out", "letters").code == 0
    result = tg("trace", "letters")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "the model cannot read the default text: character 'T'" in result.err
    assert "give a text of yours with --text" in result.err
    assert tg("trace", "letters", "--text", "abc " * 5).code == 0


def test_a_script_is_watched_without_hypothesis(program, tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    without = "import sys; sys.modules['hypothesis'] = None; from tinygrad_gpt.cli import main; "
    done = program.python("-c", f"{without} sys.exit(main(['trace', 'mine.py']))")
    assert (done.returncode, done.stderr) == (0, "")
    assert "matmul" in done.stdout


def test_why_an_entry_is_its_number(tg):
    result = tg("trace", *SMALL, "--text", "To be, or not", "--why", "h.0.mlp.c_fc.weight[3,5]", "h.0.mlp.gelu[0,1,2]")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^d h\.0\.mlp\.c_fc\.weight\[3, 5\] = -?[\d.e-]+ \(float32\)$", result.out, re.MULTILINE)
    assert re.search(
        r"= h\.0\.ln_2\.layer_norm\[0, 1, 3\] -?[\d.]+ 'o' · d h\.0\.mlp\.c_fc\.linear\[0, 1, 5\]", result.out
    )
    assert "gelu(h.0.mlp.c_fc.linear[0, 1, 2])" in result.out
    assert "ops" not in result.out.partition("\n")[0]  # no tree


def test_why_the_loss_is_its_number(tg):
    result = tg("trace", *SMALL, "--why", "lm_head.linear_cross_entropy")
    assert "\nd lm_head.linear_cross_entropy = 1.0 (float32)\n  backward started here\n" in result.out
    assert ":nll[0, 0]" in result.out


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("wte.weight", "--why: wte.weight has shape (30, 8), so there is no entry []"),
        ("wte.weight[1]", "--why: wte.weight has shape (30, 8), so there is no entry [1]"),
        ("wte.weight[", "--why must be NAME[I,J], such as \"wte.weight[3,5]\"; got 'wte.weight['"),
        ("nothing[0]", "--why: no array is called 'nothing'; names are wte.weight, ids, wte.embedding, ..."),
        ("add:dS[0]", "--why: add has no array 'dS'; it has y, da, db"),
    ],
)
def test_an_entry_to_explain_that_is_not_there(tg, tmp_path, entry, message):
    result = tg("trace", *SMALL, "--why", entry, "--html", "a.html", "--json", "a.json")
    assert (result.code, [*tmp_path.glob("a.*")]) == (2, [])
    assert result.err == f"tinygrad-gpt trace: {message}\n"


def test_the_arrays_of_a_step_are_in_a_file_from_which_it_can_be_computed_again(tg, tmp_path):
    result = tg("trace", *SMALL, "--drop-rate", "0.3", "--json", "t.json", "--arrays", "t.safetensors")
    assert (result.code, result.err) == (0, "")
    step, arrays = json.loads((tmp_path / "t.json").read_text("utf-8")), load_file(tmp_path / "t.safetensors")
    assert step["arrays"] == "t.safetensors"
    assert {str(i) for i in range(len(step["values"]))} <= set(arrays)
    for op in step["ops"]:
        if op["name"] == "linear":
            x, weight, *bias = (arrays[str(i)] for i in op["inputs"])
            y, vjp = ops.linear(x, weight, *bias)
            assert y.tobytes() == arrays[str(op["output"])].tobytes()
            dweight = vjp(arrays[f"{op['output']}.gradient"])[1]
            assert dweight.tobytes() == arrays[f"{op['inputs'][1]}.gradient"].tobytes()
    for i, value in enumerate(step["values"]):
        terms = [arrays[f"{i}.term.{n}"] for n in range(len(value["terms"]))] if len(value["terms"]) > 1 else []
        if terms:
            assert sum(terms[1:], terms[0]).tobytes() == arrays[f"{i}.gradient"].tobytes()
        assert list(arrays[str(i)].shape) == value["stats"]["shape"]


def test_the_arrays_of_a_script_may_be_of_any_dtype(tg, tmp_path):
    (tmp_path / "s.py").write_text(
        "import numpy as np\nfrom tinygrad_gpt import Tensor, where\nx = Tensor(np.ones(2, np.float16), True)\n"
        "where(np.array([True, False]), x[np.array([1, 0], np.uint8)], x).sum().backward()\n",
        encoding="utf-8",
    )
    assert tg("trace", "s.py", "--arrays", "t.safetensors").code == 0
    dtypes = {array.dtype.name for array in load_file(tmp_path / "t.safetensors").values()}
    assert dtypes == {"bool", "float16"}


@pytest.mark.parametrize("end", ["", "raise SystemExit\n"])
def test_why_finds_the_variables_of_a_script(tg, tmp_path, end):
    text = (
        "import numpy as np\nfrom tinygrad_gpt import Tensor\nw = Tensor(np.ones((2, 2)), True)\n"
        "h = w.exp()\nloss = h.sum()\nloss.backward()\nrest = h * 2.0\n"
    )
    (tmp_path / "s.py").write_text(text + end, encoding="utf-8")
    result = tg("trace", "s.py", "--why", "h[0,1]", "loss", "rest[1,1]")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^d h\[0, 1\] = 1\.0 \(float64\)$", result.out, re.MULTILINE)
    assert re.search(r"^rest\[1, 1\] = 5\.43656\d* \(float64\)$", result.out, re.MULTILINE)
    assert re.search(r"^loss = 10\.8731\d* \(float64\)$", result.out, re.MULTILINE)
