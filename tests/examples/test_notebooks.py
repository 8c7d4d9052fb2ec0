"""The notebooks are those of the scripts, and run from the first cell to the last."""

import pytest

for package in ("jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install .[notebooks]")

import nbclient  # noqa: E402
import nbformat  # noqa: E402

from tests.examples.notebooks import NOTEBOOKS, notebook_of, path_of, scripts  # noqa: E402

NAMES = [script.stem for script in scripts()]


def test_there_is_one_for_every_script():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_it_is_current(script):
    assert path_of(script).read_text("utf-8") == notebook_of(script), "run python -m tests.examples.notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("script", scripts(), ids=NAMES)
def test_it_runs(script, tmp_path):
    notebook = nbformat.read(path_of(script), as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert printed
    assert "DIFFERENT" not in printed
