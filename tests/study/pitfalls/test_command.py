"""tinygrad-gpt pitfalls: lists, lessons, exercises; what it asks, and what it says to bad input."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_gpt
from tests.cli.conftest import call
from tinygrad_gpt.cli import pitfalls as command
from tinygrad_gpt.study import pitfalls
from tinygrad_gpt.study.pitfalls.exercises.catalogue import ALL_EXERCISES

SOLUTION = "def multiply(a, b):\n    return a * b, lambda dy: (dy * b, dy * a)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_has_a_line_for_each_and_fits_a_terminal():
    result = call("pitfalls")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    for number, name in enumerate(pitfalls.NAMES, 1):
        assert lines[number - 1].startswith(f"{number:>2}  {name} ")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("key", ["2", "repeated-ids"])
def test_without_a_terminal_a_lesson_is_told_at_once(key):
    result = call("pitfalls", key)
    assert (result.code, result.err) == (0, "")
    parts = [
        "2. a repeated word counts once",
        "It runs:",
        "The code:",
        "\nIt is line 7.\n",
        "What catches it:",
        "G09, what is read twice",
        "The fix:",
    ]
    places = [result.out.index(part) for part in [*parts, "\n  +        np.add.at(dtable, ids, dy)", "Why. "]]
    assert places == sorted(places)
    assert "Which line" not in result.out
    assert call("pitfalls", key, "--show") == result


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["22"], "no pitfall '22'; there are 1 to 21: tinygrad-gpt pitfalls lists them"),
        (["0"], "no pitfall '0'; there are 1 to 21"),
        (["repeated_ids"], "no pitfall 'repeated_ids'; did you mean repeated-ids?"),
        (["exercises"], "no pitfall 'exercises'; did you mean exercise?"),
        (["3", "x"], "unexpected argument 'x'"),
        (["3", "--file", "x"], "--file is for exercises"),
        (["--file", "x"], "--file is for exercises"),
        (["exercise", "layer_nrm"], "no exercise 'layer_nrm'; did you mean layer_norm?"),
        (["exercise", "nothing like it"], "no exercise 'nothing like it'; they are multiply, add"),
        (["exercise", "--file", "x"], "--file needs the name of an exercise: multiply, add"),
        (["exercise", "gelu", "--file="], "--file must name a file"),
        (["exercise", "gelu", "--file", "none/x.py"], "cannot use 'none/x.py': No such file"),
        (["exercise", "gelu", "--file", "."], "cannot use '.': Is a directory"),
        (["exercise", "gelu", "--file", "\0"], "embedded null"),
        (["3", "--shw"], "unknown option --shw; did you mean --show?"),
    ],
)
def test_bad_input_is_one_line_and_2(argv, said, folder):
    result = call("pitfalls", *argv)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert list(folder.iterdir()) == []


def without_hypothesis(*argv):
    """The command in a Python that has no Hypothesis."""
    hide = """
import importlib.util, sys
sys.modules["hypothesis"] = None  # importing it is an ImportError
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "hypothesis" else real(name, package)
from tinygrad_gpt.cli import main
sys.exit(main(["pitfalls", *sys.argv[1:]]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_gpt.__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", hide, *argv], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("argv", [[], ["exercise"], ["exercise", "gelu"]])
def test_lists_and_the_file_to_start_from_need_no_hypothesis(argv, folder):
    done = without_hypothesis(*argv)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "gelu.py").unlink(missing_ok=True)
    assert done.stdout == call("pitfalls", *argv).out


@pytest.mark.parametrize("argv", [["1"], ["repeated-ids", "--show"], ["exercise", "gelu"]])
def test_without_hypothesis_one_line_says_how_to_get_it(argv, folder):
    (folder / "gelu.py").write_text("def gelu(x): pass\n")
    done = without_hypothesis(*argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinygrad-gpt pitfalls: hypothesis is not installed; pip install hypothesis\n"


def test_the_list_has_every_pitfall_s_own_name_area_and_title():
    listed = [re.split(r" {2,}", line.strip()) for line in pitfalls.listing().splitlines()]
    assert listed == [[str(i), p.name, p.area, p.title] for i, p in enumerate(pitfalls.every(), 1)]


# ---- questions


def lesson_with(answers, capsys):
    """A lesson whose questions get these answers, and then the end of the input."""
    left = iter(answers)

    def ask(prompt):
        print(prompt, end="")
        answer = next(left, None)
        if answer is None:
            raise EOFError
        print(answer)
        return answer

    command.teach(2, pitfalls.find("2"), ask)
    return capsys.readouterr().out


def test_guesses_are_judged_until_one_is_right(capsys):
    out = lesson_with(["2", "six", "99", "7", ""], capsys)
    after = out.split("Which line is wrong?")
    assert len(after) == 5
    assert "Line 2 is correct." in after[1]
    assert "A number from 1 to 10, or Enter." in after[2]
    assert "A number from 1 to 10, or Enter." in after[3]
    assert "Yes, line 7." in after[4]
    assert "It is line" not in out
    assert out.index("Yes, line 7.") < out.index("What catches it:") < out.index("Enter for the fix")
    assert "Why. " in out


def test_enter_tells_at_once(capsys):
    out = lesson_with(["", ""], capsys)
    assert "Yes" not in out
    assert "Enter to be told: \nIt is line 7.\n" in out
    assert "Why. " in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("softmax-axis", "It is lines 3, 4 and 7."),
        ("mean-of-exps", "It is lines 3 and 4."),
        ("grad-overwritten", "Something is missing between lines 8 and 9."),
    ],
)
def test_several_lines_and_lines_that_are_missing_are_told(name, said):
    assert said in call("pitfalls", name, "--show").out.splitlines()


