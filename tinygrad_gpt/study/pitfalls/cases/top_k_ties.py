"""Top-k by a threshold: every token tied with the k-th stays."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.study.pitfalls.small_sampler import checked, softmax


def probabilities(logits: Array, *, top_k: int | None = None) -> Array:
    """logits (B, V) -> (B, V)"""
    x = checked(logits, top_k=top_k)
    if top_k is not None and top_k < x.shape[-1]:
        kth = np.sort(x, axis=-1)[:, -top_k, None]
        x = np.where(x < kth, -np.inf, x)
    return softmax(x)


def probabilities_fixed(logits: Array, *, top_k: int | None = None) -> Array:
    """logits (B, V) -> (B, V)"""
    x = checked(logits, top_k=top_k)
    if top_k is not None and top_k < x.shape[-1]:
        order = np.argsort(-x, axis=-1, kind="stable")
        rank = np.argsort(order, axis=-1)
        x = np.where(rank >= top_k, -np.inf, x)
    return softmax(x)


def symptom(probabilities: Code) -> None:
    """top_k = 1 should be greedy: one token, always the same."""
    for name, logits in (("no ties", [4.0, 3.0, 1.0, 0.0]), ("two at the top", [4.0, 4.0, 1.0, 0.0])):
        p = probabilities(np.array([logits]), top_k=1)[0]
        print(f"{name:<15} logits {logits}   top_k=1 keeps {np.count_nonzero(p)} of them")


sut = laws.SamplerUnderTest(name="sampler", probabilities=probabilities, capabilities={"top_k"}, ties="exact")

PITFALL = Pitfall(
    name="top-k-ties",
    title="the k likeliest, and some more",
    area="sampling",
    task="The next token's distribution from logits (B, V), among exactly the top_k likeliest (ties='exact').",
    wrong=probabilities,
    fixed=probabilities_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, probabilities=probabilities_fixed),
    laws=("S13", "S15", "S40"),
    why="A threshold keeps every token tied with the k-th, and in bfloat16 ties are frequent: k = 1 is then "
    "not greedy. Ranks keep exactly k. (A sampler may also keep all ties: with ties='all', the law accepts it.)",
    sources=("Lightning-AI/litgpt#729", "vllm-project/vllm#50979", "vllm-project/tpu-inference#3580"),
)
