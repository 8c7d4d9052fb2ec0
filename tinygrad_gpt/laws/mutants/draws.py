"""Broken draws and broken random numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.sampling import reference
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest


def draws_with_side_left(p: Array, u: Array) -> Array:
    """searchsorted from the left: u = 0 draws id 0, be it forbidden or not."""
    sums = np.cumsum(p, dtype=np.float64)
    return np.minimum(np.searchsorted(sums, u * sums[-1], side="left"), np.flatnonzero(p)[-1])


def draws_with_u_unscaled(p: Array, u: Array) -> Array:
    """Takes the last running sum for 1: where it is less, a large u draws id V."""
    return np.searchsorted(np.cumsum(p, dtype=np.float64), u, side="right")


def draws_scaled_by_the_sum(p: Array, u: Array) -> Array:
    """Scales u by a sum added in another order: it can exceed the last running sum, and draws id V."""
    return np.searchsorted(np.cumsum(p, dtype=np.float64), u * p.sum(dtype=np.float64), side="right")


def draws_by_float32_sums(p: Array, u: Array) -> Array:
    """Running sums in float32: over 50,257 ids thousands of possible ids get no slice."""
    sums = np.cumsum(p, dtype=np.float32).astype(np.float64)
    return np.minimum(np.searchsorted(sums, u * sums[-1], side="right"), np.flatnonzero(p)[-1])


def draws_with_float32_u(p: Array, u: Array) -> Array:
    """u in float32 comes in steps of 2^-24: rarer ids are skipped."""
    return reference.draw(p, np.minimum(np.asarray(u, np.float32), np.float32(1 - 2**-24)))


def draws_the_argmax(p: Array, u: Array) -> Array:
    """Greedy, under the name of draw."""
    return np.full(np.shape(u), np.argmax(p))


def ids_count_from_one(logits: Array, u: Array, **settings: Any) -> Array:
    """Counts the ids that u has passed, and one more: every token is its neighbour."""
    return reference.draw(reference.probabilities(logits, **settings), u) + 1


GLOBAL = np.random.default_rng(0)


def uniforms_from_the_global_generator(seed: int, rows: Array, positions: Array) -> Array:
    """Draws from a generator that remembers: nothing can be replayed."""
    return GLOBAL.random(np.broadcast(rows, positions).shape)


def uniforms_ignore_the_row(seed: int, rows: Array, positions: Array) -> Array:
    """One number per position: all rows of a batch say the same."""
    return reference.uniforms(seed, np.asarray(rows) * 0, positions)


def uniforms_keyed_by_seed_plus_row(seed: int, rows: Array, positions: Array) -> Array:
    """Row 1 of seed 7 is row 0 of seed 8."""
    places = np.broadcast(rows, positions)
    words = [np.random.Philox(key=[seed + r, 0], counter=[t, 0, 0, 0]).random_raw() for r, t in places]
    return reference.to_unit(np.array(words, np.uint64)).reshape(places.shape)


def uniforms_keyed_through_floats(seed: int, rows: Array, positions: Array) -> Array:
    """The key is a list of integers, which NumPy makes floats once one exceeds 2^63: 1,000 seeds become one."""
    places = np.broadcast(rows, positions)
    words = [np.random.Philox(key=[seed, 0], counter=[t, r, 0, 0]).random_raw() for r, t in places]
    return reference.to_unit(np.array(words, np.uint64)).reshape(places.shape)


def uniforms_of_24_bits(seed: int, rows: Array, positions: Array) -> Array:
    """Float32's 24 bits: ids of probability below 6e-8 are drawn never or too often."""
    return np.floor(reference.uniforms(seed, rows, positions) * 2**24) / 2**24


def to_unit_reaching_one(words: Array) -> Array:
    """Divides by 2^64, which rounds the largest words to 1: an id that does not exist."""
    return words / 2.0**64