@pytest.mark.parametrize(("answers", "shown"), [([], "Which line"), (["1"], "is correct"), ([""], "for the fix")])
def test_the_end_of_the_input_ends_a_lesson_quietly(capsys, answers, shown):
    out = lesson_with(answers, capsys)
    assert shown in out
    assert "The fix:" not in out
    assert out.endswith("\n")


def in_a_terminal(*argv, keys):
    """What the program shows in a terminal of its own, and its exit code; each key is typed at a prompt."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_gpt.__file__).parents[1]), "TERM": "dumb"}
    program = [sys.executable, "-m", "tinygrad_gpt", "pitfalls", *argv]
    process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, process_group=0)
    os.close(theirs)
    shown, left, interrupted = b"", list(keys), False
    try:
        for _ in range(120):
            if not select.select([ours], [], [], 1)[0]:
                if interrupted:  # the first one came between the prompt and the reading: people press again, too
                    process.send_signal(signal.SIGINT)
                continue
            try:
                shown += os.read(ours, 4096)
            except OSError:  # what Linux says when the other side has closed
                break
            if left and shown.endswith((b": ", b"fix ")):
                key = left.pop(0)
                if key == "interrupt":
                    process.send_signal(signal.SIGINT)
                    interrupted = True
                else:
                    os.write(ours, key)
        else:
            raise AssertionError(f"it does not end: {shown.decode()}")
        return shown.decode(), process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_terminal_is_asked():
    shown, code = in_a_terminal("20", keys=[b"5\n", b"\n"])
    assert code == 0
    assert shown.index("Yes, line 5.") < shown.index("S13, top-k keeps the k likeliest") < shown.index("The fix:")


@pytest.mark.parametrize(("key", "code"), [(b"\x04", 0), ("interrupt", 130)])
def test_ctrl_d_and_ctrl_c_at_the_prompt(key, code):
    shown, found = in_a_terminal("20", keys=[key])
    assert found == code
    assert "Traceback" not in shown
    assert "What catches it" not in shown


@pytest.mark.parametrize(("flags", "asks"), [([], True), (["--show"], False), (["--no-show"], True)])
def test_show_asks_nothing_in_a_terminal(monkeypatch, flags, asks):
    asked = []
    monkeypatch.setattr(command, "teach", lambda number, pitfall, ask: asked.append(ask is not None))
    monkeypatch.setattr(command, "_at_a_terminal", lambda: True)
    assert call("pitfalls", "20", *flags).code == 0
    assert asked == [asks]


# ---- exercises


def test_the_exercises_are_listed():
    result = call("pitfalls", "exercise")
    assert (result.code, result.err) == (0, "")
    assert [line.split()[0] for line in result.out.splitlines()[: len(ALL_EXERCISES)]] == [
        found.name for found in ALL_EXERCISES
    ]
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize("flags", [[], ["--file", "mine.py"]])
def test_an_exercise_from_the_first_file_to_the_right_answer(folder, flags):
    argv = ["pitfalls", "exercise", "multiply", *flags]
    path = folder / (flags[-1] if flags else "multiply.py")
    result = call(*argv)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{path.name} is there to start from")
    text = path.read_text()
    assert f"    tinygrad-gpt {' '.join(argv)}\n" in text

    result = call(*argv)
    assert (result.code, result.out) == (2, "")
    assert (
        result.err == f"tinygrad-gpt pitfalls: {path.name}, line {text[: text.index('raise')].count(chr(10)) + 1}"
        ": still to be written\n"
    )
    assert path.read_text() == text

    path.write_text(SOLUTION.replace("dy * b", "dy * a"))
    result = call(*argv)
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("da[0, 0] is ")
    assert "Hint: the gradient of a factor contains the other factor" in result.out
    assert "tinygrad-gpt explain multiply" in result.out

    path.write_text(SOLUTION)
    result = call(*argv)
    assert (result.code, result.err) == (0, "")
    assert f"{path.name}: multiply is right, by these laws:" in result.out


@pytest.mark.parametrize("spelling", ["layernorm", "Layer-Norm", "LAYER NORM"])
def test_an_exercise_is_known_by_any_spelling(folder, spelling):
    assert call("pitfalls", "exercise", spelling).out.startswith("layer_norm.py is there to start from")
    assert "tinygrad-gpt pitfalls exercise layer_norm\n" in (folder / "layer_norm.py").read_text()


def test_a_name_with_a_space_is_quoted_in_the_file_to_start_from(folder):
    assert call("pitfalls", "exercise", "gelu", "--file", "my gelu.py").code == 0
    assert "exercise gelu --file 'my gelu.py'\n" in (folder / "my gelu.py").read_text()


@pytest.mark.parametrize("code", ["'no'", "0", ""])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_solution_that_leaves_the_program_under_a_law_is_wrong(folder, code, where):
    leave = f"(sys.exit({code}) if a.dtype == 'float32' else a)"  # the cases before the laws are of float64
    forward, backward = (leave, "a") if where == "forward" else ("a", leave)
    solution = f"import sys\ndef multiply(a, b):\n    return {forward} * b, lambda dy: (dy * b, dy * {backward})\n"
    (folder / "multiply.py").write_text(solution)
    result = call("pitfalls", "exercise", "multiply")
    assert (result.code, result.err) == (1, "")
    assert "RuntimeError: SystemExit" in result.out
