"""The shape of a GPT: its settings, the names and shapes of its parameters, and well-known sizes."""

import math
from dataclasses import dataclass, fields

from tinygrad_gpt.checks import at_least_one, fraction


@dataclass(frozen=True)
class GPTConfig:
    """Everything that determines a model's shape, under the book's names: GPTConfig(**GPT_CONFIG_124M) works.

    Raises TypeError or ValueError, naming the field, the value and what is allowed.
    """

    vocab_size: int = 50257
    """tokens the model knows"""
    context_length: int = 1024
    """longest sequence, in tokens"""
    emb_dim: int = 768
    """width of a token's vector (C)"""
    n_heads: int = 12
    """attention heads; must divide emb_dim"""
    n_layers: int = 12
    """transformer blocks"""
    drop_rate: float = 0.1
    """fraction of units dropped in training, 0 to below 1"""
    qkv_bias: bool = False
    """whether queries, keys and values have a bias (GPT-2: yes; the book: no)"""
    tie_weights: bool = False
    """whether the output head is the token embedding (GPT-2: yes; the book: no)"""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            object.__setattr__(self, name, at_least_one(name, getattr(self, name)))  # NumPy's ints become Python's
        if self.emb_dim % self.n_heads:
            raise ValueError(f"n_heads must divide emb_dim {self.emb_dim}; got {self.n_heads}")
        object.__setattr__(self, "drop_rate", float(fraction("drop_rate", self.drop_rate)))
        for name in ("qkv_bias", "tie_weights"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False; got {getattr(self, name)!r}")

    def as_dict(self) -> dict[str, int | float | bool]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def parameter_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, in the order of the forward pass.

    Names and layouts are those of OpenAI's published GPT-2 files: weights are (in, out), the head (V, C).
    """
    C = config.emb_dim
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config.vocab_size, C),
        "wpe.weight": (config.context_length, C),
    }
    for i in range(config.n_layers):
        block: dict[str, tuple[int, ...]] = {
            "ln_1.weight": (C,),
            "ln_1.bias": (C,),
            "attn.c_attn.weight": (C, 3 * C),
            "attn.c_attn.bias": (3 * C,),
            "attn.c_proj.weight": (C, C),
            "attn.c_proj.bias": (C,),
            "ln_2.weight": (C,),
            "ln_2.bias": (C,),
            "mlp.c_fc.weight": (C, 4 * C),
            "mlp.c_fc.bias": (4 * C,),
            "mlp.c_proj.weight": (4 * C, C),
            "mlp.c_proj.bias": (C,),
        }
        if not config.qkv_bias:
            del block["attn.c_attn.bias"]
        shapes |= {f"h.{i}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,)}
    if not config.tie_weights:
        shapes["lm_head.weight"] = (config.vocab_size, C)
    return shapes


def count_parameters(config: GPTConfig) -> int:
    """The number of learned numbers in a model of this shape; a tied head is counted once."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


PRESETS: dict[str, GPTConfig] = {
    # a few minutes on a laptop
    "tiny": GPTConfig(vocab_size=256, context_length=64, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0),
    "small": GPTConfig(context_length=64, emb_dim=128, n_heads=4, n_layers=4, drop_rate=0.0),
    "medium": GPTConfig(context_length=256, emb_dim=384, n_heads=6, n_layers=6),
    # GPT-2's four sizes as the book trains them: head not tied, queries, keys and values without bias
    "gpt2-124M": GPTConfig(emb_dim=768, n_heads=12, n_layers=12),
    "gpt2-355M": GPTConfig(emb_dim=1024, n_heads=16, n_layers=24),
    "gpt2-774M": GPTConfig(emb_dim=1280, n_heads=20, n_layers=36),
    "gpt2-1558M": GPTConfig(emb_dim=1600, n_heads=25, n_layers=48),
}
