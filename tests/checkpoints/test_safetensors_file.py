"""The reader and writer of safetensors files against the library of that name."""

import hashlib
import json
import os
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save, save_file

from tests.reliability.hostile import one
from tinygrad_gpt.checkpoints import CheckpointError
from tinygrad_gpt.checkpoints.safetensors_file import MAX_HEADER_BYTES, open_safetensors, require_complete, write

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=9).filter(lambda name: name != "__metadata__")
METADATA = st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=3)
DTYPES = ["float16", "float32", "float64"]
OTHERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def tensors(dtypes):
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    return st.dictionaries(NAMES, hnp.arrays(st.sampled_from(dtypes), shapes), max_size=4)


def content(arrays):
    return {name: (x.dtype, x.shape, x.tobytes()) for name, x in arrays.items()}


def read(path):
    with open_safetensors(path) as file:
        return {name: file.tensor(name) for name in file.tensors}, file.metadata


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("safetensors") / "x"


@given(tensors(DTYPES), METADATA)
def test_what_is_written_is_read_here_and_by_the_library(path, arrays, metadata):
    with open(path, "wb") as file:
        write(file, arrays, metadata)
    found, said = read(path)
    assert content(found) == content(load_file(path)) == content(arrays)
    assert {name: value for name, value in said.items() if name != "file_sha256"} == metadata
    require_complete(path)


@given(tensors(DTYPES + OTHERS).filter(len), st.none() | METADATA)  # of none it makes no JSON (0.8)
def test_what_the_library_writes_is_read(path, arrays, metadata):
    save_file(arrays, path, metadata)
    found, said = read(path)
    assert content(found) == content(arrays)
    assert said == (metadata or {})
    with pytest.raises(OSError, match="its digest is missing"):
        require_complete(path)


@given(hnp.arrays("float32", hnp.array_shapes(min_dims=2, max_dims=3)), st.data())
def test_any_layout_and_byte_order_is_written_alike(path, array, data):
    step = data.draw(st.sampled_from([1, -1, 2]))
    for odd in (array.T, array[::step], array.astype(">f4"), np.broadcast_to(array, (2, *array.shape))):
        with open(path, "wb") as file:
            write(file, {"x": odd}, {})
        assert content(read(path)[0]) == content({"x": odd.astype("float32")})


def test_the_header_may_be_as_long_as_it_may_be_and_no_longer(path):
    def length_with(note):
        with open(path, "wb") as file:
            write(file, {}, {"note": "x" * note})
        return int.from_bytes(path.read_bytes()[:8], "little")

    longest = MAX_HEADER_BYTES - length_with(0)
    assert length_with(longest) == MAX_HEADER_BYTES
    assert len(read(path)[1]["note"]) == longest
    with pytest.raises(ValueError, match="a file's header may be at most 1048576 bytes long"):
        length_with(longest + 8)
    header = b"{}".ljust(MAX_HEADER_BYTES + 1)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="it is not a safetensors file"):
        read(path)


def test_a_name_that_is_no_text_is_one_line_to_print(path):
    header = json.dumps({"\ud800": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=r"[?] is F32 of shape \(9,\), which 4 bytes cannot be"):
        read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [-1, -2]}, "a has no shape of up to 8 whole numbers"),
        ({"shape": [True, 2]}, "a has no shape of up to 8 whole numbers"),
        ({"shape": [2] + [1] * 8}, "a has no shape of up to 8 whole numbers"),
        ({"shape": 2}, "a has no shape of up to 8 whole numbers"),
        ({"shape": [3]}, r"a is F32 of shape \(3,\), which 8 bytes cannot be"),
        ({"dtype": "F8"}, "a has dtype 'F8', which is none of BOOL, U8, "),
        ({"dtype": []}, r"a has dtype \[\], which is none of BOOL, U8, "),
        ({"data_offsets": [0, 4, 8]}, "a does not have two whole numbers as its data_offsets"),
        ({"data_offsets": [4, 12]}, "a begins at byte 4, where 0 was expected"),
        ({"shape": [1], "data_offsets": [0, 4]}, "its tensors are 4 bytes, and the file has 8 for them"),
        ({"more": 1}, "a is not described by dtype, shape and data_offsets"),
    ],
)
def test_what_describes_no_tensor_is_told(path, change, reason):
    path.write_bytes(one(**change))
    with pytest.raises(CheckpointError, match=reason):
        read(path)


@pytest.mark.parametrize("shape", [[2] * 1, [1] * 7 + [2]])
def test_up_to_eight_axes_are_fine(path, shape):
    path.write_bytes(one(shape=shape))
    assert read(path)[0]["a"].shape == tuple(shape)


def test_too_little_memory_is_one_line(path, monkeypatch):
    path.write_bytes(one())

    def full(*_):
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(CheckpointError, match="Unable to allocate 8 TiB"):
        read(path)


def test_a_file_that_shrinks_while_it_is_read_is_one_line(path):
    path.write_bytes(save({"x": np.zeros(1000)}))

    def read_half():
        with open_safetensors(path) as file:
            os.truncate(path, 500)
            file.tensor("x")

    with pytest.raises(CheckpointError, match="it became shorter while it was read"):
        read_half()


def test_what_is_no_file_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", "a\0b", "/dev/zero"):
        with pytest.raises(CheckpointError, match=r"there is no such file|it is a folder: give the file in it"):
            read(path)


def damaged(path):
    """A file of two million numbers, one of which is not what was written."""
    with open(path, "wb") as file:
        write(file, {"x": np.zeros(2_000_000, np.float32)}, {"note": "whole"})
    with open(path, "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"\x01")


def test_what_was_read_of_a_damaged_file_does_not_leave_the_block(path):
    damaged(path)
    with pytest.raises(CheckpointError, match=r"its bytes are not those that were written \(SHA-256 differs\)$"):
        read(path)


def test_damage_is_told_before_its_consequences_and_other_errors_are_told_of_a_whole_file(path):
    def fail():
        with open_safetensors(path):
            raise ValueError("a strange number")

    damaged(path)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        fail()
    with open(path, "wb") as file:
        write(file, {"x": np.zeros(2)}, {})
    with pytest.raises(CheckpointError, match="a strange number"):
        fail()


def test_an_interrupt_does_not_wait_for_the_digest(path):
    damaged(path)
    with pytest.raises(KeyboardInterrupt), open_safetensors(path):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("digest")]


def test_a_digest_is_that_of_the_whole_file_with_zeros_in_its_place(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.write(b"before")  # a file in a file
        write(file, {"x": np.arange(5.0), "none": np.zeros((0, 3))}, {"note": "é"})
        file.write(b"after")
    data = (tmp_path / "x").read_bytes().removeprefix(b"before").removesuffix(b"after")
    stated = re.search(rb'"file_sha256":"([0-9a-f]{64})"', data)[1]
    assert hashlib.sha256(data.replace(stated, b"0" * 64)).hexdigest().encode() == stated
