"""Kernels for float32 arrays of NumPy.

What makes the plain ops slow on a CPU is not arithmetic but memory: each intermediate result is a pass through main
memory, often over fresh pages.  So these kernels go through their arrays in blocks that fit a second-level cache,
write results in place, and share the work out over threads.  The derivations stand in the ops' own files.
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
