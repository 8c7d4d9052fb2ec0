"""A causal mask with one diagonal too many."""

import math

import numpy as np

from tinygrad_gpt import AdamW, Tensor, cross_entropy, laws, ops
from tinygrad_gpt.backend import Array
from tinygrad_gpt.laws.strategies import normal
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.tape import apply

V, T, C = 8, 6, 16


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q, k, v (B, T, D) -> (B, T, D)"""
    T, D = q.shape[-2:]
    scores = (q @ k.transpose(0, 2, 1)) / math.sqrt(D)
    visible = np.tril(np.ones((T, T), bool), k=1)
    weights = scores.masked_fill(~visible, -np.inf).softmax()
    return weights @ v


def attention_fixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q, k, v (B, T, D) -> (B, T, D)"""
    T, D = q.shape[-2:]
    scores = (q @ k.transpose(0, 2, 1)) / math.sqrt(D)
    visible = np.tril(np.ones((T, T), bool), k=0)
    weights = scores.masked_fill(~visible, -np.inf).softmax()
    return weights @ v


class Model:
    """Embeddings, one head of attention, and an output layer."""

    def __init__(self, attention: Code, seed: int) -> None:
        shapes = {"wte": (V, C), "wpe": (T, C), "q": (C, C), "k": (C, C), "v": (C, C), "head": (C, V)}
        self.attention = attention
        self.weights = {
            name: Tensor(0.3 * normal((seed + i) % 2**64, shape), requires_grad=True)
            for i, (name, shape) in enumerate(shapes.items())
        }

    def __call__(self, ids: Array) -> Tensor:
        """ids (B, T) -> logits (B, T, V)"""
        w = self.weights
        x = apply(ops.embedding, w["wte"], ids) + w["wpe"][: ids.shape[1]]
        attended: Tensor = self.attention(x @ w["q"], x @ w["k"], x @ w["v"])
        return attended @ w["head"]


def symptom(attention: Code) -> None:
    """Training on random tokens, for which no loss below ln V nats is possible."""
    model, random = Model(attention, seed=1), np.random.default_rng(1)
    optimizer = AdamW(model.weights, lr=0.02, weight_decay=0.0)
    print(f"random tokens of {V} kinds; the best possible loss is ln {V} = {math.log(V):.2f}")
    for step in range(151):
        tokens = random.integers(0, V, (16, T + 1))
        loss = cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
        if step % 50 == 0:
            print(f"step {step:>3}: loss {loss.item():.2f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def under_test(attention: Code) -> laws.ModelUnderTest:
    """The model with this attention."""
    return laws.ModelUnderTest(
        name="model",
        vocab_size=V,
        context_length=T,
        build=lambda seed: Model(attention, seed),
        logits=lambda model, ids: model(ids).data,
    )


sut = under_test(attention)

PITFALL = Pitfall(
    name="mask-off-by-one",
    title="better than possible",
    area="model",
    task="Causal attention for q, k, v (B, T, D): each position attends to itself and to earlier ones.",
    wrong=attention,
    fixed=attention_fixed,
    symptom=symptom,
    broken=sut,
    whole=under_test(attention_fixed),
    laws=("M1", "M8"),
    why="tril with k=1 keeps the diagonal above the main one: position t sees token t + 1, which is its target. "
    "Training looks very good and generation does not, because there the next token does not exist yet.",
)
