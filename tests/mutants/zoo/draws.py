"""Broken draws and broken random numbers, and the effect of each for a user."""

from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.sampling import reference
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest

DRAW_MUTANTS: list[Mutant] = []
RIGHT = {"probabilities": reference.probabilities, "draw": reference.draw}
GLOBAL = np.random.default_rng(0)


def mutant(field, *, name=None, cites=(), **others):
    """The function below becomes this field of a mutant with the same name; its docstring is the story."""

    def add(broken):
        named = name or broken.__name__.replace("_", "-")
        sut = SamplerUnderTest(name=named, **{field: broken}, **others)
        DRAW_MUTANTS.append(Mutant(named, sut, cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("draw", cites=("pytorch/pytorch#13867",))
def draws_with_side_left(p: Array, u: Array) -> Array:
    """searchsorted from the left: u = 0 draws id 0 even if it is forbidden."""
    sums = np.cumsum(p, dtype=np.float64)
    return np.minimum(np.searchsorted(sums, u * sums[-1], side="left"), np.flatnonzero(p)[-1])


@mutant("draw", cites=("hunkim/word-rnn-tensorflow#67",))
def draws_with_u_unscaled(p: Array, u: Array) -> Array:
    """Assumes that the last running sum is 1: where it is less, a large u draws id V."""
    return np.searchsorted(np.cumsum(p, dtype=np.float64), u, side="right")


@mutant("draw", cites=("NVIDIA/Megatron-Energon#260",))
def draws_scaled_by_the_sum(p: Array, u: Array) -> Array:
    """Scales u by a sum added in another order: it can exceed the last running sum, and draws id V."""
    return np.searchsorted(np.cumsum(p, dtype=np.float64), u * p.sum(dtype=np.float64), side="right")


@mutant("draw", cites=("vllm-project/vllm#43150",))
def draws_by_float32_sums(p: Array, u: Array) -> Array:
    """Running sums in float32: of 50,257 ids, thousands of possible ones are never drawn."""
    sums = np.cumsum(p, dtype=np.float32).astype(np.float64)
    return np.minimum(np.searchsorted(sums, u * sums[-1], side="right"), np.flatnonzero(p)[-1])


@mutant("draw")
def draws_with_float32_u(p: Array, u: Array) -> Array:
    """u is rounded to float32, in steps of 2^-24: rarer ids are skipped."""
    return reference.draw(p, np.minimum(np.asarray(u, np.float32), np.float32(1 - 2**-24)))


@mutant("draw")
def draws_the_argmax(p: Array, u: Array) -> Array:
    """draw is greedy: u has no effect."""
    return np.full(np.shape(u), np.argmax(p))


@mutant("token_u")
def ids_count_from_one(logits: Array, u: Array, **settings: Any) -> Array:
    """An index that is off by one: every token is the next one."""
    return reference.draw(reference.probabilities(logits, **settings), u) + 1


@mutant("uniforms", **RIGHT)
def uniforms_from_the_global_generator(seed: int, rows: Array, positions: Array) -> Array:
    """Draws from a generator with state: nothing can be replayed."""
    return GLOBAL.random(np.broadcast(rows, positions).shape)


@mutant("uniforms", **RIGHT, cites=("tenstorrent/tt-metal#53802",))
def uniforms_ignore_the_row(seed: int, rows: Array, positions: Array) -> Array:
    """One number per position: all rows of a batch draw the same."""
    return reference.uniforms(seed, np.asarray(rows) * 0, positions)


@mutant("uniforms", **RIGHT)
def uniforms_keyed_by_seed_plus_row(seed: int, rows: Array, positions: Array) -> Array:
    """Row 1 of seed 7 is row 0 of seed 8."""
    places = np.broadcast(rows, positions)
    words = [np.random.Philox(key=[seed + r, 0], counter=[t, 0, 0, 0]).random_raw() for r, t in places]
    return reference.to_uniform(np.array(words, np.uint64)).reshape(places.shape)


@mutant("uniforms", **RIGHT)
def uniforms_keyed_through_floats(seed: int, rows: Array, positions: Array) -> Array:
    """The key is a list of integers, which NumPy turns into floats above 2^63: 1,000 seeds become one."""
    places = np.broadcast(rows, positions)
    words = [np.random.Philox(key=[seed, 0], counter=[t, r, 0, 0]).random_raw() for r, t in places]
    return reference.to_uniform(np.array(words, np.uint64)).reshape(places.shape)


@mutant("uniforms", **RIGHT)
def uniforms_of_24_bits(seed: int, rows: Array, positions: Array) -> Array:
    """Float32's 24 bits: ids of probability below 6e-8 are drawn never or too often."""
    return np.floor(reference.uniforms(seed, rows, positions) * 2**24) / 2**24


@mutant(
    "to_unit",
    name="uniforms-reach-one",
    uniforms=reference.uniforms,
    cites=(
        "cupy/cupy#1614",
        "cupy/cupy#4509",
        "pytorch/pytorch#96947",
    ),
)
def to_unit_reaching_one(words: Array) -> Array:
    """Divides by 2^64, which rounds the largest words to 1: an id that does not exist."""
    return words / 2.0**64


@mutant("uniforms", **RIGHT)
def every_uniform_number_twice(seed: int, rows: Array, positions: Array) -> Array:
    """Every number serves two positions: tokens come in pairs."""
    return reference.uniforms(seed, rows, np.asarray(positions) // 2)


@mutant("uniforms", **RIGHT)
def uniforms_added_up(seed: int, rows: Array, positions: Array) -> Array:
    """The mean of two uniform numbers: it looks random, but ids at both ends of the vocabulary are drawn too rarely."""
    return (
        reference.uniforms(seed, rows, positions) + reference.uniforms(seed, rows, np.asarray(positions) + 2**20)
    ) / 2


@mutant("token")
def tokens_ignore_the_seed(logits: Array, seed: int, n: int) -> Array:
    """Ignores the seed: every request gets the same tokens."""
    return reference.draw(reference.probabilities(logits), np.random.default_rng(0).random(n))


@mutant("token")
def tokens_from_the_global_generator(logits: Array, seed: int, n: int) -> Array:
    """Uses the seed only once, then goes on with that generator: nothing can be replayed."""
    return reference.draw(reference.probabilities(logits), GLOBAL.random(n))


@mutant("token", capabilities=frozenset({"temperature"}), cites=("chainer/chainerrl#104",))
def gumbel_with_the_wrong_sign(logits: Array, seed: int, n: int, temperature: float = 1.0) -> Array:
    """Gumbel noise subtracted: close to right for near-equal logits."""
    u = np.random.Generator(np.random.Philox(key=seed)).random((n, len(logits)))
    noise = -np.log(-np.log(u))
    return np.argmax(logits / temperature - noise, axis=-1)
