import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.text.text_strategies import texts
from tinygrad_gpt.text import GPT2, KINDS, Bytes, Characters, Compact, StreamDecoder, TextError, build_tokenizer
from tinygrad_gpt.text import tokenizer as tokenizer_module

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("kind", ["compact", "chars"])
def test_a_vocabulary_of_no_text_is_refused(kind):
    with pytest.raises(ValueError, match=f"text must be given: the tokenizer '{kind}' takes its vocabulary from it"):
        build_tokenizer(kind)


def test_gpt2s_tokens_need_no_text():
    assert build_tokenizer("gpt2").vocab_size == 50_257
    with pytest.raises(ValueError, match="tokenizer must be one of compact, gpt2, bytes, chars; got 'foo'"):
        build_tokenizer("foo")


@kinds
@given(texts)
def test_decode_undoes_encode(kind, text):
    tokenizer = build_tokenizer(kind, text or "a")
    ids = tokenizer.encode(text)
    assert (ids.dtype, ids.ndim) == (np.int32, 1)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.decode(ids.tolist()) == text
    assert not len(ids) or 0 <= ids.min() <= ids.max() < tokenizer.vocab_size == len(tokenizer.pieces)


@given(texts, texts)
def test_compact_loses_nothing_of_a_text_it_was_not_made_for(own, other):
    tokenizer = Compact.of(own)
    assert tokenizer.decode(tokenizer.encode(other)) == other


@given(texts)
def test_compact_is_gpt2_renumbered(text):
    whole, tokenizer = GPT2().encode(text), Compact.of(text)
    assert np.array(tokenizer.gpt2_ids)[tokenizer.encode(text)].tolist() == whole.tolist()
    assert set(tokenizer.gpt2_ids) == set(range(256)) | set(whole.tolist())


@given(texts, texts)
def test_compact_spells_only_what_it_lacks(own, other):
    tokenizer = Compact.of(own)
    whole = GPT2()
    expected = []
    for id in whole.encode(other).tolist():
        expected += [id] if id in tokenizer.gpt2_ids else [whole.pieces.index(bytes([b])) for b in whole.pieces[id]]
    assert [tokenizer.gpt2_ids[id] for id in tokenizer.encode(other)] == expected


@kinds
@given(texts, texts)
def test_safe_cut_changes_no_id(kind, text, more):
    tokenizer = build_tokenizer(kind, text + more + "a")
    cut = tokenizer.safe_cut(text)
    assert 0 <= cut <= len(text)
    pieces = [tokenizer.encode(text[:cut]), tokenizer.encode(text[cut:] + more)]
    assert np.concatenate(pieces).tolist() == tokenizer.encode(text + more).tolist()


def test_safe_cut_finds_the_last_word():
    assert GPT2().safe_cut("one two\n\nthree") == len("one two")
    assert GPT2().safe_cut("one\r\n") == len("one")
    assert [GPT2().safe_cut(text) for text in ("", "word", "  word", "\n")] == [0, 0, 0, 0]


@kinds
@given(st.data())
def test_an_id_outside_the_vocabulary_is_named_with_its_offset(kind, data):
    tokenizer = build_tokenizer(kind, "some text")
    V = tokenizer.vocab_size
    ids = data.draw(st.lists(st.integers(0, V - 1), max_size=8))
    offset = data.draw(st.integers(0, len(ids)))
    wrong = data.draw(st.integers(-(2**40), -1) | st.integers(V, 2**40))
    ids.insert(offset, wrong)
    with pytest.raises(ValueError, match=rf"^ids must be from 0 to {V - 1}; got {wrong} at offset {offset}$"):
        tokenizer.decode(ids)


def test_ids_must_be_one_sequence_of_whole_numbers():
    assert Bytes().decode([]) == ""
    with pytest.raises(TypeError, match="ids must be whole numbers; got float64"):
        Bytes().decode([1.0])
    with pytest.raises(TypeError, match="ids must be whole numbers; got bool"):
        Bytes().decode([True])
    with pytest.raises(ValueError, match=r"ids must be one sequence \(N,\); got shape \(1, 1\)"):
        Bytes().decode([[1]])


@kinds
@given(texts, st.integers(0xD800, 0xDFFF), texts)
def test_a_lone_surrogate_is_refused_with_its_position(kind, before, code, after):
    tokenizer = build_tokenizer(kind, "abc")
    with pytest.raises(TextError, match=f"lone surrogate U\\+{code:04X} at character {len(before)}$"):
        tokenizer.encode(before + chr(code) + after)


@kinds
def test_only_text_is_encoded(kind):
    with pytest.raises(TypeError, match="text must be a str; got bytes"):
        build_tokenizer(kind, "abc").encode(b"abc")


