"""Kernels for float32 arrays of NumPy.

On a CPU the plain ops are slow because of memory, not arithmetic: each intermediate result is written to main memory
and read again, often in pages that are new to the process.  So these kernels work on blocks that fit into the
second-level cache, write results in place, and share the work over threads.  The derivations are in the ops' files.
"""

from tinygrad_gpt.kernels.cpu.adamw import accepts_adamw_update as accepts_adamw_update
from tinygrad_gpt.kernels.cpu.adamw import adamw_step as adamw_step
from tinygrad_gpt.kernels.cpu.adamw import adamw_update as adamw_update
from tinygrad_gpt.kernels.cpu.attention import accepts_causal_attention as accepts_causal_attention
from tinygrad_gpt.kernels.cpu.attention import causal_attention as causal_attention
from tinygrad_gpt.kernels.cpu.gelu import accepts_gelu as accepts_gelu
from tinygrad_gpt.kernels.cpu.gelu import gelu as gelu
from tinygrad_gpt.kernels.cpu.layer_norm import layer_norm as layer_norm
from tinygrad_gpt.kernels.cpu.linear import linear as linear
from tinygrad_gpt.kernels.cpu.linear_cross_entropy import accepts_linear_cross_entropy as accepts_linear_cross_entropy
from tinygrad_gpt.kernels.cpu.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from tinygrad_gpt.kernels.cpu.norms import total_of_squares as total_of_squares
