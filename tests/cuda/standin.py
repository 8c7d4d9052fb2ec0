"""A stand-in for the module cupy that needs no GPU: NumPy's arithmetic under CuPy's rules.

Refused, as CuPy refuses it: implicit conversion to NumPy, mixing with NumPy's arrays, names and arguments that CuPy
lacks.  Refused although CuPy allows it: np.exp(device_array), device_array[numpy_index] (an upload that nobody sees),
indices out of range (CuPy wraps them), arithmetic on bfloat16 (NumPy's dtypes there are others than CuPy's).

Every copy between host and device, and every other wait for the device, is written down in `transfers`.
Each array lies in memory of its own between guards, filled with NaN when nothing is in it yet.
"""

import itertools
import json
import math
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tests.cuda.names import FILE

NAMES = json.loads(FILE.read_text())
GUARD = 128  # bytes on either side of every array
ALIGNMENT = 512  # of CuPy's allocations
NAN = 0xFFFF  # floats made of these, of any width, are nan; so are they of 0xFFF1, 0xFFF2, ...


class Transfer(NamedTuple):
    """What the host waited for: "to device", "to host", or "wait" for something that CuPy reads on the quiet."""

    kind: str
    nbytes: int


class Memory:
    """Bytes on the device, between guards."""

    live: ClassVar["weakref.WeakSet[Memory]"] = weakref.WeakSet()
    of_root: ClassVar["weakref.WeakValueDictionary[int, Memory]"] = weakref.WeakValueDictionary()
    kinds = itertools.count()

    def __init__(self, nbytes: int) -> None:
        self.root = np.full(nbytes + nbytes % 2 + 2 * GUARD + ALIGNMENT, NAN & 0xFF, np.uint8)
        self.start = GUARD + -(self.root.ctypes.data + GUARD) % ALIGNMENT
        self.end = self.start + nbytes
        kind = next(Memory.kinds) % 13  # another nan than that of others: one copied over another would not be seen
        self.guards = [np.full(GUARD // 2, 0xFFF1 + kind + more, np.uint16).tobytes() for more in (0, 1)]
        self.root[self.start - GUARD : self.start] = np.frombuffer(self.guards[0], np.uint8)
        self.root[self.end : self.end + GUARD] = np.frombuffer(self.guards[1], np.uint8)
        Memory.live.add(self)
        Memory.of_root[id(self.root)] = self

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The memory as an array."""
        return self.root[self.start : self.end].view(dtype).reshape(shape)

    def intact(self) -> bool:
        """Whether both guards are as they were."""
        around = [self.root[self.start - GUARD : self.start], self.root[self.end : self.end + GUARD]]
        return [guard.tobytes() for guard in around] == self.guards


def check_guards(name: str) -> None:
    """Raise AssertionError if anything on the device was written outside of its array."""
    for memory in list(Memory.live):
        assert memory.intact(), f"{name} wrote outside of an array of {memory.end - memory.start} bytes"


def on_device(array: np.ndarray) -> "ndarray":
    """A NumPy array as the device's: a view where it is one, else a copy in memory of its own."""
    root = array
    while root.base is not None:
        root = root.base
    memory = Memory.of_root.get(id(root))
    if memory is None:
        memory = Memory(array.nbytes)
        copy = memory.array(array.shape, array.dtype)
        copy[...] = array
        array = copy
    return ndarray(array, memory)


def raw(x: Any) -> Any:
    """NumPy's view of an argument; a bare NumPy array is refused."""
    if isinstance(x, ndarray):
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}: a NumPy array reached a device function")
    if isinstance(x, slice):
        return slice(raw(x.start), raw(x.stop), raw(x.step))
    if type(x) in (tuple, list):
        return type(x)(map(raw, x))
    return x


def wrapped(x: Any) -> Any:
    """Results as the device's: also a single number is an array of no axes."""
    if isinstance(x, np.ndarray | np.generic):
        return on_device(np.asarray(x))
    if type(x) in (tuple, list):
        return type(x)(map(wrapped, x))
    return x


MOVES = {  # what bfloat16 may do outside of kernels: be copied, cast, cut and looked at
    *("reshape", "ravel", "transpose", "swapaxes", "squeeze", "view", "astype", "copy", "empty_like", "zeros_like"),
    *("broadcast_to", "concatenate", "stack", "ascontiguousarray", "split", "expand_dims", "moveaxis", "copyto"),
    *("dtype", "shape", "strides", "size", "ndim", "nbytes", "itemsize", "T", "fill", "flatten", "__getitem__"),
    *("__setitem__", "result_type", "full_like", "may_share_memory", "shares_memory", "iscomplexobj"),
}


def refuse_bfloat16(name: str, args: tuple[Any, ...]) -> None:
    """Raise TypeError if a function that computes is given bfloat16."""
    if name not in MOVES and any(isinstance(x, ndarray) and x.dtype.name == "bfloat16" for x in args):
        raise TypeError(f"{name}: bfloat16 is for kernels alone; NumPy and CuPy disagree about its arithmetic")


WAITS = {  # functions that look at entries to know the shape of their result, or to refuse some
    *("nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "trim_zeros", "setdiff1d", "bincount"),
    *("choose", "put", "delete", "histogram"),
}


def guarded(function: Callable[..., Any], name: str, allowed: list[str] | None) -> Callable[..., Any]:
    """A NumPy function on the device's arrays, with only the arguments that CuPy knows."""

    def call(*args: Any, **kwargs: Any) -> Any:
        unknown = set(kwargs) - set(allowed) if allowed is not None else ()
        if unknown:
            raise TypeError(f"cupy.{name}() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        refuse_bfloat16(name, args)
        if name in WAITS:
            transfers.append(Transfer("wait", 0))
        result = wrapped(function(*map(raw, args), **{key: raw(value) for key, value in kwargs.items()}))
        out = kwargs.get("out")
        return result if out is None else out

    return call


class ndarray:  # noqa: N801 - CuPy's name
    """An array on the device that is none."""

    __slots__ = ("__weakref__", "_array", "_memory")
    __array_ufunc__ = None  # numpy_array + device_array -> TypeError
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray, memory: Memory) -> None:
        self._array, self._memory = array, memory

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def get(self) -> np.ndarray:
        transfers.append(Transfer("to host", self._array.nbytes))
        return self._array.copy()

    def set(self, array: np.ndarray) -> None:
        transfers.append(Transfer("to device", array.nbytes))
        if array.dtype != self._array.dtype or array.shape != self._array.shape:
            raise ValueError("Shape or dtype mismatch")
        self._array[...] = array

    def item(self) -> Any:
        transfers.append(Transfer("to host", self._array.nbytes))
        return self._array.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self) -> bytes:
        return self.get().tobytes()

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._array.ctypes.data)

    @property
    def device(self) -> "Device":
        return Device(0)

    @property
    def flags(self) -> Any:
        flags = self._array.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"device({self._array!r})"  # CuPy would wait here; a failing test should not

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)

    def __getitem__(self, key: Any) -> Any:
        if has_mask(key):
            transfers.append(Transfer("wait", 0))  # how many entries?
        return wrapped(self._array[raw(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if has_mask(key):
            transfers.append(Transfer("wait", 0))
        if not isinstance(value, ndarray) and any(isinstance(part, ndarray) for part in parts(key)):
            transfers.append(Transfer("to device", self._array.itemsize))  # CuPy makes an array of the number
        self._array[raw(key)] = raw(value)

    def scatter_add(self, key: Any, value: Any) -> None:
        np.add.at(self._array, raw(key), raw(value))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in NAMES["ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        value = getattr(self._array, name)
        if callable(value):
            allowed = NAMES["functions"].get(name)
            refuse_bfloat16(name, (self,))
            return guarded(value, name, allowed)
        return wrapped(value) if isinstance(value, np.ndarray) else value


def has_mask(key: Any) -> bool:
    """Whether an index holds an array of bools."""
    return any(isinstance(part, ndarray) and part.dtype == bool for part in parts(key))


def parts(key: Any) -> tuple[Any, ...]:
    """An index, axis by axis."""
    return key if isinstance(key, tuple) else (key,)


def operator_(name: str) -> Callable[..., Any]:
    """An operator of NumPy's arrays for the device's."""

    def apply(self: ndarray, *other: Any) -> Any:
        refuse_bfloat16(name, (self, *other))
        result = getattr(self._array, name)(*map(raw, other))
        return NotImplemented if result is NotImplemented else wrapped(result)

    def in_place(self: ndarray, other: Any) -> ndarray:
        refuse_bfloat16(name, (self, other))
        getattr(self._array, name)(raw(other))
        return self

    return in_place if name in IN_PLACE else apply


BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift")
IN_PLACE = {f"__i{name}__" for name in BINARY}
OPERATORS = [f"__{prefix}{name}__" for name in BINARY for prefix in ("", "r", "i")]
OPERATORS += [f"__{name}__" for name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne")]
for _name in OPERATORS:
    if _name in NAMES["ndarray"]:  # there is no __imatmul__, for one
        setattr(ndarray, _name, operator_(_name))


class ufunc:  # noqa: N801 - CuPy's name
    """A NumPy ufunc with the arguments and methods that CuPy's has."""

    def __init__(self, name: str) -> None:
        self._name, self._numpy = name, getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return guarded(self._numpy, self._name, ["out", "dtype", "casting"])(*args, **kwargs)

    def __getattr__(self, method: str) -> Any:
        if method not in NAMES["ufunc"]:
            raise AttributeError(f"'cupy.ufunc' object has no attribute {method!r}")
        return guarded(getattr(self._numpy, method), f"{self._name}.{method}", None)


class Device:
    """The one device."""

    def __init__(self, id: int = 0) -> None:
        self.id = id

    def synchronize(self) -> None:
        """Nothing is ever under way."""


def asarray(a: Any, dtype: Any = None) -> ndarray:
    """CuPy's: an upload, unless it is on the device already."""
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    host = np.array(a, dtype)
    transfers.append(Transfer("to device", host.nbytes))
    return on_device(host)


def array(a: Any, dtype: Any = None, copy: bool = True, order: str = "K") -> ndarray:
    """CuPy's: always a copy."""
    return on_device(np.array(a._array, dtype)) if isinstance(a, ndarray) else asarray(a, dtype)


def asnumpy(a: Any) -> np.ndarray:
    """CuPy's: a download."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """CuPy's, but what is in it is always NaN."""
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    memory = Memory(math.prod(shape) * dtype.itemsize)
    return ndarray(memory.array(shape, dtype), memory)


def empty_like(a: ndarray, dtype: Any = None, *, shape: Any = None) -> ndarray:
    """CuPy's, but what is in it is always NaN."""
    return empty(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


def get_array_module(*arrays: Any) -> ModuleType:
    """This module if any of these is on the device, else NumPy."""
    return module if any(isinstance(a, ndarray) for a in arrays) else np


class StandIn(ModuleType):
    """The module."""

    def __getattr__(self, name: str) -> Any:
        numpy_value = getattr(np, name, None)
        if name in NAMES["ufuncs"] and isinstance(numpy_value, np.ufunc):
            return ufunc(name)
        if name in NAMES["values"] and hasattr(np, name):
            return numpy_value
        if name in NAMES["functions"] and callable(numpy_value):
            return guarded(numpy_value, name, NAMES["functions"][name])
        if name in {*NAMES["ufuncs"], *NAMES["values"], *NAMES["functions"]}:
            raise AttributeError(f"{name} is in CuPy but not in NumPy: it belongs in backend.py")
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")


transfers: list[Transfer] = []
module = StandIn("cupy")
module.__version__ = NAMES["version"]  # type: ignore[attr-defined]
for _own in (ndarray, ufunc, asarray, array, asnumpy, empty, empty_like, get_array_module):
    setattr(module, _own.__name__, _own)
module.cuda = SimpleNamespace(  # type: ignore[attr-defined]
    is_available=lambda: True,
    Device=Device,
    get_cublas_handle=lambda: 1,
    get_current_stream=lambda: SimpleNamespace(ptr=0),
    runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1),
)
