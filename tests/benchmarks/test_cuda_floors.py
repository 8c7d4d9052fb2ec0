"""The least that an op costs, beside what is worked out by hand."""

import pytest

from benchmarks.cuda import floors
from benchmarks.cuda.floors import Floor
from benchmarks.cuda.roof import Roof


def test_the_slower_of_the_two_is_the_floor():
    floor = Floor(nbytes=600, flops=1000)
    assert floor.seconds(bytes_per_second=100, flops_per_second=500) == 6
    assert floor.seconds(bytes_per_second=600, flops_per_second=500) == 2
    roof = Roof(bandwidth=100, rates={"float32": 500, "bfloat16": 100})
    assert roof.share(floor, "float32", 12) == 0.5
    assert roof.share(floor, "bfloat16", 12) == pytest.approx(10 / 12)


# Two rows of three channels, by hand.  float32: x and y have 24 bytes, gain and bias 12 each; way back: x, dy, dx, gain
# and its gradient and that of the bias.  bfloat16: what lies between ops has half.
BY_HAND = [
    (floors.layer_norm(2, 3, 4), (24 + 12 + 12 + 24, 24 + 24 + 24 + 12 + 12 + 12), (0, 0)),
    (floors.layer_norm(2, 3, 2), (24 + 12 + 12 + 12, 24 + 12 + 24 + 12 + 12 + 12), (0, 0)),
    (floors.gelu(6, 4), (24 + 24, 24 + 24 + 24), (0, 0)),
    (floors.dropout(6, 2), (12 + 12, 12 + 12), (0, 0)),
    (floors.add(6, 2), (24 + 12 + 24, 24 + 12), (0, 0)),
    (floors.add(6, 4), (24 + 24 + 24, 0), (0, 0)),
    # x (2, 3), W (3, 5), b (5): y has 2·5 sums of 3 products each, 60 operations; dx and dW as many again, each
    (floors.linear(2, 3, 5, 4), (24 + 60 + 20 + 40, 24 + 60 + 40 + 24 + 60 + 20), (60, 120)),
    (floors.linear(2, 3, 5, 2), (12 + 60 + 20 + 20, 12 + 30 + 20 + 12 + 60 + 20), (60, 120)),
    # one row of 3 tokens, one head of 2: 6 pairs of a query and a key, 4 operations in each product; qkv has 18 entries
    (floors.causal_attention(1, 3, 1, 2, 4), (72 + 24, 72 + 24 + 72), (2 * 24, 5 * 24)),
    (floors.causal_attention(2, 3, 4, 2, 2), (8 * 48, 8 * 84), (8 * 2 * 24, 8 * 5 * 24)),
    # two rows of 3, 7 words: 2·7 sums of 3 products
    (floors.linear_cross_entropy(2, 3, 7, 4), (24 + 84 + 16, 24 + 84 + 16 + 24 + 84), (84, 168)),
    (floors.linear_cross_entropy(2, 3, 7, 2), (12 + 84 + 16, 12 + 42 + 16 + 12 + 84), (84, 168)),
    # two ids of a table of 7 rows of 3
    (floors.embedding(2, 3, 7), (16 + 24 + 24, 16 + 24 + 84), (0, 0)),
]


@pytest.mark.parametrize(("both", "nbytes", "flops"), BY_HAND)
def test_forward_and_backward(both, nbytes, flops):
    assert [floor.nbytes for floor in both] == list(nbytes)
    assert [floor.flops for floor in both] == list(flops)


def test_of_one_way():
    assert floors.adamw(10) == Floor(4 * 10 * (4 + 3 + 1))
    assert floors.gemm(2, 3, 5, e=2) == Floor(2 * (6 + 15 + 10), 60)


def test_a_step_of_gpt2_takes_six_operations_for_each_weight_and_token():
    """And the head's gradient is the tied table's."""
    N, C, V = 8 * 1024, 768, 50304
    layers = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)]
    flops = 12 * sum(floor.flops for i, o in layers for floor in floors.linear(N, i, o, 4))
    flops += sum(floor.flops for floor in floors.linear_cross_entropy(N, C, V, 4))
    weights = 12 * 12 * C * C + V * C
    assert flops == 6 * N * weights
