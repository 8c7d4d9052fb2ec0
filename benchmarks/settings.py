"""What is run: model shapes, batches, and who runs them."""

from dataclasses import dataclass, replace

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels.cuda import PRECISIONS
from tinygrad_gpt.nn import PRESETS, GPTConfig

LR, BETAS, EPS, WEIGHT_DECAY, CLIP_NORM = 4e-4, (0.9, 0.999), 1e-8, 0.1, 1.0


@dataclass(frozen=True)
class Setting:
    """A model and a batch."""

    title: str
    config: GPTConfig
    batch_size: int
    burst: int = 1  # steps at a time; of several the first is not counted

    def batch(self) -> tuple[Array, Array]:
        """ids and targets (B, T): any will do, but all contenders get the same."""
        text = np.random.default_rng(0).integers(0, self.config.vocab_size, (self.batch_size, self.length + 1))
        return text[:, :-1].copy(), text[:, 1:].copy()

    @property
    def length(self) -> int:
        """Tokens in a row."""
        return self.config.context_length


BOOK = replace(PRESETS["gpt2-124M"], context_length=256, drop_rate=0.1)
SETTINGS = {
    "book": Setting("GPT-2 124M as the book trains it: batch 2, context 256, dropout 0.1", BOOK, 2),
    "small": Setting(
        "4 layers, width 128, vocabulary 5,064: batch 8, context 128, dropout 0.1",
        replace(BOOK, vocab_size=5064, context_length=128, emb_dim=128, n_heads=4, n_layers=4),
        8,
        burst=11,
    ),
    **{
        f"context-{length}": Setting(
            f"GPT-2 124M, 1,024 tokens a step in rows of {length}", replace(BOOK, context_length=length), 1024 // length
        )
        for length in (128, 256, 512, 1024)
    },
}

LONG_ROWS = (512, 2048, 8192, 16384)
SETTINGS |= {
    f"row-{length}": Setting(
        f"4 layers, width 256, 4 heads, vocabulary 5,064: one row of {length:,} tokens, no dropout",
        replace(BOOK, vocab_size=5064, context_length=length, emb_dim=256, n_heads=4, n_layers=4, drop_rate=0.0),
        1,
    )
    for length in LONG_ROWS
}

# GPT-2 124M itself, on a GPU.  50,257 words are filled up to a multiple of 64, as karpathy/nanoGPT's train.py has it:
# tensor cores like the head's product better so, PyTorch's and ours.
GPT2 = replace(PRESETS["gpt2-124M"], vocab_size=50304, drop_rate=0.0, qkv_bias=True, tie_weights=True)
BATCH_SIZES = (8, 16, 32)
SETTINGS |= {
    f"gpu-{rows}": Setting(f"GPT-2 124M, batch {rows}, context 1,024, no dropout", GPT2, rows) for rows in BATCH_SIZES
}

# name -> module:function(config, weights) that answers (a function for the loss, a function for a training step)
CONTENDERS = {
    "ours": "benchmarks.ours:contender",
    "ours, a loop of one's own": "benchmarks.ours:own_loop",
    "ours, without kernels": "benchmarks.ours:plain",
    "ours, checkpointing": "benchmarks.ours:checkpointing",
    "PyTorch eager": "benchmarks.rival_torch:eager",
    "PyTorch eager, written out": "benchmarks.rival_torch:written_out",
    "torch.compile": "benchmarks.rival_torch:compiled",
    "JAX jit": "benchmarks.rival_jax:contender",
    "HIPS autograd": "benchmarks.rival_autograd:contender",
    "matrix products alone": "benchmarks.products:contender",
}

# The same on a GPU: function(config, weights, precision), the precision the last word of the name.
CUDA_CONTENDERS = {
    f"{who}, {precision}": f"benchmarks.cuda.{function}"
    for precision in PRECISIONS
    for who, function in {
        "ours": "ours:contender",
        "ours, checkpointing": "ours:checkpointing",
        "PyTorch eager": "rival_torch:eager",
        "torch.compile": "rival_torch:compiled",
    }.items()
}
