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
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import file_tree
from tinygrad_gpt import laws

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
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


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_the_first_screen_of_the_readme_is_short_and_counts_the_laws():
    screen, _, _ = README.read_text("utf-8").partition("\n## ")
    assert screen.count("\n") <= 25
    assert f"**{len(laws.ALL_LAWS)} laws.**" in screen


def test_the_page_of_files_is_current():
    assert file_tree.PAGE.read_text("utf-8") == file_tree.page(), "python -m tests.file_tree writes it"
    assert " ".join(file_tree.IMPORTS.split()) in " ".join((ROOT / "CONTRIBUTING.md").read_text("utf-8").split())
    assert set(file_tree.FOLDERS) == {"", *(file.parent.name for file in file_tree.PACKAGE.glob("*/__init__.py"))}


def commands_of_the_readme():
    """Its lines for a shell, in order; what one line joins by && apart."""
    lines = re.findall(r"^    (\S.*)$", BLOCK.sub("", README.read_text("utf-8")), re.MULTILINE)
    return [command.strip() for line in lines for command in line.split("&&")]


@pytest.mark.slow
def test_the_commands_of_the_readme(tmp_path):
    """In the README's order, each as it stands there, but a training takes five steps, of the large model one."""
    (tmp_path / "my.txt").write_text("Every effort moves you. " * 1000, encoding="utf-8")
    (tmp_path / "other.txt").write_text("You move every effort. " * 20, encoding="utf-8")
    environment = os.environ | {"COLUMNS": "80", "MPLCONFIGDIR": str(tmp_path / "matplotlib"), "PYTHONPATH": str(ROOT)}
    ran = []
    for command in commands_of_the_readme():
        program, *arguments = shlex.split(command)
        if program != "tinygrad-gpt":
            assert program in ("pip", "pytest"), command  # .ci/run does these
            continue
        if arguments[0] == "train":
            steps = 10 if "--resume" in arguments else 1 if "gpt2-124M" in arguments else 5
            arguments += ["--steps", str(steps), "--eval-tokens", "600"]
        done = subprocess.run(
            [sys.executable, "-m", "tinygrad_gpt", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        ran.append(arguments[0])
    assert {"train", "generate", "evaluate", "sampling", "doctor", "explain", "trace", "pitfalls"} <= set(ran)
    for file in ("figure.png", "page.html", "step.html", "runs/manual-1/loss.png"):
        assert (tmp_path / file).stat().st_size > 1000, file


def test_the_python_of_the_readme(capsys):
    programs = [text for language, text, _ in blocks(README) if language == "python"]
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
