"""python -m tinygrad_gpt.laws, and the page of laws."""

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import call
from tests.mutants import zoo
from tinygrad_gpt import laws
from tinygrad_gpt.laws.catalogue import DROPPED
from tinygrad_gpt.laws.command import PROGRAM, check_by_name, main

MODULE = """
import numpy as np
from tinygrad_gpt import laws

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

good = laws.SamplerUnderTest(name="good", probabilities=softmax)
bad = laws.SamplerUnderTest(name="bad", probabilities=np.exp)
both = [good, bad]
"""


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_samplers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("users_samplers", None)


def run(capsys, *arguments):
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    return code, out, err


def test_a_right_object_exits_with_0(capsys):
    code, out, _ = run(capsys, "users_samplers:good", "--profile", "ci", "--only", "S02,S06")
    assert code == 0
    assert out.startswith("good (sampling, profile ci): 2 held")


def test_a_broken_one_exits_with_1_and_can_be_replayed(capsys):
    code, out, _ = run(capsys, "users_samplers:bad", "--profile", "ci", "--only", "S06")
    assert code == 1
    assert "from users_samplers import bad as sut" in out


def test_a_list_is_checked_one_by_one(capsys):
    code, out, _ = run(capsys, "users_samplers:both", "--profile", "ci", "--only", "S06", "--format", "json")
    assert code == 1
    assert out.count('"sut"') == 2
    assert json.loads(run(capsys, "users_samplers:good", "--only", "S06", "--format", "json")[1])["ok"]


def test_markdown(capsys):
    assert run(capsys, "users_samplers:good", "--only", "S06", "--format", "markdown")[1].startswith("## good")


NO_NAME = "name must look like pkg.module:name, a module as import names it; got "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users_samplers"], f"{NO_NAME}'users_samplers'\n"),
        (["no-such/module:x"], f"{NO_NAME}'no-such/module:x'\n"),
        ([".module:x"], f"{NO_NAME}'.module:x'\n"),
        (["no-such-module:x"], "No module named 'no-such-module'\n"),
        (["no_such_module:x"], "No module named 'no_such_module'\n"),
        (["users_samplers:none"], "module 'users_samplers' has no attribute 'none'\n"),
        (
            ["users_samplers:good", "--profile", "fast"],
            "profile must be one of dev, ci, thorough, mutants or ",
        ),
        (["users_samplers:good", "--only", " s99"], "only names S99; the laws of sampling are "),
        ([], "needs NAME, as pkg.module:name\n"),
        (["users_samplers:good", "--fast"], "unknown option --fast\n"),
        (["users_samplers:good", "--profil", "ci"], "unknown option --profil; did you mean --profile?\n"),
        (["users_samplers:good", "--only"], "--only needs a value\n"),
        (["users_samplers:good", "users_samplers:bad"], "unexpected argument 'users_samplers:bad'\n"),
        (["users_samplers:good", "--format", "yaml"], "--format must be one of text, markdown, json; got 'yaml'\n"),
        (["users_samplers:softmax"], "an object under test is made with an adapter such as "),
    ],
)
def test_bad_input_is_one_line_and_exits_with_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"{PROGRAM}: {message}")
    assert err.count("\n") == 1


def test_the_page_lists_every_law_once():
    text = laws.page()
    for law in laws.ALL_LAWS:
        assert text.count(f"\n| {law.id} | **{law.title}.** ") == 1
    assert all(name in text for law in laws.ALL_LAWS for name in (*law.cites, *law.mutants))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_the_page_tells_of_every_mutant_and_of_what_was_dropped():
    text = laws.page(zoo.MUTANTS)
    assert all(f"\n- `{mutant.name}`: " in text for mutant in zoo.ALL_MUTANTS)
    assert all(f"\n- {id}: {why}." in text for id, why in DROPPED.items())


def test_bad_input_names_the_program_that_was_called(capsys):
    assert check_by_name("nonsense") == 2
    assert capsys.readouterr().err.startswith("tinygrad-gpt laws: name must look like pkg.module:name, a module")


def test_without_hypothesis_one_line_says_what_to_install():
    script = "import sys; sys.modules['hypothesis'] = None; from tinygrad_gpt import laws; laws.check"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == 'ImportError: tinygrad_gpt.laws needs hypothesis: pip install ".[laws]"'


def test_a_hypothesis_that_is_broken_is_not_called_missing():
    script = "import sys; sys.modules['sortedcontainers'] = None; from tinygrad_gpt.laws import check"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    said = "ImportError: tinygrad_gpt.laws needs hypothesis, which cannot be loaded (ModuleNotFoundError: "
    assert done.stderr.splitlines()[-1].startswith(said)


@pytest.mark.parametrize("code", [0, 3])
def test_an_object_that_ends_the_program_has_not_held(tmp_path, code):
    (tmp_path / f"users_leaver_{code}.py").write_text(
        "import sys\nfrom tinygrad_gpt.laws import SamplerUnderTest\n"
        f"leaver = SamplerUnderTest(name='leaver', probabilities=lambda *_, **__: sys.exit({code}))\n"
    )
    result = call("laws", f"users_leaver_{code}:leaver", "--profile", "ci", "--only", "S06")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"tinygrad-gpt laws: the code that was run ended the program, with exit code {code}\n"


WITHOUT = "import sys; sys.modules['hypothesis'] = None; "


@pytest.mark.parametrize(
    ("program", "script"),
    [
        (PROGRAM, WITHOUT + "from tinygrad_gpt.laws.command import main; sys.exit(main())"),
        ("tinygrad-gpt laws", WITHOUT + "from tinygrad_gpt.cli import main; sys.exit(main(['laws', *sys.argv[1:]]))"),
    ],
)
def test_both_commands_say_what_is_missing_and_help_without_it(program, script):
    done = subprocess.run([sys.executable, "-c", script, "any:thing"], capture_output=True, text=True)
    said = 'tinygrad_gpt.laws needs hypothesis: pip install ".[laws]"'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{program}: {said}\n")
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program} ")
