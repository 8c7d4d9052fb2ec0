r"""The numbers that a model starts from: two well-known rules.

Both keep a layer's outputs from growing or vanishing with its width.  If the n inputs of a sum Σ x w are independent
with mean 0 and variance 1, and the weights too with mean 0 and variance s², the sum has variance n s².

**gpt2.**  Biases 0, gains 1, all else normal with deviation 0.02.  What is added to the residual stream (both c_proj
of each block) is smaller by √(2·n_layers): a stream that 2·n_layers independent sums are added to has as many times
their variance.  At width 768 the deviation 0.02 gives a sum the deviation 0.02·√768 = 0.55.

**torch.**  What a model has whose layers are PyTorch's nn.Embedding and nn.Linear, as the book's are, and nobody sets
the weights.  Embeddings are normal with deviation 1.  A linear layer's weights and biases are uniform between
-1/√n and 1/√n, n the number of its inputs.  Such a weight has variance

    ∫ w² dw · √n/2, from -1/√n to 1/√n,  =  1/(3n)

so a sum has the deviation √(1/3) = 0.58 at any width.  Gains are 1, and a layer norm's biases 0.

Both start the blocks alike, then.  What differs is the embeddings, by a factor of 50.  The first layer norm of every
block takes the scale away again, but AdamW's steps are as long as the learning rate whatever the scale: an embedding of
deviation 0.02 turns into another one within some 50 steps of 4e-4, one of deviation 1 stays what it is.

Source.  gpt2: Radford et al. 2018, "Improving language understanding by generative pre-training", section 4.1 (0.02);
Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3 (the residual layers).
torch: pytorch/pytorch, torch/nn/modules/sparse.py and linear.py, `reset_parameters` (kaiming_uniform_ with a = √5 is
uniform within √(6/((1 + 5)·n)) = 1/√n).
"""

import math
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.nn.config import GPTConfig, parameter_shapes
from tinygrad_gpt.rng import Purpose, normals, uniforms

_INITS = ("gpt2", "torch")
_GPT2_STD = 0.02  # Radford et al. 2018, section 4.1


def initial_weights(config: GPTConfig, seed: int, dtype: Any, init: str = "gpt2") -> dict[str, Array]:
    """Every parameter's first value, by GPT-2's name: a function of the seed and of the parameter's place.

    Raises ValueError for an init that is none of INITS.
    """
    if init not in _INITS:
        raise ValueError(f"init must be one of {', '.join(_INITS)}; got {init!r}")
    draw = _gpt2_weight if init == "gpt2" else _torch_weight
    return {
        name: draw(config, name, shape, seed, site).astype(dtype).reshape(shape)
        for site, (name, shape) in enumerate(parameter_shapes(config).items())
    }


def _gpt2_weight(config: GPTConfig, name: str, shape: tuple[int, ...], seed: int, site: int) -> Array:
    """The entries of one parameter as GPT-2 starts it, in one row: float64."""
    if name.endswith("bias"):
        return np.zeros(shape)
    if _is_gain(name):
        return np.ones(shape)
    std = _GPT2_STD / math.sqrt(2 * config.n_layers) if name.endswith("c_proj.weight") else _GPT2_STD
    return std * normals(math.prod(shape), seed, Purpose.WEIGHTS, site=site)


def _torch_weight(config: GPTConfig, name: str, shape: tuple[int, ...], seed: int, site: int) -> Array:
    """The entries of one parameter as PyTorch's modules start it, in one row: float64."""
    if _is_gain(name):
        return np.ones(shape)
    if ".ln_" in f".{name}":
        return np.zeros(shape)
    if name in ("wte.weight", "wpe.weight"):
        return normals(math.prod(shape), seed, Purpose.WEIGHTS, site=site)
    n_inputs = 4 * config.emb_dim if ".mlp.c_proj." in name else config.emb_dim
    return (2 * uniforms(math.prod(shape), seed, Purpose.WEIGHTS, site=site) - 1) / math.sqrt(n_inputs)


def _is_gain(name: str) -> bool:
    """Whether a parameter is the gain of a layer norm."""
    return ".ln_" in f".{name}" and name.endswith("weight")
