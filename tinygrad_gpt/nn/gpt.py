"""GPT-2: token and position embeddings, transformer blocks, a final layer norm and a head."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module, resolve_device, to_device, to_host
from tinygrad_gpt.checks import check_ids, first_few, mapping
from tinygrad_gpt.kernels import use_blas_threads
from tinygrad_gpt.nn.cache import Cache, pad_rows
from tinygrad_gpt.nn.config import GPTConfig, count_parameters, parameter_shapes
from tinygrad_gpt.nn.dropout import NO_DROPOUT, DropoutSites
from tinygrad_gpt.nn.initial_weights import initial_weights
from tinygrad_gpt.nn.layers import DROPOUTS_PER_BLOCK, Parameters, block, causal_attend, layer_norm, subparameters
from tinygrad_gpt.nn.loss import check_targets
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply, leaf_without_copy, no_grad, recompute_in_backward

RunBlock = Callable[[int, Tensor, Parameters], Tensor]  # the i-th block on x (B, T, C) with its parameters

_MAX_TOKENS_FOR_BLAS_THREADS = 16  # with so few tokens, a product takes less time than waking one of our threads

_DTYPES = ("float32", "float64")  # the summed loss of a few thousand tokens overflows float16


class GPT:
    """A GPT-2 of any size.

        model = GPT(PRESETS["small"], seed=0)
        logits = model(ids)                      # ids (B, T) of int -> (B, T, V)
        loss = model.loss(ids, targets)          # mean nats per token

    Parameters are a flat dictionary under GPT-2's published names.  Initial weights depend on the seed and on the
    parameter's position in that dictionary.  init is the rule by which they are drawn: "gpt2", or "torch", the rule of
    PyTorch's layers (nn/initial_weights.py derives both).  If weights are given, they are copied instead.

    With activation_checkpointing a block saves only its input, and backward runs the block a second time: less memory
    for more time, the same gradients.

    dtype is the parameters' dtype: float32 or float64.  On a GPU, `precision` can store activations in 16 bits.
    """

    def __init__(
        self,
        config: GPTConfig,
        *,
        seed: int = 0,
        device: str = "cpu",
        dtype: Any = "float32",
        weights: Mapping[str, Array] | None = None,
        init: str = "gpt2",
        activation_checkpointing: bool = False,
    ) -> None:
        if not isinstance(config, GPTConfig):
            raise TypeError(f"config must be a GPTConfig; got {type(config).__name__}")
        _check_dtype(dtype)
        if not isinstance(activation_checkpointing, bool):
            raise TypeError(f"activation_checkpointing must be True or False; got {activation_checkpointing!r}")
        self.config = config
        self.activation_checkpointing = activation_checkpointing
        self.device = resolve_device(device)
        must_copy = None if weights is None else True  # the caller may still use given weights; new ones are only ours
        if weights is None:
            weights = initial_weights(config, seed, np.dtype(dtype), init)
        _check_weights(config, weights)
        self._parameters = {
            name: leaf_without_copy(to_device(np.array(to_host(weights[name]), dtype, copy=must_copy), self.device))
            for name in parameter_shapes(config)
        }

        self._blocks = [subparameters(self._parameters, f"h.{i}.") for i in range(config.n_layers)]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.config.as_dict().items())
        return f"<GPT of {self.n_parameters:,} parameters on {self.device}: {settings}>"

    def parameters(self) -> dict[str, Tensor]:
        """The learned tensors by their GPT-2 names, each once."""
        return self._parameters

    @property
    def n_parameters(self) -> int:
        """The number of learned numbers."""
        return count_parameters(self.config)

    def __call__(self, ids: Array, dropout: Dropout | None = None) -> Tensor:
        """ids (B, T) of int, T at most context_length -> logits (B, T, V).  Units are dropped only if dropout is given.

        Raises TypeError for ids that are not whole numbers, ValueError for ids out of range or rows that are too long.
        """
        return apply(ops.linear, self.hidden(ids, dropout), self.head.T)

    def loss(
        self,
        ids: Array,
        targets: Array,
        *,
        dropout: Dropout | None = None,
        ignore_index: int | None = None,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Cross-entropy of the next tokens, in nats: ids, targets (B, T) of int -> ().

        Raises what calling the model raises for ids, and what nn.cross_entropy raises for targets.
        """
        targets = check_targets(targets, self.config.vocab_size, ignore_index, reduction)
        x = self.hidden(ids, dropout)
        targets = array_module(x.data).asarray(targets)
        return apply(ops.linear_cross_entropy, x, self.head, targets, ignore_index=ignore_index, reduction=reduction)

    def hidden(self, ids: Array, dropout: Dropout | None = None) -> Tensor:
        """ids (B, T) of int -> the hidden state of each token, the input of the head: (B, T, C)."""
        p, config = self._parameters, self.config
        ids = self.checked_ids(ids)
        if dropout is not None and not isinstance(dropout, Dropout):
            raise TypeError(f"dropout must be a Dropout(seed, step), or None for no dropout; got {dropout!r}")
        drop = DropoutSites(dropout, config.drop_rate)
        x = drop(apply(ops.embedding, p["wte.weight"], ids) + p["wpe.weight"][: ids.shape[1]])  # (B, T, C)

        def run_block(i: int, x: Tensor, p: Parameters) -> Tensor:
            drop = DropoutSites(dropout, config.drop_rate, first_site=1 + DROPOUTS_PER_BLOCK * i)
            return block(x, p, causal_attend(config.n_heads, drop), drop)

        return self.run_blocks(x, run_block)

    def next_logits(self, sequences: Sequence[Sequence[int]], cache: Cache | None = None) -> Array:
        """The logits (B, V) after the last id of each row.  Only the ids that are not in the cache yet are computed.

        Without a cache all ids are computed.  The head always runs on one token per row.  Nothing is recorded.
        Raises ValueError for a row longer than the context or the cache.
        """
        if cache is None:
            with no_grad():
                last = np.array([len(sequence) - 1 for sequence in sequences])
                return self.logits_at(self.hidden(pad_rows(sequences)), last)
        new = cache.new_tokens(sequences)
        ids = self.checked_ids(new.ids)
        p, xp = self._parameters, array_module(ids)
        first, counts = new.first_and_count  # (B) each, on the model's device
        positions = xp.minimum(first[:, None] + xp.arange(ids.shape[1]), self.config.context_length - 1)  # padding too
        with no_grad(), use_blas_threads() if new.ids.size <= _MAX_TOKENS_FOR_BLAS_THREADS else nullcontext():
            x = apply(ops.embedding, p["wte.weight"], ids) + apply(ops.embedding, p["wpe.weight"], positions)
            x = self.run_blocks(x, lambda i, x, p: block(x, p, partial(cache.attend, i, new), NO_DROPOUT))
            cache.seen = new.first + new.counts
            return self.logits_at(x, counts - 1)

    def logits_at(self, x: Tensor, positions: Array) -> Array:
        """The logits (B, V) of one token per row: hidden states x (B, T, C), the tokens' positions (B) of int."""
        xp = array_module(x.data)
        rows = Tensor(x.data[xp.arange(len(x.data)), xp.asarray(positions)])  # (B, C)
        return apply(ops.linear, rows, self.head.T).data

    def run_blocks(self, x: Tensor, run_block: RunBlock) -> Tensor:
        """Run all blocks and the final layer norm on x (B, T, C): (B, T, C)."""
        run = _with_recomputation(run_block) if self.activation_checkpointing else run_block
        for i in range(self.config.n_layers):
            x = run(i, x, self._blocks[i])
        return layer_norm(x, subparameters(self._parameters, "ln_f."))

    @property
    def head(self) -> Tensor:
        """The head's weights (V, C), a row per token: its dot product with a hidden state is the token's logit."""
        return self._parameters["wte.weight" if self.config.tie_weights else "lm_head.weight"]

    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy weights by name.  Raises ValueError, and changes nothing, if a name or a shape differs."""
        _check_weights(self.config, weights)
        for name, tensor in self._parameters.items():
            tensor.data = to_device(np.array(to_host(weights[name]), tensor.dtype), self.device)

    def checked_ids(self, ids: Array) -> Array:
        """ids (B, T) on the model's device.  Raises ValueError if they are out of range or too long."""
        ids = check_ids(ids, self.config.vocab_size)
        if ids.ndim != 2 or not ids.shape[1]:
            raise ValueError(f"ids must be (batch, time), with one token or more; got shape {ids.shape}")
        if ids.shape[1] > self.config.context_length:
            raise ValueError(f"ids may be at most context_length {self.config.context_length} long; got {ids.shape[1]}")
        return array_module(self._parameters["wte.weight"].data).asarray(ids)


