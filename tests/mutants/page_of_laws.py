"""python -m tests.mutants.page_of_laws > docs/laws.md: every law, and every mutant with its story."""

from tests.mutants.zoo import MUTANTS
from tinygrad_gpt import laws
from tinygrad_gpt.console import quiet_pipe

if __name__ == "__main__":
    quiet_pipe()
    print(laws.page(MUTANTS), end="")
