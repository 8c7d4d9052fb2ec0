"""The least that each op costs: bytes that must cross the memory bus, operations of its products.

Every array that goes in is read once, every array that comes out is written once, and nothing else is ever moved;
only products count as work.  A GPU cannot be faster than the slower of the two.

N rows, C channels, V words; e bytes for an entry of what is stored between ops, 4 in float32 and 2 in bfloat16.
Parameters and their gradients have 4, whole numbers 8.  Each function answers (forward, backward).
"""

from dataclasses import dataclass

F, ID = 4, 8  # bytes of a float32, of an id


@dataclass(frozen=True)
class Floor:
    """Bytes to move and operations to do."""

    nbytes: int
    flops: int = 0

    def seconds(self, bytes_per_second: float, flops_per_second: float) -> float:
        """The slower of the two."""
        return max(self.nbytes / bytes_per_second, self.flops / flops_per_second)


Both = tuple[Floor, Floor]


def layer_norm(N: int, C: int, e: int) -> Both:
    """x, gain, bias -> y;  x, gain, dy -> dx, dgain, dbias.  The stream x is float32 always."""
    return Floor(F * N * C + e * N * C + 2 * F * C), Floor(2 * F * N * C + e * N * C + 3 * F * C)


def gelu(n: int, e: int) -> Both:
    """x -> y;  x, dy -> dx."""
    return Floor(2 * e * n), Floor(3 * e * n)


def dropout(n: int, e: int) -> Both:
    """x -> y;  dy -> dx.  The mask is drawn where it is used."""
    return Floor(2 * e * n), Floor(2 * e * n)


def add(n: int, e: int) -> Both:
    """float32 a, b -> float32 y;  dy -> db, which is dy itself unless it is stored otherwise."""
    return Floor((2 * F + e) * n), Floor((F + e) * n if e != F else 0)


def linear(N: int, inputs: int, outputs: int, e: int) -> Both:
    """x, W, b -> y: one product;  x, W, dy -> dx, dW, db: two.  W is kept as x is stored."""
    x, y, weight, product = N * inputs, N * outputs, inputs * outputs, 2 * N * inputs * outputs
    forward = Floor(e * (x + y) + F * (weight + outputs), product)
    return forward, Floor(e * (2 * x + y + weight) + F * (weight + outputs), 2 * product)


def causal_attention(B: int, T: int, H: int, D: int, e: int) -> Both:
    """qkv -> y: two products;  qkv, dy -> dqkv: five, the weights anew among them.  Each over T (T + 1) / 2 pairs."""
    rows, product = B * T * H * D, 2 * D * B * H * (T * (T + 1) // 2)
    return Floor(e * 4 * rows, 2 * product), Floor(e * 7 * rows, 5 * product)


def linear_cross_entropy(N: int, C: int, V: int, e: int) -> Both:
    """x, W, targets -> loss: one product;  x, W, targets -> dx, dW: two.  Logits are never moved."""
    forward = Floor(e * N * C + F * V * C + ID * N, 2 * N * C * V)
    return forward, Floor(e * (2 * N * C + V * C) + F * V * C + ID * N, 4 * N * C * V)


def embedding(N: int, C: int, V: int) -> Both:
    """A row for each id -> y;  ids, dy -> the whole dtable."""
    return Floor(2 * F * N * C + ID * N), Floor(F * (N * C + V * C) + ID * N)


def adamw(n: int) -> Floor:
    """p, dp, m, v -> p, m, v; and dp once before, for the norm of all."""
    return Floor(8 * F * n)


def gemm(M: int, K: int, N: int, e: int) -> Floor:
    """(M, K) times (K, N)."""
    return Floor(e * (M * K + K * N + M * N), 2 * M * K * N)
