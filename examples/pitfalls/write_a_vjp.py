"""Is my gradient right?  A softmax with a common mistake, checked from Python, and the same after the fix.

The check names the first wrong entry, its value by central differences, and the mistake.

Expect: an entry of dx with a hint, then a list of laws that the fixed gradient passes.
"""

import tempfile
from pathlib import Path

from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.study.pitfalls.exercises import BY_NAME
from tinygrad_gpt.study.pitfalls.exercises.checking import check

TODO = 'raise NotImplementedError("write me")'
FIRST_TRY = "return (p * (1 - p) * dp,)"
FIXED = "return (p * (dp - (dp * p).sum(-1, keepdims=True)),)"


def main(folder):
    exercise = BY_NAME["softmax"]
    path = folder / "softmax.py"
    for line in (FIRST_TRY, FIXED):
        path.write_text(exercise.starting_file().replace(TODO, line), encoding="utf-8")
        print(f">>> {line}\n")
        print(check(exercise, path).text, "\n")


if __name__ == "__main__":
    quiet_pipe()
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