@given(texts, texts, st.characters(exclude_categories=["Cs"]), texts)
def test_an_unknown_character_is_named_with_its_position(known, before, character, after):
    tokenizer = Characters.of((known + before).replace(character, "") + ("a" if character != "a" else "b"))
    before = before.replace(character, "")
    with pytest.raises(TextError) as caught:
        tokenizer.encode(before + character + after)
    assert f"character {character!r} (U+{ord(character):04X}) at position {len(before)} is not among" in str(
        caught.value
    )


def test_characters_have_dense_ids_in_ascending_order():
    tokenizer = Characters.of("hello 🙂")
    assert tokenizer.characters == " ehlo🙂"
    assert tokenizer.encode("🙂oh ").tolist() == [5, 4, 2, 0]
    with pytest.raises(TextError, match="at least 1 character"):
        Characters.of("")
    with pytest.raises(TextError, match="distinct and in ascending order"):
        Characters("ba")


def test_a_compact_vocabulary_must_hold_the_bytes_and_ascend():
    with pytest.raises(TextError, match="begin with GPT-2's ids 0 to 255"):
        Compact((*range(255), 300))
    with pytest.raises(TextError, match="got 300 after 300"):
        Compact((*range(256), 300, 300))
    with pytest.raises(TextError, match="must ascend and be at most 50256; got 50257 after 255"):
        Compact((*range(256), 50257))


@kinds
@given(st.data())
def test_a_stream_shows_the_same_text(kind, data):
    tokenizer = build_tokenizer(kind, "naïve 🙂")
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20))
    ids += tokenizer.encode(data.draw(st.sampled_from(["", "naïve 🙂"]))).tolist()
    stream = StreamDecoder(tokenizer)
    assert "".join([stream.push(id) for id in ids] + [stream.finish()]) == tokenizer.decode(ids)


@given(texts)
@example("👩‍🚀")
def test_a_stream_never_shows_half_a_character(text):
    stream, shown = StreamDecoder(Bytes()), ""
    for id in Bytes().encode(text):
        shown += stream.push(id)
        assert text.startswith(shown)
    assert shown == text
    assert stream.finish() == ""


def test_a_stream_ends_with_a_replacement_character_if_cut_short():
    stream = StreamDecoder(Bytes())
    assert [stream.push(id) for id in "🙂".encode()[:3]] == ["", "", ""]
    assert stream.finish() == "\ufffd"
    with pytest.raises(ValueError, match="ids must be from 0 to 255; got 256 at offset 0"):
        stream.push(256)


def test_tokenizers_cannot_be_changed():
    for tokenizer in (Characters("ab"), Compact.of("a")):
        field = dataclasses.fields(tokenizer)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(tokenizer, field, "x")
    ids = Compact.of("one two").encode("one two")
    ids[:] = 0  # an array of one's own
    assert Compact.of("one two").decode(Compact.of("one two").encode("one two")) == "one two"


@given(texts, texts)
def test_fingerprints_tell_vocabularies_apart(one, two):
    a, b = Compact.of(one), Compact.of(two)
    assert (a.fingerprint == b.fingerprint) == (a.gpt2_ids == b.gpt2_ids) == (a == b)
    assert len({build_tokenizer(kind, "a").fingerprint for kind in KINDS}) == len(KINDS)


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="tokenizer must be one of compact, gpt2, bytes, chars; got 'words'"):
        build_tokenizer("words", "text")


def test_importing_builds_nothing():
    code = (
        "import sys, tinygrad_gpt.text.gpt2 as g; "
        "assert not g.token_bytes.cache_info().currsize and not g.encoding.cache_info().currsize; "
        "assert not {'tqdm', 'matplotlib', 'hypothesis', 'cupy', 'requests', 'pydoc_data.topics'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@kinds
@given(st.data())
def test_a_token_alone_reads_as_its_text_or_as_the_bytes_of_a_part_of_a_character(kind, data):
    tokenizer = build_tokenizer(kind, "naïve 🙂")
    id = data.draw(st.integers(0, tokenizer.vocab_size - 1))
    label, piece = tokenizer.label(id), tokenizer.pieces[id]
    assert label == (piece if "\ufffd" in piece.decode(errors="replace") else piece.decode())
    with pytest.raises(ValueError, match="ids must be from 0 to"):
        tokenizer.label(tokenizer.vocab_size)


@kinds
@given(text=texts, at_a_time=st.integers(1, 9))
def test_bytes_are_counted_without_joining_them(kind, text, at_a_time):
    tokenizer = build_tokenizer(kind, text + "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "_IDS_PER_CALL", at_a_time)
        assert tokenizer.n_bytes(tokenizer.encode(text)) == len(text.encode())
