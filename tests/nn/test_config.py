"""The book's configuration, known sizes, names in the order of the published files, and refused settings."""

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from tinygrad_gpt import GPT, PRESETS, GPTConfig
from tinygrad_gpt.nn import count_parameters, parameter_shapes

GPT_CONFIG_124M = {  # the book's, chapter 5
    "vocab_size": 50257,
    "context_length": 256,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.1,
    "qkv_bias": False,
}
TINY = GPTConfig(vocab_size=3, context_length=4, emb_dim=2, n_heads=1, n_layers=1)


def test_the_books_configuration():
    config = GPTConfig(**GPT_CONFIG_124M)
    assert config.as_dict() == GPT_CONFIG_124M | {"tie_weights": False}
    assert count_parameters(config) == 162_419_712


@pytest.mark.parametrize(
    ("preset", "published"),
    [
        ("gpt2-124M", 124_439_808),
        ("gpt2-355M", 354_823_168),
        ("gpt2-774M", 774_030_080),
        ("gpt2-1558M", 1_557_611_200),
    ],
)
def test_the_published_models_have_the_published_sizes(preset, published):
    assert count_parameters(replace(PRESETS[preset], tie_weights=True, qkv_bias=True)) == published


def test_the_untied_model_of_the_book_is_larger():
    assert count_parameters(PRESETS["gpt2-124M"]) == 163_009_536


def test_small_presets_are_small():
    assert count_parameters(PRESETS["tiny"]) < count_parameters(PRESETS["small"]) < count_parameters(PRESETS["medium"])
    assert count_parameters(PRESETS["tiny"]) < 200_000


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_can_be_written_down_and_read_back(preset):
    assert GPTConfig(**json.loads(json.dumps(PRESETS[preset].as_dict()))) == PRESETS[preset]


def test_names_and_shapes_are_those_of_the_published_files():
    config = replace(TINY, qkv_bias=True, tie_weights=True)
    assert parameter_shapes(config) == {
        "wte.weight": (3, 2),
        "wpe.weight": (4, 2),
        "h.0.ln_1.weight": (2,),
        "h.0.ln_1.bias": (2,),
        "h.0.attn.c_attn.weight": (2, 6),
        "h.0.attn.c_attn.bias": (6,),
        "h.0.attn.c_proj.weight": (2, 2),
        "h.0.attn.c_proj.bias": (2,),
        "h.0.ln_2.weight": (2,),
        "h.0.ln_2.bias": (2,),
        "h.0.mlp.c_fc.weight": (2, 8),
        "h.0.mlp.c_fc.bias": (8,),
        "h.0.mlp.c_proj.weight": (8, 2),
        "h.0.mlp.c_proj.bias": (2,),
        "ln_f.weight": (2,),
        "ln_f.bias": (2,),
    }
    assert parameter_shapes(TINY).keys() == (parameter_shapes(config).keys() - {"h.0.attn.c_attn.bias"}) | {
        "lm_head.weight"
    }
    assert list(GPT(TINY).parameters()) == list(parameter_shapes(TINY))


@pytest.mark.parametrize("config", [TINY, replace(TINY, qkv_bias=True, tie_weights=True, n_layers=3)])
def test_a_model_holds_as_many_numbers_as_were_counted(config):
    model = GPT(config)
    assert model.n_parameters == sum(tensor.size for tensor in model.parameters().values())


def test_a_layer_more_is_a_block_more():
    one, two = (count_parameters(replace(TINY, n_layers=n)) for n in (1, 2))
    C = TINY.emb_dim
    assert two - one == 12 * C * C + 10 * C  # 4·C weights per attention, 8·C per MLP; biases; gains


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size must be a whole number of at least 1; got 0"),
        ({"context_length": -1}, ValueError, "context_length must be a whole number of at least 1; got -1"),
        ({"n_layers": 1.0}, TypeError, "n_layers must be a whole number of at least 1; got 1.0"),
        ({"emb_dim": "768"}, TypeError, "emb_dim must be a whole number of at least 1; got '768'"),
        ({"n_heads": True}, TypeError, "n_heads must be a whole number of at least 1; got True"),
        ({"emb_dim": 10, "n_heads": 4}, ValueError, "n_heads must divide emb_dim 10; got 4"),
        ({"drop_rate": 1.0}, ValueError, "drop_rate must be at least 0 and below 1; got 1.0"),
        ({"drop_rate": -0.1}, ValueError, "drop_rate must be at least 0 and below 1; got -0.1"),
        ({"drop_rate": float("nan")}, ValueError, "drop_rate must be at least 0 and below 1; got nan"),
        ({"drop_rate": "0.1"}, TypeError, "drop_rate must be at least 0 and below 1; got '0.1'"),
        ({"drop_rate": True}, TypeError, "drop_rate must be at least 0 and below 1; got True"),
        ({"qkv_bias": 1}, TypeError, "qkv_bias must be True or False; got 1"),
        ({"tie_weights": None}, TypeError, "tie_weights must be True or False; got None"),
        ({"n_head": 12}, TypeError, "n_head"),
    ],
    ids=str,
)
def test_settings_that_are_refused(settings, error, text):
    with pytest.raises(error, match=text):
        GPTConfig(**settings)


def test_numpys_numbers_become_pythons():
    config = GPTConfig(vocab_size=np.int64(5), emb_dim=np.int32(4), n_heads=np.uint8(2), drop_rate=np.float32(0.5))
    assert [type(config.vocab_size), type(config.emb_dim), type(config.drop_rate)] == [int, int, float]
    assert json.dumps(config.as_dict())


def test_a_configuration_is_frozen():
    with pytest.raises(FrozenInstanceError):
        TINY.n_layers = 2
