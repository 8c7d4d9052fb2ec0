r"""The initial weights of a model: two well-known rules.

Both keep a layer's outputs from growing or vanishing with its width.  If the n inputs x and the n weights w of a sum
Σ x w are independent with mean 0, the inputs with variance 1 and the weights with variance s², the sum has variance
n s².

**gpt2.**  Biases are 0 and gains 1; all other weights are normal with standard deviation 0.02.  The weights whose
outputs are added to the residual stream (both c_proj of each block) are divided by √(2·n_layers): 2·n_layers
independent sums are added to the stream, so its variance is 2·n_layers times that of one sum.  At width 768, weights
with standard deviation 0.02 give a sum the standard deviation 0.02·√768 = 0.55.

**torch.**  The weights that PyTorch's nn.Embedding and nn.Linear have by default; the book's model uses them.
Embeddings are normal with standard deviation 1.  A linear layer's weights and biases are uniform between -1/√n and
1/√n, where n is the number of its inputs.  Such a weight has variance

    ∫ w² dw · √n/2, from -1/√n to 1/√n,  =  1/(3n)

so a sum has standard deviation √(1/3) = 0.58 at any width.  Gains are 1, and a layer norm's biases 0.

So with both rules the blocks start with similar weights.  The embeddings differ by a factor of 50.  The first layer
norm of every block removes this scale.  But AdamW's steps have the size of the learning rate, whatever the scale is:
about 50 steps of 4e-4 change an embedding of standard deviation 0.02 completely, but one of standard deviation 1 hardly
at all.

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
    """The initial value of every parameter, by GPT-2's names: a function of the seed and the parameter's position.

    Raises ValueError unless init is "gpt2" or "torch".
    """
    if init not in _INITS:
        raise ValueError(f"init must be one of {', '.join(_INITS)}; got {init!r}")
    draw = _gpt2_weight if init == "gpt2" else _torch_weight
    return {
        name: draw(config, name, shape, seed, site).astype(dtype).reshape(shape)
        for site, (name, shape) in enumerate(parameter_shapes(config).items())
    }


def _gpt2_weight(config: GPTConfig, name: str, shape: tuple[int, ...], seed: int, site: int) -> Array:
    """The entries of one parameter by GPT-2's rule, float64; the shape may be flat."""
    if name.endswith("bias"):
        return np.zeros(shape)
    if _is_gain(name):
        return np.ones(shape)
    std = _GPT2_STD / math.sqrt(2 * config.n_layers) if name.endswith("c_proj.weight") else _GPT2_STD
    return std * normals(math.prod(shape), seed, Purpose.WEIGHTS, site=site)


def _torch_weight(config: GPTConfig, name: str, shape: tuple[int, ...], seed: int, site: int) -> Array:
    """The entries of one parameter by the rule of PyTorch's modules, float64; the shape may be flat."""
    if _is_gain(name):
        return np.ones(shape)
    if ".ln_" in f".{name}":
        return np.zeros(shape)
    if name in ("wte.weight", "wpe.weight"):
        return normals(math.prod(shape), seed, Purpose.WEIGHTS, site=site)
    n_inputs = 4 * config.emb_dim if ".mlp.c_proj." in name else config.emb_dim
    return (2 * uniforms(math.prod(shape), seed, Purpose.WEIGHTS, site=site) - 1) / math.sqrt(n_inputs)


def _is_gain(name: str) -> bool:
    return ".ln_" in f".{name}" and name.endswith("weight")
