import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.text_strategies import characters, texts
from tinygrad_gpt.text import KINDS, Compact, TextError, build_tokenizer, load_tokenizer, save_tokenizer
from tinygrad_gpt.text.gpt2 import token_bytes
from tinygrad_gpt.text.storage import printable_bytes

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "tokenizer.json"


@pytest.mark.parametrize(
    ("kind", "end_of_text"), [*((kind, False) for kind in KINDS), ("gpt2", True), ("compact", True)]
)
@given(own=texts, other=texts)
def test_a_saved_tokenizer_comes_back_the_same(path, kind, end_of_text, own, other):
    tokenizer = build_tokenizer(kind, own + other + "a", end_of_text=end_of_text)
    save_tokenizer(tokenizer, path)
    loaded = load_tokenizer(path)
    assert loaded == tokenizer
    assert (loaded.name, loaded.fingerprint) == (kind, tokenizer.fingerprint)
    assert loaded.encode(other).tolist() == tokenizer.encode(other).tolist()
    assert os.listdir(path.parent) == [path.name]


def test_a_person_can_read_the_file(path):
    save_tokenizer(Compact.of("the the"), path)
    content = json.loads(path.read_text("utf-8"))
    assert list(content) == ["format", "version", "kind", "vocab_size", "fingerprint", "tokens"]
    assert list(content["tokens"].items())[-2:] == [("Ġthe", 262), ("the", 1169)]
    assert '\n  "Ġthe": 262' in path.read_text("utf-8")
    assert len({printable_bytes(piece) for piece in token_bytes()}) == len(token_bytes())


@pytest.mark.parametrize("value", [1, "true", None, []])
def test_whether_the_end_of_text_is_a_token_is_true_or_false(path, value):
    save_tokenizer(build_tokenizer("gpt2", end_of_text=True), path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"end_of_text": value}))
    with pytest.raises(TextError, match="end_of_text must be of type bool; got"):
        load_tokenizer(path)


def test_a_file_may_not_change_whether_the_end_of_text_is_a_token(path):
    save_tokenizer(build_tokenizer("gpt2", end_of_text=True), path)
    path.write_text(json.dumps(without(json.loads(path.read_text("utf-8")), "end_of_text")))
    with pytest.raises(TextError, match="does not have the vocab_size and fingerprint it states"):
        load_tokenizer(path)


def without(content, name):
    return {key: value for key, value in content.items() if key != name}


WRONG = {
    "another format": (lambda c: c | {"format": "x"}, "no field format"),
    "no object": (lambda c: [c], "no field format"),
    "newer": (lambda c: c | {"version": 2}, "version must be 1; got 2"),
    "true is not 1": (lambda c: c | {"version": True}, "version must be 1; got True"),
    "kind": (lambda c: c | {"kind": "words"}, "kind must be one of compact, gpt2, bytes, chars; got 'words'"),
    "unhashable kind": (lambda c: c | {"kind": []}, r"kind must be one of .*; got \[\]"),
    "unknown field": (lambda c: c | {"extra": 1}, "unknown field 'extra'"),
    "missing field": (lambda c: without(c, "fingerprint"), "missing field 'fingerprint'"),
    "missing tokens": (lambda c: without(c, "tokens"), "missing field 'tokens'"),
    "of another kind": (lambda c: without(c, "tokens") | {"characters": "a"}, "field '(characters|tokens)'"),
    "type": (lambda c: c | {"vocab_size": "260"}, "vocab_size must be of type int; got str"),
    "tokens' type": (lambda c: c | {"tokens": [1]}, "tokens must be of type dict; got list"),
    "id's type": (lambda c: c | {"tokens": c["tokens"] | {"the": 1169.0}}, r"no token 'the' with id 1169\.0"),
    "id": (lambda c: c | {"tokens": c["tokens"] | {"the": 1170}}, "no token 'the' with id 1170"),
    "id out of range": (lambda c: c | {"tokens": c["tokens"] | {"the": -1}}, "no token 'the' with id -1"),
    "order": (lambda c: c | {"tokens": dict(reversed(c["tokens"].items()))}, "begin with GPT-2's ids 0 to 255"),
    "size": (lambda c: c | {"vocab_size": 1}, "does not have the vocab_size and fingerprint it states"),
    "fingerprint": (lambda c: c | {"fingerprint": "0" * 64}, "does not have the vocab_size and fingerprint it states"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line(path, case):
    change, message = WRONG[case]
    save_tokenizer(Compact.of("the the"), path)
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))))
    with pytest.raises(TextError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not valid JSON"),
        (b'{"a": 1', "is not valid JSON"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b"[NaN]", "NaN is not a JSON value"),
        (b"\xff", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_the_error_for_a_file_that_is_not_json_is_one_line(path, data, message):
    path.write_bytes(data)
    with pytest.raises(TextError, match=message):
        load_tokenizer(path)


def test_a_missing_file_is_named(path, tmp_path):
    with pytest.raises(TextError, match=r"^cannot read '.*none\.json': No such file or directory$"):
        load_tokenizer(tmp_path / "none.json")


@kinds
@given(data=st.data())
def test_a_damaged_file_is_refused_or_harmless(path, kind, data):
    """Whatever happens to a byte, loading gives the very tokenizer or a TextError."""
    tokenizer = build_tokenizer(kind, "aé")
    save_tokenizer(tokenizer, path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=2) | st.just(b'"'))
    path.write_bytes(content)
    try:
        assert load_tokenizer(path) == tokenizer
    except TextError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_true_is_no_size(path):
    save_tokenizer(build_tokenizer("chars", "a"), path)
    path.write_text(path.read_text("utf-8").replace('"vocab_size": 1', '"vocab_size": true'))
    with pytest.raises(TextError, match="vocab_size must be of type int; got bool"):
        load_tokenizer(path)


def test_a_reader_of_the_old_file_is_not_disturbed(path):
    save_tokenizer(build_tokenizer("chars", "old"), path)
    with open(path, "rb") as reader:
        save_tokenizer(build_tokenizer("chars", "new"), path)
        assert b'"characters": "dlo"' in reader.read()
    assert load_tokenizer(path).characters == "enw"


@given(text=st.text(characters, min_size=1))
def test_an_interrupted_save_leaves_the_old_file(path, text):
    save_tokenizer(build_tokenizer("bytes", ""), path)
    broken = build_tokenizer("chars", text)
    object.__setattr__(broken, "characters", "\ud800")  # cannot be written
    with pytest.raises(UnicodeEncodeError):
        save_tokenizer(broken, path)
    assert load_tokenizer(path).name == "bytes"
    assert os.listdir(path.parent) == [path.name]
