import io
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.text_strategies import texts
from tinygrad_gpt.text import TextError, corpus, read_texts, reference_manual, split_tokens

sizes = st.integers(1, 9)  # bytes read at a time


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


def files(folder, contents):
    paths = [folder / f"{i}.txt" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@given(text=texts, encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32", "utf-8-sig"]), size=sizes)
def test_a_text_is_read_as_it_is(folder, text, encoding, size):
    text = "." + text
    (path,) = files(folder, [text.encode(encoding)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BYTES_PER_READ", size)  # cuts through characters
        assert read_texts(path, encoding=encoding) == read_texts([str(path)], encoding=encoding) == text


@given(documents=st.lists(texts, max_size=4))
def test_documents_are_joined_by_a_newline_unless_they_end_in_one(folder, documents):
    documents = [text.removeprefix("\ufeff") for text in documents]
    expected = ""
    for document in documents:
        expected += "\n" if expected and document and expected[-1] != "\n" else ""
        expected += document
    paths = files(folder, [document.encode() for document in documents])
    if any(document and not document.isspace() for document in documents):
        assert read_texts(paths) == expected
    else:
        with pytest.raises(TextError, match="no text"):
            read_texts(paths)


def test_a_byte_order_mark_is_left_out_with_a_note(folder):
    notes = []
    paths = files(folder, [b"\xef\xbb\xbfone", b"\xef\xbb\xbftwo\xef\xbb\xbf", b"three"])
    assert read_texts(paths, note=notes.append) == "one\ntwo\ufeff\nthree"
    assert notes == [f"{str(path)!r} begins with a byte order mark: left out" for path in paths[:2]]
    assert read_texts(paths[0], encoding="utf-8-sig") == "one"


@given(before=texts, bad=st.sampled_from([b"\xff", b"\xc3(", b"\xed\xa0\x80"]), mark=st.booleans(), size=sizes)
def test_the_error_for_bytes_that_are_not_utf8_has_the_offset(folder, before, bad, mark, size):
    before = (b"\xef\xbb\xbf" if mark else b"") + before.encode()
    (path,) = files(folder, [before + bad + b" rest"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BYTES_PER_READ", size)
        for encoding in ("utf-8", "utf-8-sig"):
            with pytest.raises(TextError) as caught:
                read_texts(path, encoding=encoding)
            message = str(caught.value)
            assert f"{str(path)!r} is not UTF-8" in message
            assert f": byte {len(before)} is 0x{bad[0]:02x} (" in message
            assert "; try encoding '" in message
            assert message.endswith(", or errors 'replace'")
        assert "\ufffd" in read_texts(path, errors="replace")


def test_half_a_character_at_the_end_is_no_utf8(folder):
    (path,) = files(folder, [b"ab\xe2\x82"])
    with pytest.raises(TextError, match=r"byte 2 is 0xe2 \(unexpected end of data\)"):
        read_texts(path)


def test_utf16_is_recognised(folder):
    (path,) = files(folder, ["text".encode("utf-16")])
    with pytest.raises(TextError, match="try encoding 'utf-16'"):
        read_texts(path)
    assert read_texts(path, encoding="utf-16") == "text"
    (path,) = files(folder, ["text".encode("utf-32")])
    with pytest.raises(TextError, match="try encoding 'utf-32', or errors 'replace'"):
        read_texts(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "UTF16", "U32"])
@pytest.mark.parametrize("errors", corpus.ERRORS)
@given(size=sizes)
def test_without_a_byte_order_mark_the_advice_is_another_encoding_alone(folder, encoding, errors, size):
    (path,) = files(folder, [b"text text"])  # 9 bytes: for Python 3.13 a UnicodeDecodeError, before it another
    name = f"utf-{encoding[-2:]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BYTES_PER_READ", size)
        with pytest.raises(TextError) as caught:
            read_texts(path, encoding=encoding, errors=errors)
    assert str(caught.value) == (
        f"{str(path)!r} is not {name.upper()}: it does not begin with a byte order mark; try encoding 'utf-8', "
        f"or '{name}-le' or '{name}-be', which have none"
    )


@pytest.mark.parametrize(
    ("encoding", "data", "advice"),
    [
        ("ascii", "né".encode(), "try encoding 'utf-8', or errors 'replace'"),
        ("shift_jis", b"ab\xff", "try encoding 'utf-8', or errors 'replace'"),
        ("utf-16", b"\xff\xfea\0b", "byte 4 is 0x62 (truncated data); try errors 'replace'"),
        ("utf-16-le", b"a\0b", "byte 2 is 0x62 (truncated data); try encoding 'utf-8', or errors 'replace'"),
    ],
)
def test_the_advice_is_followed_with_success(folder, encoding, data, advice):
    (path,) = files(folder, [data])
    with pytest.raises(TextError) as caught:
        read_texts(path, encoding=encoding)
    assert str(caught.value).endswith(advice)
    assert read_texts(path, encoding=encoding, errors="replace")


@given(data=st.binary(max_size=40), encoding=st.sampled_from(["utf-16", "utf-7", "cp1252", "shift_jis", "ascii"]))
def test_any_bytes_give_a_text_or_one_line(folder, data, encoding):
    (path,) = files(folder, [data])
    for errors in corpus.ERRORS:
        try:
            text = read_texts(path, encoding=encoding, errors=errors)
        except TextError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert text.strip()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "x"
    make(path)
    with pytest.raises(TextError) as caught:
        read_texts([path])
    assert str(caught.value) == f"cannot read {str(path)!r}: {reason}"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path):
    (path,) = files(tmp_path, [b"text"])
    path.chmod(0)
    with pytest.raises(TextError, match="Permission denied"):
        read_texts(path)


def test_a_name_with_a_null_character_is_an_error():
    with pytest.raises(TextError, match=r"cannot read 'a.x00b': embedded null byte"):
        read_texts("a\0b")


@pytest.mark.parametrize("content", [b"", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_no_text_is_an_error(folder, content):
    (path,) = files(folder, [content])
    with pytest.raises(TextError) as caught:
        read_texts(path)
    assert str(caught.value) == f"no text in {str(path)!r}: empty, or only space"
    with pytest.raises(TextError, match="no file was named"):
        read_texts([])


def test_a_dash_is_standard_input(folder, monkeypatch):
    (path,) = files(folder, [b"file"])
    stdin = io.TextIOWrapper(io.BytesIO("é\r\n".encode()), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_texts(["-", path]) == "é\r\nfile"
    assert not stdin.closed
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextError, match="cannot read '-': there is no standard input"):
        read_texts("-")


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", ""])
def test_an_unknown_encoding_is_an_error(folder, encoding):
    (path,) = files(folder, [b"text"])
    with pytest.raises(ValueError, match="encoding must be one that Python knows"):
        read_texts(path, encoding=encoding)


def test_errors_that_give_invalid_text_are_refused(folder):
    (path,) = files(folder, [b"text"])
    with pytest.raises(ValueError, match="errors must be one of strict, replace, ignore, backslashreplace; got 'surr"):
        read_texts(path, errors="surrogateescape")


def test_the_reference_manual_is_a_text():
    text = reference_manual()
    assert text == reference_manual()
    assert len(text) > 300_000
    paragraphs = text.split("\n\n")
    assert 'The "assert" statement' in paragraphs
    assert len(set(paragraphs)) == len(paragraphs)
    assert "\n" not in "".join(paragraphs)


def test_a_python_without_its_manual_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(TextError, match="lacks its reference manual"):
        reference_manual()


@given(st.integers(0, 300), st.floats(0, 1, exclude_max=True))
def test_the_two_parts_of_a_split_are_disjoint_and_miss_nothing(n, val_fraction):
    tokens = np.arange(n)
    train, val = split_tokens(tokens, val_fraction)
    assert np.concatenate([train, val]).tolist() == tokens.tolist()
    assert abs(len(val) - n * val_fraction) <= 0.5
    assert train.base is tokens
    assert val.base is tokens


@pytest.mark.parametrize("val_fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_split_outside_its_range_is_an_error(val_fraction):
    with pytest.raises(ValueError, match="val_fraction must be at least 0 and below 1; got"):
        split_tokens(np.arange(9), val_fraction)
