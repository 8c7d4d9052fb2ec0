"""Texts as people and programs write them: what tokenizers trip over is drawn often."""

from hypothesis import strategies as st

WORDS = ["Every effort moves you", " the", "word", "don't", "'ll", "'", "I'VE", "x", "...", "_", "123", "4,5", "\u0663"]
MARKS = ["é", "e\u0301", "日本語", "👩‍🚀", "🙂", "İ", "\u200d", "<|endoftext|>"]
BLANKS = ["\n", "\n\n", "\r\n", "\t", " ", "   ", "\0", "\x1c", "\x85", "\u00a0", "\u2003", "\u3000", "\ufeff"]
HOSTILE = [
    "",
    "👩‍🚀🙂",
    "a\r\nb\rc\n",
    "a\0b",
    "<|endoftext|>",
    "a<|endoftext|> b",
    "\ufeffa",
    "\n\na",
    "a\n\n",
    "e\u0301",
]

characters = st.characters(exclude_categories=["Cs"])  # all but lone surrogates
parts = st.sampled_from([*WORDS, *MARKS, *BLANKS]) | st.text(characters, max_size=3)
texts = st.sampled_from(HOSTILE) | st.text(characters, max_size=60) | st.lists(parts, max_size=30).map("".join)
seeds = st.integers(0, 2**64 - 1)
