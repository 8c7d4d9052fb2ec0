"""The layers of GPT-2 as functions of an input and a dictionary of parameters.

x is always (B, T, C).  `p` has a layer's own parameters under their short names ("weight", "c_attn.bias", …);
`subparameters` takes them from the dictionary of the enclosing layer.
"""

from collections.abc import Callable

from tinygrad_gpt import ops
from tinygrad_gpt.nn.dropout import DropoutSites
from tinygrad_gpt.tape import Tensor, apply

Parameters = dict[str, Tensor]
Attend = Callable[[Tensor], Tensor]  # queries, keys, values (B, T, 3C) -> weighted means of the values (B, T, C)


def subparameters(p: Parameters, prefix: str) -> Parameters:
    """The parameters whose names start with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in p.items() if name.startswith(prefix)}


def linear(x: Tensor, p: Parameters) -> Tensor:
    """x W + b, or x W where the layer has no bias."""
    return apply(ops.linear, x, p["weight"], *([p["bias"]] if "bias" in p else []))


def layer_norm(x: Tensor, p: Parameters) -> Tensor:
    """Rows of mean 0 and variance 1, times a gain, plus a bias."""
    return apply(ops.layer_norm, x, p["weight"], p["bias"])


def attention(x: Tensor, p: Parameters, attend: Attend) -> Tensor:
    """Multi-head self-attention with its input and output projections."""
    return linear(attend(linear(x, subparameters(p, "c_attn."))), subparameters(p, "c_proj."))


def causal_attend(n_heads: int, drop: DropoutSites) -> Attend:
    """A function that lets each token attend to itself and to all tokens before it in its row."""

    def attend(qkv: Tensor) -> Tensor:
        B, T, _ = qkv.shape
        mask = drop.mask(ops.causal_attention, (B, n_heads, T, T), qkv, n_heads=n_heads)
        return apply(ops.causal_attention, qkv, *([] if mask is None else [mask]), n_heads=n_heads)

    return attend


def mlp(x: Tensor, p: Parameters) -> Tensor:
    """Two linear layers with a GELU between them; the hidden layer is four times as wide."""
    hidden = apply(ops.gelu, linear(x, subparameters(p, "c_fc.")))  # (B, T, 4C)
    return linear(hidden, subparameters(p, "c_proj."))


DROPOUTS_PER_BLOCK = 3  # on the attention weights, and on the output of each half of a block


def block(x: Tensor, p: Parameters, attend: Attend, drop: DropoutSites) -> Tensor:
    """One transformer block, pre-LN: each half normalises the residual stream, and adds its output to the stream."""
    x = x + drop(attention(layer_norm(x, subparameters(p, "ln_1.")), subparameters(p, "attn."), attend))
    return x + drop(mlp(layer_norm(x, subparameters(p, "ln_2.")), subparameters(p, "mlp.")))
