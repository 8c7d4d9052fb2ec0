"""Files made to harm whoever reads them: by name, the bytes.

HOSTILE ones are not safetensors files; MISLEADING ones are, but not models.
"""

import hashlib
import json
import math

import numpy as np

MIB = 2**20


def file_of(header, data=b"", length=None):
    """A file with this header (JSON as it is, or to be written), whatever length it claims to have."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)} | more


def one(**changes):
    """A file with one tensor, described like this."""
    return file_of({"a": entry() | changes}, bytes(8))


def two(first, second, data=16):
    """A file with two tensors at these offsets."""
    return file_of({"a": entry(offsets=first), "b": entry(offsets=second)}, bytes(data))


def full_of(unit, start, end=b""):
    """A header of a mebibyte: start, unit over and over, end."""
    return file_of(start + unit * ((MIB - len(start) - len(end)) // len(unit)) + end)


def numbered(unit, count):
    """A header with that many names."""
    return file_of(b"{" + b",".join(unit % i for i in range(count)) + b"}")


CONFIG = {"emb_dim": 1, "n_heads": 1, "n_layers": 1, "vocab_size": 1, "context_length": 1}
METADATA = {"format": "tinygrad_gpt 2", "config": json.dumps(CONFIG), "step": "1", "environment": "{}"}


def signed(shapes, **metadata):
    """A checkpoint of float32 zeros with the right digest, as only somebody makes who wants to do harm."""
    entries, end = {"__metadata__": {"file_sha256": "0" * 64} | METADATA | metadata}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        entries[name] = entry(shape=shape, offsets=(begin, end))
    content = file_of(json.dumps(entries, separators=(",", ":")).encode(), bytes(end))
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def config(**changes):
    return json.dumps(CONFIG | changes)


WTE = {"wte.weight": (1, 1), "wpe.weight": (1, 1)}
MANY = WTE | {f"h.{i}.x": (0,) for i in range(11000)}

HOSTILE = {
    # lengths
    "no byte": b"",
    "seven bytes": b"\x10\0\0\0\0\0\0",
    "no header": file_of(b""),
    "a header longer than the file": file_of(b"{}", length=3),
    "a header of the largest length": file_of(b"{}", length=2**64 - 1),
    "a header of 2**63 bytes": file_of(b"{}", length=2**63),
    "a header of a terabyte": file_of(b"{}" + b" " * 100, length=2**40),
    "a header of a mebibyte and a byte": file_of(b"{}" + b" " * (MIB - 1)),
    "a header of spaces": file_of(b" " * MIB),
    # JSON
    "JSON cut short": file_of(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,'),
    "JSON and more": file_of(b"{}{}"),
    "a list": file_of(b"[]"),
    "a space first": file_of(b" {}"),
    "a byte order mark": file_of(b"\xef\xbb\xbf{}"),
    "no UTF-8": file_of(b'{"\xff":1}'),
    "UTF-16": file_of("{}".encode("utf-16")),
    "NaN": file_of(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', bytes(8)),
    "Infinity": file_of(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,Infinity]}}', bytes(8)),
    "a tensor given twice": file_of(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "a field given twice": file_of(b'{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "metadata given twice": file_of(
        b'{"__metadata__":{"step":"1","step":"2"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)
    ),
    "metadata that are no object": file_of({"__metadata__": "x", "a": entry()}, bytes(8)),
    "metadata that are numbers": file_of({"__metadata__": {"step": 3}, "a": entry()}, bytes(8)),
    "metadata within metadata": file_of({"__metadata__": {"config": CONFIG}, "a": entry()}, bytes(8)),
    "a number of a million digits": full_of(b"9", b'{"a":', b"}"),
    "a fraction of a million digits": full_of(b"1", b'{"a":9007199254740993.0', b"1}"),
    "an exponent of a million digits": full_of(b"9", b'{"a":1e', b"}"),
    "a million open lists": full_of(b"[", b'{"a":'),
    "many open objects": full_of(b'{"a":', b""),
    "nested lists, over and over": full_of(b"[" * 50 + b"]" * 50 + b",", b'{"a":[', b"1]}"),
    "nested objects, over and over": full_of(b'{"":' * 50 + b"1" + b"}" * 50 + b",", b'{"a":[', b"1]}"),
    "empty lists": full_of(b"[],", b'{"a":[', b"1]}"),
    "empty objects": full_of(b"{},", b'{"a":[', b"1]}"),
    "empty objects after a wide character": full_of(b"{},", '{"😀":['.encode(), b"1]}"),
    "one name, over and over": full_of(b'"":0,', b"{", b'"":0}'),
    "empty strings": full_of(b'"",', b'{"a":[', b'""]}'),
    "wide strings": full_of('"😀",'.encode(), b'{"a":[', b'""]}'),
    "quotes that are no quotes": full_of(b'\\"', b'{"'),
    "backslashes": full_of(b"\\", b'{"'),
    "floats": full_of(b"1e9,", b'{"a":[', b"1]}"),
    "escapes": full_of(b"\\u00e9", b'{"', b'":0}'),
    # descriptions of tensors
    "a tensor that is a number": file_of({"a": 3}),
    "a tensor without a dtype": file_of({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "a tensor with a field too many": one(more=1),
    "an unknown dtype": one(dtype="F128"),
    "a dtype that is a list": one(dtype=["F32"]),
    "Python objects": one(dtype="O"),
    "a shape that is a number": one(shape=2),
    "a shape of fractions": one(shape=[2.0]),
    "a shape of truths": one(shape=[True, 2]),
    "a shape of texts": one(shape=["2"]),
    "a negative shape": one(shape=[-2]),
    "two negative axes": one(shape=[-1, -2]),
    "more axes than NumPy has": one(shape=[2] + [1] * 99),
    "a hundred thousand axes": full_of(
        b"99999999999999999,", b'{"a":{"dtype":"U8","data_offsets":[0,0],"shape":[', b"1]}}"
    ),
    "a shape that overflows 64 bits": one(shape=[2**33, 2**31, 2]),
    "nothing of a huge shape": one(shape=[0, 10**17, 10**17], data_offsets=[0, 0]),
    "a larger shape than the bytes": one(shape=[3]),
    "a smaller shape than the bytes": one(shape=[1]),
    "another dtype than the bytes": one(dtype="F64"),
    # offsets
    "one offset": one(data_offsets=[8]),
    "three offsets": one(data_offsets=[0, 4, 8]),
    "negative offsets": one(data_offsets=[-8, 0]),
    "offsets the wrong way round": one(data_offsets=[8, 0]),
    "fractional offsets": one(data_offsets=[0, 8.0]),
    "offsets beyond the file": one(data_offsets=[8, 16]),
    "a terabyte": one(shape=[2**38], data_offsets=[0, 2**40]),
    "bytes that belong to nothing": file_of({"a": entry()}, bytes(9)),
    "a gap": two((0, 8), (9, 17), 17),
    "an overlap": two((0, 8), (4, 12), 12),
    "the same bytes twice": two((0, 8), (0, 8), 8),
    "a gap at the start": two((8, 16), (16, 24), 24),
    "too few bytes": file_of({"a": entry()}, bytes(7)),
    # very many
    "names without anything": numbered(b'"%x":[]', 94000),
    "objects with little in them": numbered(b'"%x":{"":[]}', 68000),
    # other formats
    "a PyTorch archive": b"PK\x03\x04\x14\0\0\0\0\0" + b"\0" * 20 + b"model/data.pkl" + bytes(100),
    "an old PyTorch file": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100),
    "a pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "a NumPy array": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (4294967296,), }" + bytes(99),
    "GGUF": b"GGUF\x03\0\0\0" + bytes(100),
    "text": b"Four score and seven years ago our fathers brought forth",
    "noise": np.random.default_rng(0).bytes(4096),
}

MISLEADING = {
    "half a surrogate": file_of(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "terminal escapes": file_of({"\x1b[2J\r\n": entry()}, bytes(8)),
    "empty tensors": numbered(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', 16500),
    "layers without an end": numbered(b'"h.%d.x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', 15000),
    "many layers with little in them": signed(MANY, config=config(n_layers=11000)),
    # with a right digest
    "nothing else": signed({}),
    "a model without its blocks": signed(WTE),
    "a billion layers": signed(WTE, config=config(n_layers=10**9)),
    "layers beyond 64 bits": signed(WTE, config=config(n_layers=10**30)),
    "a huge vocabulary": signed(WTE, config=config(vocab_size=10**17)),
    "a huge width": signed(WTE, config=config(emb_dim=10**17)),
    "a configuration of lists": full_of(
        b"[" * 50, b'{"__metadata__":{"format":"tinygrad_gpt 1","step":"1","config":"{', b'"}}'
    ),
    "a configuration of many names": full_of(
        b'\\"a\\":0,', b'{"__metadata__":{"format":"tinygrad_gpt 1","step":"1","config":"{', b'\\"\\":0}"}}'
    ),
    "a step of a million digits": signed(WTE, step="9" * 10**6),
    "a negative step": signed(WTE, step="-1"),
    "a step in words": signed(WTE, step="one"),
    "step counts of other names": signed(WTE, optimizer_steps='{"x": 1}'),
    "step counts that are negative": signed(WTE, optimizer_steps='{"wte.weight": -1}'),
    "an environment of numbers": signed(WTE, environment="3"),
    "a newer format": signed(WTE, format="tinygrad_gpt 3"),
    "another's format": signed(WTE, format="pt"),
}
