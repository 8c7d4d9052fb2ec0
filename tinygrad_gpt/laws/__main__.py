"""python -m tinygrad_gpt.laws pkg.module:name"""

import sys

from tinygrad_gpt.laws.command import main

sys.exit(main())
