"""The examples as notebooks: python -m tests.examples.notebooks writes examples/notebooks/ anew.

They are made from the scripts by jupytext and hold no output, so that a difference between the two is a change of text.
"""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = EXAMPLES / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook_of(script):
    """A script as the text of a notebook: the same every time."""
    import jupytext  # here: this module is imported where neither is installed, too
    import nbformat

    notebook = jupytext.read(script, fmt="py:percent")
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"  # else a random one
        cell.metadata = {}
    notebook.metadata = {"kernelspec": KERNEL}
    return nbformat.writes(notebook) + "\n"


def scripts():
    """The course, in reading order."""
    return sorted(EXAMPLES.glob("*.py"))


def path_of(script):
    return NOTEBOOKS / f"{script.stem}.ipynb"


if __name__ == "__main__":
    for script in scripts():
        path_of(script).write_text(notebook_of(script), "utf-8")
