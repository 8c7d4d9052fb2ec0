"""A safetensors file: written tensor by tensor, and read while the whole file is checked.

The layout: 8 bytes, the length of the header, little-endian; the header in JSON, `name -> {"dtype", "shape",
"data_offsets": [begin, end]}` and strings under `__metadata__`; then the tensors' bytes.  Any program that reads
safetensors can read these files.

A file may hold its own digest: then the first string of its metadata is `file_sha256`, the SHA-256 of the whole file
with zeros in place of these 64 digits.  A digest of the tensors alone would not notice a changed step number.

Files may come from anywhere, so nothing in them is trusted before it is checked.  The digest is computed in another
thread while tensors are read, and `open_safetensors` does not end before it has been compared: what was read of a
damaged file does not leave the block.  The safetensors library is not used: when it reads, it accepts headers of
100 MB, repeated names and unknown fields; when it writes, it builds the whole file in memory.
"""

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.files import strict_json

MAX_HEADER_BYTES = 2**20  # bytes; to parse a hostile header can take 32 times as much memory
_MAX_AXES = 8
_BLOCK_BYTES = 2**20  # bytes read at a time
_WRITTEN_BYTES = 2**24  # bytes written at a time
_DTYPES = {
    "BOOL": "?",
    "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {"bfloat16" if name == "BF16" else np.dtype(code).name: name for name, code in _DTYPES.items()}
DIGEST = "file_sha256"
_BEFORE_DIGEST = f'{{"__metadata__":{{"{DIGEST}":"'.encode()
_DIGITS = slice(8 + len(_BEFORE_DIGEST), 8 + len(_BEFORE_DIGEST) + 64)  # where the digest is in a file
_JSON_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?')  # in JSON; the last may lack its end
_NESTED_TOO_DEEP = re.compile(r"\{[^{}]*\{|\[[^]]*[\[{]")  # an object in an object (in the outermost one), or in a list
_MAX_REASON_LENGTH = 1000  # characters
_MAGIC = {
    b"PK\x03\x04": "a zip archive, as PyTorch's .pt and NumPy's .npz are",
    b"\x93NUMPY": "a NumPy array (.npy)",
    **{bytes([0x80, protocol]): "a pickle, as PyTorch's .pt was" for protocol in range(2, 6)},
}

_OTHERS = {
    b"{": "JSON: a config.json, or the index of a model in several files",
    b"GGUF": "a GGUF file",
    b"version ": "the pointer that Git LFS leaves in place of a file: git lfs pull fetches the file",
}


class CheckpointError(ValueError):
    """A file cannot be read as a model.  The text names the file and the reason."""


# Writing


def write(file: BinaryIO, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write tensors (on any device) and metadata, with a digest.  At most one tensor is copied at a time.

    The digest is computed in another thread while the bytes are written, and put in its place at the end.  So `file`
    must have `seek`.
    Raises ValueError, before anything is written, if the header would be too long to be read.
    """
    start = _header_of(tensors, metadata)
    begin = file.tell()
    digest = hashlib.sha256(start)
    file.write(start)
    with ThreadPoolExecutor(1, thread_name_prefix="digest") as hashing:
        for array in tensors.values():
            whole = memoryview(_bytes_of(array))
            hashed = hashing.submit(digest.update, whole)
            for at in range(0, len(whole), _WRITTEN_BYTES):
                file.write(whole[at : at + _WRITTEN_BYTES])
            hashed.result()
    end = file.tell()
    file.seek(begin + _DIGITS.start)
    file.write(digest.hexdigest().encode())
    file.seek(end)


def _header_of(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Everything before the tensors, with zeros for the digest."""
    entries: dict[str, Any] = {"__metadata__": {DIGEST: "0" * 64, **metadata}}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype.name], "shape": array.shape, "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that tensors begin at a multiple of 8
    if len(header) > MAX_HEADER_BYTES:
        made_of = f"{len(tensors)} tensors and the metadata make {len(header)}"
        raise ValueError(f"a file's header may be at most {MAX_HEADER_BYTES} bytes long; {made_of}")
    return len(header).to_bytes(8, "little") + header


def _bytes_of(array: Array) -> Array:
    """An array's bytes as they are in the file; a view if its memory has the same layout."""
    host = np.ascontiguousarray(to_host(array))
    return host.astype(host.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)


# Reading


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's dtype, shape and position in a file."""

    dtype: str  # as the file names it
    shape: tuple[int, ...]
    begin: int  # in bytes, from the first tensor
    end: int


@contextmanager
def open_safetensors(
    path: str | os.PathLike[str], what: str = "", *, with_digest: bool = False
) -> Iterator["SafetensorsFile"]:
    """Open a file and check it, with its digest if it has one.  with_digest: it must have one.

    If anything is wrong with the file, also if it is found within the block, this raises CheckpointError with one line.
    In that line the text `what` follows the file's name.  That the digest is right is known at the end of the block.
    """
    if not os.path.isfile(path):
        there = "it is a folder: give the file in it" if os.path.isdir(path) else "there is no such file"
        raise CheckpointError(f"cannot read {str(path)!r}{what}: {there}")
    try:
        with open(path, "rb", buffering=0) as file:
            checked = SafetensorsFile(file)
            if with_digest and not checked.has_digest:
                raise ValueError("its digest is missing")
            with checked.compare_digest() if checked.has_digest else nullcontext():
                yield checked
    except (OSError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"cannot read {str(path)!r}{what}: {_one_line_reason(error)}") from error


class SafetensorsFile:
    """An open file: its metadata, and its tensors one by one.  Raises ValueError if it is not a safetensors file."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._reading = Lock()  # a position and a read belong together
        self.size = os.fstat(file.fileno()).st_size
        length = self._header_length(self.size)
        header = bytearray(length)
        self._read_into(8, memoryview(header))
        self.start = 8 + length
        self.has_digest = header.startswith(_BEFORE_DIGEST)
        text = header.decode()
        del header  # a hostile one costs enough memory
        self.tensors, self.metadata = _parse_header(text, self.size - self.start)

    def _header_length(self, size: int) -> int:
        """The header's length, from the first 8 bytes.  Raises ValueError if it is impossible."""
        if size < 8:
            raise ValueError(f"it is {size} bytes long, which is too short")
        first = bytearray(8)
        self._read_into(0, memoryview(first))
        length = int.from_bytes(first, "little")
        if length <= min(size - 8, MAX_HEADER_BYTES):
            return length
        for magic, kind in _MAGIC.items():
            if first.startswith(magic):
                raise ValueError(f"it is {kind}, not safetensors: such files can run code, and are never read here")
        for magic, kind in _OTHERS.items():
            if first.startswith(magic):
                raise ValueError(f"it is not a safetensors file but {kind}")
        if length <= MAX_HEADER_BYTES:
            raise ValueError(f"it is cut short: its header should be {length} bytes long, and the file has {size}")
        raise ValueError("it is not a safetensors file")

    @contextmanager
    def compare_digest(self) -> Iterator[None]:
        """Compute the file's digest during the block; at its end raise ValueError if it is not the stated one.

        Damage may be the cause of an error in the block, so this error takes the place of that one.
        """
        stop = Event()
        with ThreadPoolExecutor(1, thread_name_prefix="digest") as hashing:
            is_right = hashing.submit(self._is_undamaged, stop)
            try:
                yield
            except Exception:
                self._require_undamaged(is_right.result())
                raise
            except BaseException:
                stop.set()  # Ctrl-C does not wait for it
                raise
            self._require_undamaged(is_right.result())

    def _require_undamaged(self, is_right: bool) -> None:
        if not is_right:
            raise ValueError("its bytes are not those that were written (SHA-256 differs)")

    def _is_undamaged(self, stop: Event) -> bool:
        """Whether the file has the bytes that were written; False if it was stopped."""
        digest, block = hashlib.sha256(), memoryview(bytearray(min(self.size, _BLOCK_BYTES)))
        stated = b""
        for position in range(0, self.size, len(block)):
            if stop.is_set():
                return False
            part = block[: self.size - position]
            self._read_into(position, part)
            if not position:
                stated = bytes(part[_DIGITS])
                part[_DIGITS] = b"0" * 64
            digest.update(part)
        return digest.hexdigest().encode() == stated

    def dtype_of(self, name: str) -> np.dtype[Any]:
        """The NumPy dtype of a tensor; float32 for bfloat16, which NumPy lacks."""
        stored = self.tensors[name].dtype
        return np.dtype(np.float32) if stored == "BF16" else np.dtype(_DTYPES[stored]).newbyteorder("=")

    def tensor(self, name: str, dtype: Any = None) -> Array:
        """One tensor as a NumPy array, in its own dtype or the given one.  It is converted block by block."""
        stored = self.tensors[name]
        array: Array = np.empty(stored.shape, self.dtype_of(name) if dtype is None else dtype)
        flat = array.reshape(-1)
        if array.dtype == np.dtype(_DTYPES[stored.dtype]):  # straight into its place
            raw = memoryview(flat.view(np.uint8))
            for begin in range(0, len(raw), _BLOCK_BYTES):
                self._read_into(self.start + stored.begin + begin, raw[begin : begin + _BLOCK_BYTES])
            return array
        for start, block in self.blocks(name):
            if stored.dtype == "BF16":  # the upper half of a float32
                block = (block.astype(np.uint32) << np.uint32(16)).view(np.float32)
            flat[start : start + len(block)] = block
        return array

    def are_same(self, one: str, other: str) -> bool:
        """Whether two tensors are stored as the same numbers."""
        kinds = [(self.tensors[name].dtype, self.tensors[name].shape) for name in (one, other)]
        pairs = zip(self.blocks(one), self.blocks(other), strict=False)
        return kinds[0] == kinds[1] and all(a.tobytes() == b.tobytes() for (_, a), (_, b) in pairs)

    def blocks(self, name: str) -> Iterator[tuple[int, Array]]:
        """A tensor's stored numbers, block by block; each block with the index of its first number."""
        stored = self.tensors[name]
        kind = np.dtype(_DTYPES[stored.dtype])
        for begin in range(stored.begin, stored.end, _BLOCK_BYTES):
            block: Array = np.empty(min(_BLOCK_BYTES, stored.end - begin) // kind.itemsize, kind)
            self._read_into(self.start + begin, memoryview(block.view(np.uint8)))
            yield (begin - stored.begin) // kind.itemsize, block

    def _read_into(self, position: int, part: memoryview) -> None:
        """Fill part with the bytes from this position on."""
        with self._reading:
            self.file.seek(position)
            while part:
                count = self.file.readinto(part)
                if not count:
                    raise ValueError("it became shorter while it was read")
                part = part[count:]


def _parse_header(header: str, size: int) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors and metadata of a header.  Raises ValueError unless they fit the `size` bytes after it exactly."""
    if not header.startswith("{"):
        raise ValueError("its header is not a JSON object")
    entries = json_object(header)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not strings")
    tensors = {name: _parse_entry(name, entry) for name, entry in entries.items()}
    end = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise ValueError(f"{name} begins at byte {entry.begin}, where {end} was expected")
        end = entry.end
    if end != size:
        raise ValueError(f"its tensors are {end} bytes, and the file has {size} for them")
    return tensors, metadata


def _parse_entry(name: str, entry: Any) -> StoredTensor:
    """One entry of a header."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name} has dtype {dtype!r}, which is none of {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _MAX_AXES:
        raise ValueError(f"{name} has no shape of up to {_MAX_AXES} whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} does not have two whole numbers as its data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
        raise ValueError(f"{name} is {dtype} of shape {tuple(shape)}, which {end - begin} bytes cannot be")
    return StoredTensor(dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    """Whether this is a list of whole numbers from 0."""
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def json_object(text: str) -> Any:
    """A JSON object as a dict.  It may contain objects of plain values, and lists of them, but nothing deeper.

    Raises ValueError for anything else, for what `strict_json` refuses, and for whole numbers of more than 18 digits.
    """
    if _NESTED_TOO_DEEP.search(_JSON_STRING.sub("", text), 1):
        raise ValueError("its JSON is nested too deeply")  # memory: a level takes 2 bytes in a file and 88 in Python
    value = strict_json(text, _short_int)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    return value


def _short_int(digits: str) -> int:
    """An integer that fits into 64 bits: arithmetic with huge ones from a hostile file would be slow."""
    if len(digits) > 18:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _one_line_reason(error: Exception) -> str:
    """What is wrong, in one printable line, even if it quotes strange names."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    text = text if len(text) <= _MAX_REASON_LENGTH else text[:_MAX_REASON_LENGTH] + " ..."
    return "".join(character if character.isprintable() else "?" for character in text)


def require_complete(path: Path) -> None:
    """Raise OSError unless the file has a digest and is undamaged."""
    try:
        with open_safetensors(path, with_digest=True):
            pass
    except CheckpointError as error:
        raise OSError(errno.EIO, f"it was not written as it should be: {error}", str(path)) from error
