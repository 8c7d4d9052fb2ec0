"""A tied head that is a copy."""

import numpy as np

from tinygrad_gpt import Tensor, cross_entropy, laws, ops
from tinygrad_gpt.backend import Array
from tinygrad_gpt.laws.strategies import normal
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.tape import apply

V, T, C = 7, 4, 8


def make_head(wte: Tensor) -> Tensor:
    """wte (V, C) -> the head (V, C)"""
    head = Tensor(wte.data.copy(), requires_grad=True)
    return head


def make_head_fixed(wte: Tensor) -> Tensor:
    """wte (V, C) -> the head (V, C)"""
    head = wte
    return head


def own_head(wte: Tensor) -> Tensor:
    """The head of the model that does not tie: another matrix."""
    return Tensor(wte.data[::-1].copy(), requires_grad=True)


class Model:
    """h_t = tanh(Σ_{s ≤ t} 0.7^(t-s) (wte[ids_s] + wpe_s)), logits = h headᵀ"""

    def __init__(self, make_head: Code, seed: int, tied: bool = True) -> None:
        def leaf(i: int, shape: tuple[int, int]) -> Tensor:
            return Tensor(0.1 * normal((seed + i) % 2**64, shape), requires_grad=True)

        self.weights = {"wte.weight": leaf(0, (V, C)), "wpe.weight": leaf(1, (T, C))}
        self.head: Tensor = make_head(self.weights["wte.weight"])
        if not tied:
            self.weights["lm_head.weight"] = self.head

    def __call__(self, ids: Array) -> Tensor:
        """ids (B, T) -> logits (B, T, V)"""
        x = apply(ops.embedding, self.weights["wte.weight"], ids) + self.weights["wpe.weight"][: ids.shape[1]]
        age = np.arange(ids.shape[1])[:, None] - np.arange(ids.shape[1])
        past = Tensor(np.where(age >= 0, 0.7 ** abs(age), 0.0))
        hidden = (past @ x).tanh()
        return hidden @ self.head.T

    def gradients(self, ids: Array, targets: Array) -> tuple[float, dict[str, Array]]:
        """The mean loss and its gradients by name."""
        for tensor in (*self.weights.values(), self.head):
            tensor.grad = None
        loss = cross_entropy(self(ids), targets)
        loss.backward()
        return loss.item(), {name: tensor.grad for name, tensor in self.weights.items()}

    def load(self, weights: dict[str, Array]) -> None:
        """Copy these weights into the model."""
        for name, tensor in self.weights.items():
            tensor.data = weights[name].copy()


def symptom(make_head: Code) -> None:
    """Train on one batch, each leaf by its gradient; then save the weights and load them into a new model."""
    model = Model(make_head, seed=0)
    ids = np.array([[0, 1, 2, 3], [4, 5, 6, 0]])
    targets = np.array([[1, 2, 3, 4], [5, 6, 0, 1]])
    for _ in range(200):
        loss, _ = model.gradients(ids, targets)
        for tensor in {model.head: None, **dict.fromkeys(model.weights.values())}:
            tensor.data = tensor.data - 0.5 * np.asarray(tensor.grad)
    apart = abs(model.head.data - model.weights["wte.weight"].data).max()
    print(f"after 200 steps: loss {loss:.3f}, embedding and head differ by up to {apart:.3f}")
    saved = {name: tensor.data for name, tensor in model.weights.items()}
    fresh = Model(make_head, seed=0)
    fresh.load(saved)
    print(f"saved and loaded: loss {fresh.gradients(ids, targets)[0]:.3f}; in the file: {', '.join(saved)}")


def under_test(make_head: Code, tied: bool = True, untied: laws.ModelUnderTest | None = None) -> laws.ModelUnderTest:
    """The model with this way of making its head."""
    return laws.ModelUnderTest(
        name="tied model",
        vocab_size=V,
        context_length=T,
        build=lambda seed: Model(make_head, seed, tied),
        logits=lambda model, ids: model(ids).data,
        gradients=Model.gradients,
        parameters=lambda model: {name: tensor.data.copy() for name, tensor in model.weights.items()},
        load=Model.load,
        untied=untied,
    )


twin = under_test(own_head, tied=False)
sut = under_test(make_head, untied=twin)

PITFALL = Pitfall(
    name="tied-by-copy",
    title="the file holds half of the model",
    area="model",
    task="Weight tying: the output layer of a language model uses the embedding's matrix.",
    wrong=make_head,
    fixed=make_head_fixed,
    symptom=symptom,
    broken=sut,
    whole=under_test(make_head_fixed, untied=twin),
    laws=("M7", "M6"),
    why="A copy is equal for one step. Then the head learns separately, the embedding receives only its own half of "
    "the gradient, and the file, which contains the matrix once, has half of the model. Tied means one tensor; "
    "its gradient is the sum of both uses.",
    sources=("rasbt/LLMs-from-scratch#822",),
)
