"""The notebooks are those of the scripts, and hold what they print and draw when they run from first cell to last."""

import ast
import platform
import re

import pytest

for package in ("jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install .[notebooks]")

import nbformat  # noqa: E402

from tests.examples.notebooks import (  # noqa: E402
    NOTEBOOKS,
    code_cells,
    execute,
    notebook_of,
    path_of,
    printed_by,
    scripts,
    without_output,
)
from tests.examples.printed import difference  # noqa: E402

NAMES = [script.stem for script in scripts()]
MAX_BYTES = 300_000
TRAIN = {"09_pretrain", "12_the_chapter"}
WRITE = "run python -m tests.examples.notebooks"


def stored(script):
    return nbformat.read(path_of(script), as_version=4)


def calls(cell):
    """The names of the functions that a cell calls, without those called in functions that it defines."""
    todo, names = list(ast.parse(cell.source).body), set()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.add(node.func.id)
        todo += ast.iter_child_nodes(node)
    return names


def test_there_is_one_for_every_script():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_its_text_is_current(script):
    assert nbformat.writes(without_output(stored(script))) == nbformat.writes(notebook_of(script)), WRITE


@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_it_holds_the_output_of_one_run(script):
    cells = code_cells(stored(script))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), WRITE
    for cell in cells:
        kinds = [output.get("name", output.output_type) for output in cell.outputs]
        assert kinds == ["stdout"] * ("print" in calls(cell)) + ["execute_result"] * ("Picture" in calls(cell)), WRITE
        for output in cell.outputs:
            if output.output_type == "execute_result":
                assert output.execution_count == cell.execution_count
                assert "image/png" in output.data
    assert any(cell.outputs for cell in cells)
    assert path_of(script).stat().st_size < MAX_BYTES


@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_its_output_tells_no_path_of_a_machine_and_no_time(script):
    printed = "\n".join(map(printed_by, code_cells(stored(script))))
    assert not re.search(r"(?<![\w.])(/|[A-Z]:\\)\w+[/\\]", printed)
    assert not re.search(r"\d ?([mu]?s|seconds?|minutes?)\b", printed)
    assert "execution" not in {key for cell in stored(script).cells for key in cell.metadata}


@pytest.mark.slow
@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_it_runs_and_prints_what_is_stored(script, tmp_path):
    before, now = stored(script), notebook_of(script)
    execute(now, tmp_path)
    printed = ["".join(map(printed_by, code_cells(notebook))) for notebook in (before, now)]
    assert "DIFFERENT" not in printed[1]
    written_by = before.metadata.language_info.version
    if "reference_manual" in script.read_text("utf-8") and written_by != platform.python_version():
        pytest.skip(f"it ran; it reads the manual of Python, which was that of {written_by} when it was stored")
    assert difference(*printed, trains=script.stem in TRAIN) is None, WRITE
