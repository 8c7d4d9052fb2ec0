"""A small right model, and models that differ from it in one method, with the effect of each for a user."""

from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.model.under_test import Golden, ModelUnderTest, Weights
from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.strategies import normal

V, T, C = 7, 4, 8


class Model:
    """Embeds tokens and positions, sums the past, applies tanh, and multiplies by the head's rows.

    h_t = tanh(Σ_{s ≤ t} a_ts (wte[ids_s] + wpe_s)),   logits = h headᵀ,   a_ts = decay^(t - s)
    """

    std = 0.1
    tied = False

    def __init__(self, seed: int) -> None:
        shapes = {"wte.weight": (V, C), "wpe.weight": (T, C), "lm_head.weight": (V, C)}
        if self.tied:
            del shapes["lm_head.weight"]
        self.weights: Weights = {
            name: self.std * normal((seed + i) % 2**64, shape) for i, (name, shape) in enumerate(shapes.items())
        }

    @property
    def head(self) -> str:
        """The name of the output weights."""
        return "wte.weight" if self.tied else "lm_head.weight"

    def parameters(self) -> Weights:
        """Copies."""
        return {name: w.copy() for name, w in self.weights.items()}

    def load(self, weights: Weights) -> None:
        """Take over."""
        self.weights = {name: weights[name].copy() for name in self.weights}

    # ---- methods that the mutants override

    def past(self, length: int) -> Array:
        """a (T, T): what position t (row) takes of position s (column)."""
        age = np.arange(length)[:, None] - np.arange(length)
        return np.where(age >= 0, 0.7 ** abs(age), 0.0)

    def past_backward(self, length: int) -> Array:
        """The same, for the backward pass."""
        return self.past(length)

    def places(self, length: int) -> Array:
        """The position of each token."""
        return np.arange(length)

    def mixed(self, x: Array) -> Array:
        """An operation between rows: none."""
        return x

    def bent(self, x: Array) -> Array:
        """The activation."""
        return np.tanh(x)

    def slope(self, h: Array) -> Array:
        """Its derivative, by its value."""
        return 1 - h * h

    # ----

    def hidden(self, ids: Array) -> Array:
        """ids (B, T) -> h (B, T, C)"""
        x = self.weights["wte.weight"][ids] + self.weights["wpe.weight"][self.places(ids.shape[1])]
        return self.bent(self.past(ids.shape[1]) @ self.mixed(x))

    def logits(self, ids: Array) -> Array:
        """ids (B, T) -> (B, T, V)"""
        return self.hidden(ids) @ self.weights[self.head].T

    def stepwise(self, ids: Array) -> Array:
        """Token by token: the cache holds each token's embedding."""
        steps = [self.logits(ids[:, : t + 1])[:, -1] for t in range(ids.shape[1])]
        return np.stack(steps, axis=1)

    def embedding_gradient(self, ids: Array, dlogits: Array) -> Array:
        """dlogits (B, T, V) -> the gradient of the embedded tokens (B, T, C)."""
        slope = self.slope(self.hidden(ids))
        return self.past_backward(ids.shape[1]).T @ (dlogits @ self.weights[self.head] * slope)

    def gradients(self, ids: Array, targets: Array) -> tuple[float, Weights]:
        """The mean loss and its analytic gradients."""
        length, rows = ids.shape[1], ids.size
        h, head = self.hidden(ids), self.weights[self.head]
        logits = h @ head.T
        logits = logits - logits.max(-1, keepdims=True)
        logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        onehot = np.eye(V)[targets]
        dlogits = (np.exp(logp) - onehot) / rows
        dx = self.embedding_gradient(ids, dlogits)
        grads: Weights = {name: np.zeros(w.shape) for name, w in self.weights.items()}
        np.add.at(grads["wte.weight"], ids, dx)
        np.add.at(grads["wpe.weight"], self.places(length), dx.sum(0))
        grads[self.head] += np.einsum("btv,btc->vc", dlogits, h)
        return float(-(logp * onehot).sum() / rows), grads


class TiedModel(Model):
    """The head is the embedding."""

    tied = True


def under_test(name: str, model: type[Model], **claims: Any) -> ModelUnderTest:
    """A model of this file, with the claims of the right one."""
    return ModelUnderTest(
        name=name,
        vocab_size=V,
        context_length=T,
        build=model,
        logits=lambda model, ids: model.logits(ids),
        gradients=lambda model, ids, targets: model.gradients(ids, targets),
        parameters=lambda model: model.parameters(),
        load=lambda model, weights: model.load(weights),
        embedding_gradient=lambda model, ids, dlogits: model.embedding_gradient(ids, dlogits),
        stepwise=lambda model, ids: model.stepwise(ids),
        **claims,
    )


