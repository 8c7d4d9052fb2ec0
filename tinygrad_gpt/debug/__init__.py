"""Where a step's time goes, and where a nan came from."""

from tinygrad_gpt.debug.crash import Crash as Crash
from tinygrad_gpt.debug.crash import replay as replay
from tinygrad_gpt.debug.nonfinite import NonFinite as NonFinite
from tinygrad_gpt.debug.nonfinite import find_nonfinite as find_nonfinite
from tinygrad_gpt.debug.profile import Profile as Profile
