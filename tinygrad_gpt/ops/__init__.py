"""Every gradient by hand: one file per op or small family, with derivation, shapes and code.

An op is a plain function on arrays that returns its result and its vjp (vector-Jacobian product), which turns
dy = dLoss/dy into dx = dLoss/dx:

    y, vjp = gelu(x)
    (dx,) = vjp(dy)

`FAMILIES` lists them; every law of ops is checked for each.
"""

from collections.abc import Callable
from typing import Any

from tinygrad_gpt.backend import Vjp
from tinygrad_gpt.ops.arithmetic import add as add
from tinygrad_gpt.ops.arithmetic import divide as divide
from tinygrad_gpt.ops.arithmetic import multiply as multiply
from tinygrad_gpt.ops.arithmetic import negative as negative
from tinygrad_gpt.ops.arithmetic import power as power
from tinygrad_gpt.ops.arithmetic import subtract as subtract
from tinygrad_gpt.ops.arithmetic import unbroadcast as unbroadcast
from tinygrad_gpt.ops.attention import causal_attention as causal_attention
from tinygrad_gpt.ops.cross_entropy import cross_entropy as cross_entropy
from tinygrad_gpt.ops.dropout import dropout as dropout
from tinygrad_gpt.ops.elementwise import exp as exp
from tinygrad_gpt.ops.elementwise import log as log
from tinygrad_gpt.ops.elementwise import relu as relu
from tinygrad_gpt.ops.elementwise import sqrt as sqrt
from tinygrad_gpt.ops.elementwise import tanh as tanh
from tinygrad_gpt.ops.embedding import embedding as embedding
from tinygrad_gpt.ops.gelu import gelu as gelu
from tinygrad_gpt.ops.layer_norm import layer_norm as layer_norm
from tinygrad_gpt.ops.linear import linear as linear
from tinygrad_gpt.ops.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from tinygrad_gpt.ops.matmul import matmul as matmul
from tinygrad_gpt.ops.reductions import max as max
from tinygrad_gpt.ops.reductions import mean as mean
from tinygrad_gpt.ops.reductions import sum as sum
from tinygrad_gpt.ops.reductions import var as var
from tinygrad_gpt.ops.shaping import broadcast_to as broadcast_to
from tinygrad_gpt.ops.shaping import concatenate as concatenate
from tinygrad_gpt.ops.shaping import getitem as getitem
from tinygrad_gpt.ops.shaping import reshape as reshape
from tinygrad_gpt.ops.shaping import split as split
from tinygrad_gpt.ops.shaping import transpose as transpose
from tinygrad_gpt.ops.softmax import log_softmax as log_softmax
from tinygrad_gpt.ops.softmax import softmax as softmax
from tinygrad_gpt.ops.where import masked_fill as masked_fill
from tinygrad_gpt.ops.where import where as where

Op = Callable[..., tuple[Any, Vjp]]
FAMILIES: dict[str, tuple[Op, ...]] = {
    "Arithmetic": (add, subtract, multiply, divide, negative, power),
    "Functions of one number": (exp, log, sqrt, tanh, relu, gelu),
    "Reductions": (sum, mean, max, var),
    "Moving entries": (reshape, transpose, broadcast_to, getitem, split, concatenate),
    "Choosing": (where, masked_fill, dropout),
    "Products and probabilities": (matmul, softmax, log_softmax),
    "Layers": (embedding, linear, layer_norm, causal_attention),
    "Losses": (cross_entropy, linear_cross_entropy),
}
ALL_OPS = tuple(op for family in FAMILIES.values() for op in family)
