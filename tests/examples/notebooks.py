"""The examples as notebooks: python -m tests.examples.notebooks runs them, and writes examples/notebooks/ anew.

Names after it (09_pretrain) are those of the notebooks to write.  jupytext makes a notebook from its script, and its
output is that of one run from top to bottom.  With one thread, a second run on the same machine writes the same file.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = EXAMPLES / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the order of a sum depends on their number


def notebook_of(script):
    """A script as a notebook without output: the same every time."""
    import jupytext  # here: this module is imported where neither is installed, too

    notebook = jupytext.read(script, fmt="py:percent")
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"  # else a random one
        cell.metadata = {}
    notebook.metadata = {"kernelspec": KERNEL}
    return notebook


def without_output(notebook):
    """A copy of a notebook as it was before it ran."""
    import nbformat

    copy = nbformat.from_dict(notebook)
    copy.metadata = {"kernelspec": KERNEL}
    for cell in code_cells(copy):
        cell.execution_count, cell.outputs = None, []
    return copy


def execute(notebook, folder):
    """Run a notebook in a folder, and store its output.  Times are not stored, and of Python its version alone."""
    import nbclient

    client = nbclient.NotebookClient(
        notebook,
        timeout=240,
        record_timing=False,
        coalesce_streams=True,  # else the speed of the machine decides how a cell's output is divided
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | ONE_THREAD)
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python", "version": platform.python_version()},
    }


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed_by(cell):
    """What a cell has printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def scripts():
    """The course, in reading order."""
    return sorted(EXAMPLES.glob("*.py"))


def path_of(script):
    return NOTEBOOKS / f"{script.stem}.ipynb"


def main(names):
    import nbformat

    for script in scripts():
        if not names or script.stem in names:
            notebook = notebook_of(script)
            with tempfile.TemporaryDirectory() as folder:
                execute(notebook, folder)
            path_of(script).write_text(nbformat.writes(notebook) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
