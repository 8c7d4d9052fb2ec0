"""What README.md and the guides in docs show is run: files written, commands given, output compared.

A Python block that starts with `# name.py` is a file, any other is run where it stands, and a text block after it is
what it prints.  In output `...` stands for anything.
"""

import contextlib
import dataclasses
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_gpt import laws

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "docs" / "testing-your-sampler.md", ROOT / "docs" / "testing-your-ops.md", ROOT / "docs" / "trace.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """(language, text, line number) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in BLOCK.finditer(text)]


def require_output(shown, printed, where):
    checker = doctest.OutputChecker()
    if not checker.check_output(shown, printed, doctest.ELLIPSIS):
        raise AssertionError(f"{where} shows\n{shown}\nbut it is\n{printed}")


def given(command, folder):
    """What a command prints; `python` is this one."""
    program, *arguments = command.split()
    assert program == "python"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), "COLUMNS": "80"}
    for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "HYPOTHESIS_PROFILE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide(guide, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        follow(guide, tmp_path)
    finally:
        for file in tmp_path.glob("*.py"):
            sys.modules.pop(file.stem, None)


def follow(guide, folder):
    names, printed = {"__name__": "guide"}, ""
    for language, text, line in blocks(guide):
        first = text.splitlines()[0]
        if language == "python" and (file := re.fullmatch(r"# (\w+\.py)", first)):
            (folder / file[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            code = compile("\n" * line + text, str(guide), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, names)
            printed = out.getvalue()
        elif language == "text":
            require_output(text, printed, f"{guide.name}, line {line}")
        else:
            assert language == "console"
            command, _, shown = text.removeprefix("$ ").partition("\n")
            require_output(shown, given(command, folder), f"{guide.name}, line {line}")


def test_every_claim_about_an_op_is_in_its_guide():
    guide = (ROOT / "docs" / "testing-your-ops.md").read_text("utf-8")
    table = "".join(line for line in guide.splitlines() if line.startswith("| `"))
    for field in dataclasses.fields(laws.OpUnderTest):
        assert re.search(rf"\b{field.name}=", table), field.name


def test_links_between_the_pages_lead_somewhere():
    for page in [*GUIDES, ROOT / "docs" / "deviations.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or target == "laws.md" or (page.parent / target).exists(), target


def test_the_python_of_the_readme(capsys):
    programs = [text for language, text, _ in blocks(ROOT / "README.md") if language == "python"]
    sessions = [text for text in programs if text.startswith(">>>")]
    assert len(programs) == 3
    assert len(sessions) == 1
    names = {"__name__": "readme"}
    for text in programs:
        if text in sessions:
            test = doctest.DocTestParser().get_doctest(text, {}, "README.md", None, 0)
            assert doctest.DocTestRunner().run(test).failed == 0
        else:
            exec(text, names)
    printed = capsys.readouterr().out
    assert "20 " in printed
    assert "[ 4.  8. 12.]" in printed
