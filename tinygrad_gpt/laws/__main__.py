"""python -m tinygrad_gpt.laws pkg.module:name"""

import sys

from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.laws.command import main

quiet_pipe()
sys.exit(main())
