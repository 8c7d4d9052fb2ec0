"""GPT-2's encoding with only the tokens that a text uses: a small text has a small vocabulary.

The vocabulary is the GPT-2 tokens that occur in the text, and all 256 single bytes, in GPT-2's order.  Any other text
can still be encoded: a missing token is spelled with its bytes.  The embedding and the head, where a small model does
most of its work, then have a few thousand rows instead of 50,257.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.text.gpt2 import END_OF_TEXT_ID, GPT2
from tinygrad_gpt.text.tokenizer import TextError, Tokenizer

_N_BYTES = 256  # GPT-2's first ids are the single bytes


@dataclass(frozen=True)
class Compact(Tokenizer):
    """Some GPT-2 tokens, renumbered: compact id i is GPT-2's gpt2_ids[i].  They ascend; the first 256 are the bytes.

    If GPT-2's <|endoftext|> is among them, <|endoftext|> in a text becomes that token; else it is encoded like any
    other text.
    """

    gpt2_ids: tuple[int, ...]
    name: ClassVar[str] = "compact"

    def __post_init__(self) -> None:
        if self.gpt2_ids[:_N_BYTES] != tuple(range(_N_BYTES)):
            raise TextError("a compact vocabulary must begin with GPT-2's ids 0 to 255, the single bytes")
        for before, id in pairwise(self.gpt2_ids):
            if not before < id <= END_OF_TEXT_ID:
                raise TextError(
                    f"a compact vocabulary's GPT-2 ids must ascend and be at most {END_OF_TEXT_ID}; "
                    f"got {id} after {before}"
                )

    @classmethod
    def of(cls, text: str, *, end_of_text: bool = False) -> "Compact":
        """The tokenizer with the tokens of a text, and with <|endoftext|> if end_of_text is True."""
        return cls.of_ids(GPT2(end_of_text).encode(text), end_of_text=end_of_text)

    @classmethod
    def of_ids(cls, ids: Array, *, end_of_text: bool = False) -> "Compact":
        """The tokenizer with the tokens of a text that is given as GPT-2's ids (N,)."""
        is_used = np.zeros(END_OF_TEXT_ID + 1, bool)
        is_used[ids] = is_used[:_N_BYTES] = True
        is_used[END_OF_TEXT_ID] = end_of_text
        return cls(tuple(np.flatnonzero(is_used).tolist()))

    @property
    def end_of_text(self) -> bool:
        """Whether <|endoftext|> is one of the tokens."""
        return self.gpt2_ids[-1] == END_OF_TEXT_ID

    def __repr__(self) -> str:
        return f"Compact({len(self.gpt2_ids)} of GPT-2's tokens)"

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of each token."""
        whole = GPT2().pieces
        return tuple(whole[id] for id in self.gpt2_ids)

    @cached_property
    def _new_ids(self) -> Array:
        """The compact id of each GPT-2 id, -1 if there is none: (50257,) of int32."""
        new_ids = np.full(END_OF_TEXT_ID + 1, -1, np.int32)
        new_ids[list(self.gpt2_ids)] = np.arange(len(self.gpt2_ids), dtype=np.int32)
        return new_ids

    def encode(self, text: str) -> Array:
        """The compact ids of a text, (N,) of int32."""
        return self.renumber(GPT2(self.end_of_text).encode(text))

    def renumber(self, old: Array) -> Array:
        """The compact ids of GPT-2's ids (N,); a missing token is spelled with the ids of its bytes."""
        new = self._new_ids[old]
        missing = new < 0
        if not missing.any():
            return new
        spelled = [GPT2().pieces[id] for id in old[missing].tolist()]
        byte_ids = np.argsort([piece[0] for piece in self.pieces[:_N_BYTES]]).astype(np.int32)  # byte -> its id
        length = np.ones(len(old), np.int64)
        length[missing] = [len(piece) for piece in spelled]
        out = np.repeat(new, length)  # a missing token is now one -1 for each of its bytes
        out[out < 0] = byte_ids[np.frombuffer(b"".join(spelled), np.uint8)]
        return out

    def safe_cut(self, text: str) -> int:
        """GPT-2's safe cut: each token is renumbered or spelled without regard to the others."""
        return GPT2().safe_cut(text)
