"""For every op, the rules of its arrays: the sum that gives an entry of y, of a gradient, or of an array inside it."""

from collections.abc import Callable, Mapping

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import Op
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules import arithmetic, attention, losses, products, reductions, rows, shaping

RULES: Mapping[Op, Callable[[Computation], Rules]] = {
    ops.add: arithmetic.add,
    ops.subtract: arithmetic.subtract,
    ops.multiply: arithmetic.multiply,
    ops.divide: arithmetic.divide,
    ops.power: arithmetic.power,
    ops.negative: arithmetic.negative,
    ops.exp: arithmetic.EXP,
    ops.log: arithmetic.LOG,
    ops.sqrt: arithmetic.SQRT,
    ops.tanh: arithmetic.TANH,
    ops.relu: arithmetic.RELU,
    ops.gelu: arithmetic.gelu,
    ops.dropout: arithmetic.dropout,
    ops.sum: reductions.sum,
    ops.mean: reductions.mean,
    ops.max: reductions.max,
    ops.var: reductions.var,
    ops.reshape: shaping.copies,
    ops.transpose: shaping.copies,
    ops.broadcast_to: shaping.copies,
    ops.getitem: shaping.copies,
    ops.split: shaping.copies,
    ops.concatenate: shaping.copies,
    ops.where: shaping.copies,
    ops.masked_fill: shaping.copies,
    ops.embedding: shaping.embedding,
    ops.matmul: products.matmul,
    ops.linear: products.linear,
    ops.softmax: rows.softmax,
    ops.log_softmax: rows.log_softmax,
    ops.layer_norm: rows.layer_norm,
    ops.causal_attention: attention.causal_attention,
    ops.cross_entropy: losses.cross_entropy,
    ops.linear_cross_entropy: losses.linear_cross_entropy,
}
