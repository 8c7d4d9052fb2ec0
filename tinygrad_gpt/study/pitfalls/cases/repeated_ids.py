"""`dtable[ids] += dy` writes where it should add."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.pitfalls.domains import table_and_ids
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def embedding(table: Array, ids: Array) -> tuple[Array, Vjp]:
    """table (V, C), ids (...) -> y (..., C)"""
    y = table[ids]

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros_like(table)
        dtable[ids] += dy
        return dtable, None

    return y, vjp


def embedding_fixed(table: Array, ids: Array) -> tuple[Array, Vjp]:
    """table (V, C), ids (...) -> y (..., C)"""
    y = table[ids]

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros_like(table)
        np.add.at(dtable, ids, dy)
        return dtable, None

    return y, vjp


def symptom(embedding: Code) -> None:
    """Loss = the sum of all embeddings, so a token's gradient is the number of its occurrences."""
    words = ["a", "rose", "is", "a", "rose", "is", "a", "rose"]
    known = list(dict.fromkeys(words))
    y, vjp = embedding(np.zeros((len(known), 1)), np.array([known.index(word) for word in words]))
    dtable, _ = vjp(np.ones_like(y))
    print("word    occurs   gradient of its row")
    for word, row in zip(known, dtable, strict=True):
        print(f"{word:<6} {words.count(word):>7} {row[0]:>12g}")


sut = laws.OpUnderTest(name="embedding", op=embedding, domain=table_and_ids(3, 2, (4,), (2, 3)), gathers=True)

PITFALL = Pitfall(
    name="repeated-ids",
    title="a repeated word counts once",
    area="gradient",
    task="Looks up the row of each token; in backward each row collects its gradients.",
    wrong=embedding,
    fixed=embedding_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=embedding_fixed),
    laws=("G09", "G02", "G03"),
    why="NumPy reads dtable[ids] into a copy, adds dy to the copy, and writes the copy back: of all rows for one id "
    "only the last one written stays. np.add.at adds them one after the other. A test with distinct ids passes.",
    sources=("HIPS/autograd#39", "pytorch/pytorch#828", "karpathy/nn-zero-to-hero#57"),
)
