"""What training costs: numbers counted by hand for a small model and for GPT-2's."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.nn import PRESETS, GPTConfig
from tinygrad_gpt.nn.cost import checkpoint_bytes, training_bytes, training_flops

SMALL = GPTConfig(
    vocab_size=10, context_length=8, emb_dim=4, n_heads=2, n_layers=2, drop_rate=0.0, qkv_bias=True, tie_weights=True
)
PARAMETERS = 10 * 4 + 8 * 4 + 2 * (12 * 16 + 13 * 4) + 2 * 4  # embeddings, blocks, the last layer norm


@pytest.mark.parametrize(
    ("drop_rate", "activation_checkpointing", "per_token"),
    [
        (0.0, False, 2 * (20 * 4 + 8) + 16),  # two blocks; a causal row of 8 weights for 2 heads is 8 on average
        (0.1, False, 2 * (22 * 4 + 24) + 16),
        (0.0, True, 20 * 4 + 8 + 2 * 4 + 16),  # one block, and the inputs of both
    ],
)
def test_the_memory_of_a_small_model(drop_rate, activation_checkpointing, per_token):
    config = replace(SMALL, drop_rate=drop_rate)
    logits = 3 * 8 * 10  # fewer than a chunk
    expected = 4 * (4 * PARAMETERS + 3 * 8 * per_token + logits)
    assert training_bytes(config, 3, activation_checkpointing=activation_checkpointing) == expected


def test_the_memory_of_gpt2():
    """16 rows of 1,024 tokens; of the logits, 823 million, two chunks of 2**26 exist at a time."""
    parameters = 163_009_536  # the book counts as many: the head is not tied, queries, keys and values have no bias
    per_token = 12 * (22 * 768 + 12 * 1024) + 4 * 768  # 12 dropout masks a block
    powers = 12 * 2**24  # 64 MiB a block: all of them, 2**26.6 numbers, are not saved
    expected = 4 * (4 * parameters + 16 * 1024 * per_token + powers + 2 * 2**26)
    assert training_bytes(PRESETS["gpt2-124M"], 16) == expected == 27_102_887_936


def test_a_checkpoint_holds_every_parameter_three_times():
    assert checkpoint_bytes(SMALL) == 3 * 4 * PARAMETERS
    assert checkpoint_bytes(PRESETS["gpt2-124M"]) == 3 * 4 * 163_009_536


def test_the_operations_of_a_small_model():
    products = 6 * (2 * 12 * 16 + 10 * 4)
    attention = 12 * 2 * 8 * 4
    assert training_flops(SMALL, 1) == products + attention
    assert training_flops(SMALL, 1000) == 1000 * training_flops(SMALL, 1)


def test_gpt2_takes_854_million_operations_per_token():
    assert training_flops(PRESETS["gpt2-124M"], 1) == 6 * 123_532_032 + 113_246_208 == 854_438_400


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 64), st.integers(1, 64))
def test_the_memory_grows_with_everything(layers, heads, length, rows):
    config = replace(PRESETS["tiny"], n_layers=layers, n_heads=heads, emb_dim=8 * heads, context_length=length)
    needed = training_bytes(config, rows)
    assert needed < training_bytes(config, rows + 1)
    for name in ("n_layers", "context_length", "vocab_size"):
        assert needed < training_bytes(replace(config, **{name: getattr(config, name) + 1}), rows)