def every_uniform_number_twice(seed: int, rows: Array, positions: Array) -> Array:
    """Every number serves two positions: tokens come in pairs."""
    return reference.uniforms(seed, rows, np.asarray(positions) // 2)


def uniforms_added_up(seed: int, rows: Array, positions: Array) -> Array:
    """The mean of two: random enough to look at, but ids at both ends of the vocabulary are drawn too rarely."""
    return (
        reference.uniforms(seed, rows, positions) + reference.uniforms(seed, rows, np.asarray(positions) + 2**20)
    ) / 2


def tokens_ignore_the_seed(logits: Array, seed: int, n: int) -> Array:
    """Takes a seed and always starts from 0: every request says the same."""
    return reference.draw(reference.probabilities(logits), np.random.default_rng(0).random(n))


def tokens_from_the_global_generator(logits: Array, seed: int, n: int) -> Array:
    """Takes a seed and goes on with a generator that remembers: nothing can be replayed."""
    return reference.draw(reference.probabilities(logits), GLOBAL.random(n))


def gumbel(sign: float) -> Callable[..., Array]:
    """A sampler by noise: the id with the largest logit + Gumbel noise, right for sign 1."""

    def token(logits: Array, seed: int, n: int, temperature: float = 1.0) -> Array:
        u = np.random.Generator(np.random.Philox(key=seed)).random((n, len(logits)))
        noise = -np.log(-np.log(u))
        return np.argmax(logits / temperature + sign * noise, axis=-1)

    return token


def sut(name: str, **fields: Any) -> SamplerUnderTest:
    """A sampler that is right but for these fields."""
    return SamplerUnderTest(name=name, **fields)


def draw_mutant(draw: Callable[[Array, Array], Array], cites: tuple[str, ...] = ()) -> Mutant:
    """A mutant named like its function, open at the draw only."""
    name = draw.__name__.replace("_", "-")
    return Mutant(name, sut(name, draw=draw), draw.__doc__ or "", cites)


def uniforms_mutant(uniforms: Callable[[int, Array, Array], Array], cites: tuple[str, ...] = ()) -> Mutant:
    """A mutant named like its function; its distribution and draw are the reference's."""
    name = uniforms.__name__.replace("_", "-")
    right = {"probabilities": reference.probabilities, "draw": reference.draw}
    return Mutant(name, sut(name, uniforms=uniforms, **right), uniforms.__doc__ or "", cites)


def token_mutant(token: Callable[..., Array], cites: tuple[str, ...] = ()) -> Mutant:
    """A mutant named like its function, of which only tokens are to be seen."""
    name = token.__name__.replace("_", "-")
    return Mutant(name, sut(name, token=token), token.__doc__ or "", cites)


DRAW_MUTANTS: tuple[Mutant, ...] = (
    draw_mutant(
        draws_with_side_left,
        cites=("pytorch/pytorch#13867",),
    ),
    draw_mutant(
        draws_with_u_unscaled,
        cites=("hunkim/word-rnn-tensorflow#67",),
    ),
    draw_mutant(
        draws_scaled_by_the_sum,
        cites=("NVIDIA/Megatron-Energon#260",),
    ),
    draw_mutant(
        draws_by_float32_sums,
        cites=("vllm-project/vllm#43150",),
    ),
    draw_mutant(
        draws_with_float32_u,
    ),
    draw_mutant(
        draws_the_argmax,
    ),
    Mutant(
        "ids-count-from-one",
        sut("ids-count-from-one", token_u=ids_count_from_one),
        ids_count_from_one.__doc__ or "",
    ),
    uniforms_mutant(
        uniforms_from_the_global_generator,
    ),
    uniforms_mutant(
        uniforms_ignore_the_row,
        cites=("tenstorrent/tt-metal#53802",),
    ),
    uniforms_mutant(
        uniforms_keyed_by_seed_plus_row,
    ),
    uniforms_mutant(uniforms_keyed_through_floats),
    uniforms_mutant(
        uniforms_of_24_bits,
    ),
    Mutant(
        "uniforms-reach-one",
        sut("uniforms-reach-one", uniforms=reference.uniforms, to_unit=to_unit_reaching_one),
        to_unit_reaching_one.__doc__ or "",
        cites=("cupy/cupy#1614", "cupy/cupy#4509", "pytorch/pytorch#96947"),
    ),
    uniforms_mutant(
        every_uniform_number_twice,
    ),
    uniforms_mutant(uniforms_added_up),
    token_mutant(tokens_ignore_the_seed),
    token_mutant(tokens_from_the_global_generator),
    Mutant(
        "gumbel-with-the-wrong-sign",
        sut("gumbel-with-the-wrong-sign", token=gumbel(-1.0), capabilities=frozenset({"temperature"})),
        "Gumbel noise subtracted: close to right for near-equal logits.",
        cites=("chainer/chainerrl#104",),
    ),
)
