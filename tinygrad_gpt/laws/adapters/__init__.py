"""Functions of other libraries as objects under test.  A library is imported only when its adapter is called.

To add one, write adapters/<library>.py, which converts to and from NumPy's arrays, and import it here.
"""

from tinygrad_gpt.laws.adapters.autograd_ops import autograd_op as autograd_op
from tinygrad_gpt.laws.adapters.cupy_ops import cupy_op as cupy_op
from tinygrad_gpt.laws.adapters.hf import hf_warper as hf_warper
from tinygrad_gpt.laws.adapters.jax_ops import jax_op as jax_op
from tinygrad_gpt.laws.adapters.rows import row_by_row as row_by_row
from tinygrad_gpt.laws.adapters.torch_ops import torch_op as torch_op
from tinygrad_gpt.laws.adapters.torch_optim import torch_optimizer as torch_optimizer
