"""Kernels for CuPy arrays: raw CUDA source, one `.cu` file per family, with its wrappers in the `.py` of the same name.

A wrapper takes its op's arguments and calls `launch`; it computes products by `gemm`.  Nothing here imports CuPy, and
nothing is compiled before its first use.
"""

from tinygrad_gpt.kernels.cuda.attention import accepts_causal_attention as accepts_causal_attention
from tinygrad_gpt.kernels.cuda.attention import causal_attention as causal_attention
from tinygrad_gpt.kernels.cuda.cross_entropy import accepts_cross_entropy as accepts_cross_entropy
from tinygrad_gpt.kernels.cuda.cross_entropy import cross_entropy as cross_entropy
from tinygrad_gpt.kernels.cuda.decode import accepts_head as accepts_head
from tinygrad_gpt.kernels.cuda.decode import append_and_attend as append_and_attend
from tinygrad_gpt.kernels.cuda.decode import append_kv as append_kv
from tinygrad_gpt.kernels.cuda.dropout import accepts_dropout as accepts_dropout
from tinygrad_gpt.kernels.cuda.dropout import draw_mask as draw_mask
from tinygrad_gpt.kernels.cuda.dropout import dropout as dropout
from tinygrad_gpt.kernels.cuda.elementwise import accepts_add as accepts_add
from tinygrad_gpt.kernels.cuda.elementwise import add as add
from tinygrad_gpt.kernels.cuda.elementwise import cast as cast
from tinygrad_gpt.kernels.cuda.embedding import accepts_embedding as accepts_embedding
from tinygrad_gpt.kernels.cuda.embedding import embedding as embedding
from tinygrad_gpt.kernels.cuda.gelu import accepts_gelu as accepts_gelu
from tinygrad_gpt.kernels.cuda.gelu import gelu as gelu
from tinygrad_gpt.kernels.cuda.gemm import gemm as gemm
from tinygrad_gpt.kernels.cuda.launcher import launch as launch
from tinygrad_gpt.kernels.cuda.layer_norm import accepts_layer_norm as accepts_layer_norm
from tinygrad_gpt.kernels.cuda.layer_norm import layer_norm as layer_norm
from tinygrad_gpt.kernels.cuda.linear import accepts_linear as accepts_linear
from tinygrad_gpt.kernels.cuda.linear import linear as linear
from tinygrad_gpt.kernels.cuda.linear_cross_entropy import accepts_linear_cross_entropy as accepts_linear_cross_entropy
from tinygrad_gpt.kernels.cuda.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from tinygrad_gpt.kernels.cuda.optimizer import accepts_adamw_update as accepts_adamw_update
from tinygrad_gpt.kernels.cuda.optimizer import accepts_total_of_squares as accepts_total_of_squares
from tinygrad_gpt.kernels.cuda.optimizer import adamw_update as adamw_update
from tinygrad_gpt.kernels.cuda.optimizer import total_of_squares as total_of_squares
from tinygrad_gpt.kernels.cuda.precision import PRECISIONS as PRECISIONS
from tinygrad_gpt.kernels.cuda.precision import current_precision as current_precision
from tinygrad_gpt.kernels.cuda.precision import precision as precision
from tinygrad_gpt.kernels.cuda.softmax import accepts_softmax as accepts_softmax
from tinygrad_gpt.kernels.cuda.softmax import log_softmax as log_softmax
from tinygrad_gpt.kernels.cuda.softmax import softmax as softmax