def _check_dtype(dtype: Any) -> None:
    allowed = [np.dtype(name) for name in _DTYPES]
    if dtype is None or dtype not in allowed:  # None means float64 to NumPy; what is not a dtype is not in the list
        raise TypeError(f"dtype must be one of {', '.join(_DTYPES)}; got {getattr(dtype, '__name__', dtype)}")


def _with_recomputation(run_block: RunBlock) -> RunBlock:
    """run_block, saving only its input: backward runs it a second time."""

    def run(i: int, x: Tensor, p: Parameters) -> Tensor:
        return recompute_in_backward(
            lambda x, *tensors: run_block(i, x, dict(zip(p, tensors, strict=True))), x, *p.values()
        )

    return run


def _check_weights(config: GPTConfig, weights: Mapping[str, Array]) -> None:
    """Raise ValueError with the names that are missing or unexpected, and the shapes that differ."""
    shapes = parameter_shapes(config)
    for name, weight in mapping("weights", weights, "GPT-2's names to arrays").items():
        if not hasattr(weight, "shape"):
            raise TypeError(f"weight {name} must be an array; got {type(weight).__name__}")
    problems = [f"{name} is missing" for name in shapes.keys() - weights.keys()]
    problems += [f"{name} is unexpected" for name in weights.keys() - shapes.keys()]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, not {shape}"
        for name, shape in shapes.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    if problems:
        raise ValueError(f"weights do not fit the model: {first_few(problems, '; ')}")
