"""The device that is none, for what is timed on a GPU."""

from tests.cuda.conftest import any_device as any_device
from tests.cuda.conftest import device as device
from tests.cuda.conftest import gpu as gpu
