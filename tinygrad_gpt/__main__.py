"""python -m tinygrad_gpt: the same program as tinygrad-gpt."""

import sys

from tinygrad_gpt.cli import main

if __name__ == "__main__":
    sys.exit(main())
