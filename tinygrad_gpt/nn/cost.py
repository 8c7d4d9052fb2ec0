"""What it costs to train a model: bytes of memory, and floating-point operations.

B rows of T tokens each are computed together; C, H, L, V are the model's width, heads, layers and vocabulary.
"""

from tinygrad_gpt.kernels.cpu.attention import MAX_SAVED_BYTES
from tinygrad_gpt.kernels.cpu.linear_cross_entropy import CHUNK_LOGITS
from tinygrad_gpt.nn.config import GPTConfig, count_parameters

_BYTES_PER_NUMBER = 4  # float32
_COPIES_OF_PARAMETERS = 4  # the parameters, their gradients, and AdamW's two moments


def training_bytes(config: GPTConfig, rows: int, *, activation_checkpointing: bool = False) -> int:
    """An upper bound on the bytes of all arrays at the peak of a training step.  rows is B.

    4 bytes for each of these float32 numbers:

        4 count_parameters(config)             parameters, gradients, AdamW's m and v
        B T L 20 C                             saved by the blocks for backward; with dropout 22 C
        L min(B H T T / 2, MAX_SAVED)          the powers of causal attention; of longer rows they are computed again
        B T L H T                              with dropout: attention's masks
        B T 4 C                                saved before the first block and after the last
        min(B T V, 2 max(CHUNK, V))            logits: the loss computes them in chunks, and at most two exist

    With activation checkpointing each block saves only its input, B T C; only one block at a time has the rest.
    Python, its libraries and short-lived arrays are not counted.
    """
    T, C, L = config.context_length, config.emb_dim, config.n_layers
    tokens = rows * T
    scores = tokens * config.n_heads * T
    powers = min(scores // 2, MAX_SAVED_BYTES // _BYTES_PER_NUMBER)
    per_block = tokens * (22 if config.drop_rate else 20) * C + powers + (scores if config.drop_rate else 0)
    saved = per_block + tokens * L * C if activation_checkpointing else L * per_block
    logits = min(tokens * config.vocab_size, 2 * max(CHUNK_LOGITS, config.vocab_size))
    numbers = _COPIES_OF_PARAMETERS * count_parameters(config) + saved + tokens * 4 * C + logits
    return _BYTES_PER_NUMBER * numbers


def checkpoint_bytes(config: GPTConfig) -> int:
    """Bytes of a checkpoint: the parameters and AdamW's two moments, in float32.  Its header is not counted."""
    return 3 * _BYTES_PER_NUMBER * count_parameters(config)


def training_flops(config: GPTConfig, n_tokens: int) -> int:
    """Floating-point operations to train on n_tokens tokens: a multiplication and an addition are two.

    Per token 6 (12 L C^2 + V C) for the matrix products with weights (2 forward, 4 backward, for each weight), and
    12 L T C for the attention scores and the mixing of values, future positions included.  The rest is not counted.

    Source: Chowdhery et al., PaLM, 2022, appendix B.
    """
    T, C, L = config.context_length, config.emb_dim, config.n_layers
    weights = 12 * L * C * C + config.vocab_size * C
    return n_tokens * (6 * weights + 12 * L * T * C)
