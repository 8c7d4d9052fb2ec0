"""Whether an array has another holder, by its reference count: a gradient that has none needs no copy."""

import sys
import sysconfig

import numpy as np

from tinygrad_gpt.backend import Array, array_module


def pop_owned(arrays: list[Array]) -> Array:
    """Pop the last array from the list: the array itself if nobody else holds it, else a copy.  In C order.

    So a leaf gets a gradient of many megabytes without a copy.  An array is copied if somebody else holds it: a vjp
    that saved it, another leaf or node, or the caller.  Where holders cannot be counted, every array is copied.
    """
    unshared = _COUNTS_TELL and _references(arrays) == _UNSHARED
    array = arrays.pop()
    unshared = unshared and array.base is None and not isinstance(array, np.generic)
    if unshared and array.flags.c_contiguous and getattr(array.flags, "writeable", True):  # CuPy's always are
        return array
    return array_module(array).array(array, order="C")


def _references(arrays: list[Array]) -> int:
    """The number of references to the last array: one from the list, one from this call, and those of other holders.

    The array is read from the list, not from a variable: since Python 3.14 a call can borrow a variable's reference,
    which then counts once and not twice.
    """
    return sys.getrefcount(arrays[-1])


_UNSHARED = 2


def _counts_tell() -> bool:
    """Whether reference counts show that somebody else holds an array.

    Tried on arrays for which the answer is known.  Without the GIL another thread may change a count, so then False.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not hasattr(sys, "getrefcount"):
        return False
    variable, entries, key = np.empty(0), [np.empty(0)], {"entry": np.empty(0)}
    held = [
        _references([variable]),
        _references([entries[0]]),
        _references([key["entry"]]),
        _references([(lambda: variable)()]),
        *(_references([array]) for array in [np.empty(0)]),
        (lambda argument: _references([argument]))(np.empty(0)),
    ]
    return _references([np.empty(0)]) == _UNSHARED < min(held)


_COUNTS_TELL = _counts_tell()