def golden() -> Golden:
    """The right model's logits for one seed."""
    model, ids = Model(3), np.array([[0, 1, 2, 3]])
    return model.weights, ids, model.logits(ids)


RIGHT_MODEL = under_test("small model", Model, golden=golden, logit_variance=0.003)
RIGHT_TIED_MODEL = under_test("small tied model", TiedModel, untied=RIGHT_MODEL)

MODEL_MUTANTS: list[Mutant] = []


def mutant(name, **claims):
    """The object below is the mutant of this name; its docstring is the story."""

    def add(broken):
        MODEL_MUTANTS.append(Mutant(name, under_test(name, broken, **claims), cleandoc(broken.__doc__)))
        return broken

    return add


@mutant("peeks-ahead")
class PeeksAhead(Model):
    """The mask is off by one: training looks very good, but generation does not."""

    def past(self, length: int) -> Array:
        """One diagonal too many."""
        age = np.arange(length)[:, None] - np.arange(length)
        return np.where(age >= -1, 0.7 ** abs(age), 0.0)


@mutant("backward-peeks-ahead")
class PeeksBackward(Model):
    """A kernel's backward pass forgets the mask: logits are right, but tokens get gradients from logits before them."""

    def past_backward(self, length: int) -> Array:
        """No mask."""
        age = np.arange(length)[:, None] - np.arange(length)
        return np.asarray(0.7 ** abs(age))


@mutant("rows-mixed")
class RowsMixed(Model):
    """A prompt's continuation depends on the other rows of its batch."""

    def mixed(self, x: Array) -> Array:
        """Minus the mean row."""
        return x - x.mean(0)


@mutant("rows-are-numbered")
class RowsNumbered(Model):
    """A row's logits depend on its position in the batch."""

    def mixed(self, x: Array) -> Array:
        """Scaled by the row's number."""
        return x * (1 + np.arange(len(x))[:, None, None])


@mutant("cache-restarts-positions")
class RestartingCache(Model):
    """With a cache every new token has position 0."""

    def stepwise(self, ids: Array) -> Array:
        """Without the positions."""
        x = self.weights["wte.weight"][ids] + self.weights["wpe.weight"][0]
        return self.bent(self.past(ids.shape[1]) @ x) @ self.weights[self.head].T


@mutant("initialised-too-large", logit_variance=RIGHT_MODEL.logit_variance)
class TooLarge(Model):
    """Weights start too large: the first loss is far above log V, and the first steps only shrink them."""

    std = 2.0


@mutant("one-gradient-is-lost")
class LostGradient(Model):
    """One parameter never changes; the others compensate for it."""

    def gradients(self, ids: Array, targets: Array) -> tuple[float, Weights]:
        """Zeros for one of them."""
        loss, grads = super().gradients(ids, targets)
        return loss, grads | {"wpe.weight": np.zeros((T, C))}


@mutant("tied-gradient-of-one-use", untied=RIGHT_MODEL)
class OneUse(TiedModel):
    """The embedding gets the gradient of the head only."""

    def gradients(self, ids: Array, targets: Array) -> tuple[float, Weights]:
        """Of an untied model, in which the embedding is a constant."""
        loss, _ = super().gradients(ids, targets)
        twin = Model(0)
        twin.load(self.weights | {"lm_head.weight": self.weights["wte.weight"]})
        grads = twin.gradients(ids, targets)[1]
        return loss, {"wte.weight": grads["lm_head.weight"], "wpe.weight": grads["wpe.weight"]}


@mutant("tied-weight-listed-twice", untied=RIGHT_MODEL)
class ListedTwice(TiedModel):
    """The tied weight is listed twice: an optimizer updates and decays it twice."""

    def parameters(self) -> Weights:
        """Both names."""
        return super().parameters() | {"lm_head.weight": self.weights["wte.weight"].copy()}


@mutant("positions-from-the-end")
class FromTheEnd(Model):
    """Positions are counted from the end, so that a longer text changes earlier logits."""

    def places(self, length: int) -> Array:
        """Backwards."""
        return np.arange(length)[::-1]


@mutant("gradient-without-tanh")
class WithoutTanh(Model):
    """The activation's derivative is left out."""

    def slope(self, h: Array) -> Array:
        """1"""
        return np.ones(h.shape)


@mutant("another-activation", golden=golden)
class AnotherActivation(Model):
    """A similar activation: the model trains well, but published weights do not work in it."""

    def bent(self, x: Array) -> Array:
        """x/(1 + |x|)"""
        return x / (1 + abs(x))
