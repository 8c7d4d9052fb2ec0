"""GPT-2's published files: what is in them and beside them is obeyed or refused, and memory holds the model once."""

import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from tinygrad_gpt.checkpoints import CheckpointError, load_gpt2, save_checkpoint
from tinygrad_gpt.checkpoints.gpt2_file import PUBLISHED_HEADS, heads
from tinygrad_gpt.nn import GPT, GPTConfig

GPT2 = GPTConfig(vocab_size=5, context_length=3, emb_dim=8, n_heads=2, n_layers=2, qkv_bias=True, tie_weights=True)


def published(prefix="", masks=True, dtype=np.float32):
    """A GPT and a file's tensors as Hugging Face publishes them."""
    model = GPT(GPT2, seed=7)
    tensors = {prefix + name: p.data.astype(dtype) for name, p in model.parameters().items()}
    if masks:
        for i in range(GPT2.n_layers):
            tensors[f"{prefix}h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 3, 3), np.float32))
            tensors[f"{prefix}h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    return model, tensors


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("with_head", [False, True])
def test_a_published_gpt2_loads(tmp_path, prefix, masks, with_head):
    model, tensors = published(prefix, masks)
    if with_head:
        tensors["lm_head.weight"] = tensors[f"{prefix}wte.weight"].copy()
    (tmp_path / "gpt2").write_bytes(save(tensors, {"format": "pt"}))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2)
    assert found.config == GPTConfig(**GPT2.as_dict() | {"drop_rate": 0.1})
    assert {name: p.data.tobytes() for name, p in found.parameters().items()} == {
        name: p.data.tobytes() for name, p in model.parameters().items()
    }
    ids = np.array([[0, 4, 2]])
    assert found(ids).data.tobytes() == model(ids).data.tobytes()


def test_a_head_of_its_own_is_kept(tmp_path):
    _, tensors = published("transformer.")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1
    (tmp_path / "gpt2").write_bytes(save(tensors))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2)
    assert not found.config.tie_weights
    np.testing.assert_array_equal(found.parameters()["lm_head.weight"].data, tensors["lm_head.weight"])


def test_half_precision_is_read_as_float32(tmp_path):
    _, tensors = published(dtype=np.float16)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2, drop_rate=0.0)
    assert found.parameters()["wte.weight"].dtype == np.float32
    assert found.config.drop_rate == 0


def write_bfloat16(path, tensors):
    """A file of these float32 arrays' upper halves."""
    header, data = {}, b""
    for name, x in tensors.items():
        upper = (x.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": x.shape, "data_offsets": [len(data), len(data) + len(upper)]}
        data += upper
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_bfloat16_is_read_as_float32(tmp_path):
    model, tensors = published(masks=False)
    write_bfloat16(tmp_path / "gpt2", tensors)
    found = load_gpt2(tmp_path / "gpt2", n_heads=2)
    for name, p in found.parameters().items():
        assert p.dtype == np.float32
        want = (model.parameters()[name].data.view(np.uint32) >> 16 << 16).view(np.float32)
        np.testing.assert_array_equal(p.data, want)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.pop("wte.weight"), "'wte.weight' is missing"),
        (lambda t: t.pop("wpe.weight"), "'wpe.weight' is missing"),
        (lambda t: t.pop("h.1.mlp.c_fc.bias"), "h.1.mlp.c_fc.bias is missing"),
        (lambda t: t.update(extra=np.zeros(1)), "extra is unexpected"),
        (lambda t: t.update({"wte.weight": np.zeros(3)}), ""),
        (lambda t: t.update({"wpe.weight": np.array(3.0)}), ""),
        (lambda t: t.update({"wpe.weight": np.zeros((3, 9))}), r"wpe.weight has shape \(3, 9\), not \(3, 8\)"),
    ],
)
def test_what_is_not_quite_gpt2_is_one_line(tmp_path, spoil, reason):
    _, tensors = published()
    spoil(tensors)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    text = one_line(tmp_path / "gpt2", lambda path: load_gpt2(path, n_heads=2))
    assert " as GPT-2: " in text
    assert re.search(reason, text)


def one_line(path, reader):
    """What is said of a file (or one in this folder) that cannot be read."""
    with pytest.raises(CheckpointError, match=re.escape(f"cannot read '{path}")) as caught:
        reader(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


# How many heads


def test_a_file_of_our_own_says_how_many_heads_it_has(tmp_path):
    config = GPTConfig(vocab_size=9, context_length=4, emb_dim=128, n_heads=4, n_layers=1, drop_rate=0.3)
    model = GPT(config, seed=3)
    save_checkpoint(tmp_path / "model.safetensors", model)
    ids = np.array([[0, 8, 2]])
    for found in (load_gpt2(tmp_path / "model.safetensors"), load_gpt2(tmp_path), load_gpt2(tmp_path, n_heads=4)):
        assert found.config == config
        assert found(ids).data.tobytes() == model(ids).data.tobytes()
    assert load_gpt2(tmp_path, drop_rate=0.0).config.drop_rate == 0
    with pytest.raises(CheckpointError, match="its n_heads is 4; got 2"):
        load_gpt2(tmp_path, n_heads=2)


def test_without_a_word_the_heads_are_the_published_size_s():
    assert {width: heads(width, None, None) for width in (768, 1024, 1280, 1600)} == PUBLISHED_HEADS
    assert all(width == 64 * n for width, n in PUBLISHED_HEADS.items())


@pytest.fixture
def folder(tmp_path):
    """A folder with a published model of width 8."""
    (tmp_path / "model.safetensors").write_bytes(save(published()[1], {"format": "pt"}))
    return tmp_path


def beside(folder, **config):
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_a_width_that_was_never_published_asks_for_the_heads(folder):
    with pytest.raises(CheckpointError, match=r"no published GPT-2 is 8 wide, and there is no .*: give n_heads"):
        load_gpt2(folder)
    with pytest.raises(CheckpointError, match="n_heads must be a whole number of at least 1; got 0"):
        load_gpt2(folder, n_heads=0)


WHOLE_CONFIG = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_head": 4, "n_embd": 8, "n_layer": 2, "n_ctx": 3,
    "n_positions": 3, "vocab_size": 5, "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05,
    "resid_pdrop": 0.2, "embd_pdrop": 0.2, "attn_pdrop": 0.2, "task_specific_params": {"text": {"do_sample": True}},
}  # fmt: skip


def test_the_config_beside_a_file_says_how_many_heads_it_has(folder):
    beside(folder, **WHOLE_CONFIG)
    for path in (folder, folder / "model.safetensors"):
        found = load_gpt2(path)
        assert (found.config.n_heads, found.config.drop_rate) == (4, 0.2)
    wanted = GPT(
        GPTConfig(**GPT2.as_dict() | {"n_heads": 4}),
        weights={n: p.data for n, p in published()[0].parameters().items()},
    )
    ids = np.array([[0, 4, 2]])
    assert found(ids).data.tobytes() == wanted(ids).data.tobytes()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"n_head": 4}, "says n_head 4; got n_heads 2"),
        ({"n_embd": 16}, "says n_embd 16, the tensors 8"),
        ({"n_layer": 3}, "says n_layer 3, the tensors 2"),
        ({"vocab_size": 50257}, "says vocab_size 50257, the tensors 5"),
        ({"n_positions": 1024}, "says n_positions 1024, the tensors 3"),
        ({"n_inner": 16}, "says n_inner 16; only 32 is computed"),
        ({"model_type": "openai-gpt"}, "says model_type 'openai-gpt'; only gpt2 is computed here"),
        ({"activation_function": "relu"}, "says activation_function 'relu'; only gelu_new or "),
        ({"activation_function": "gelu"}, "says activation_function 'gelu'; only gelu_new or "),  # the exact one
        ({"layer_norm_epsilon": 1e-6}, "says layer_norm_epsilon 1e-06; only 1e-05 is computed here"),
        ({"scale_attn_weights": False}, "says scale_attn_weights False; only True is computed here"),
        ({"scale_attn_by_inverse_layer_idx": True}, "says scale_attn_by_inverse_layer_idx True; only False"),
        ({"add_cross_attention": True}, "says add_cross_attention True; only False is computed here"),
        ({"tie_word_embeddings": False}, "'lm_head.weight' is missing: .* says tie_word_embeddings False"),
        ({"attn_pdrop": 0.3}, "says resid_pdrop 0.1, embd_pdrop 0.1, attn_pdrop 0.3, and this model has one rate"),
    ],
)
def test_what_a_config_asks_for_and_this_model_does_not_do_is_refused(folder, config, reason):
    beside(folder, **config)
    text = one_line(folder, lambda path: load_gpt2(path, n_heads=2))
    assert re.search(f"as GPT-2: .*{reason}", text)


def test_a_head_that_the_config_ties_and_the_file_does_not_is_refused(tmp_path):
    _, tensors = published()
    tensors["lm_head.weight"] = tensors["wte.weight"] + 1
    (tmp_path / "model.safetensors").write_bytes(save(tensors))
    beside(tmp_path, n_head=2, tie_word_embeddings=True)
    assert "says tie_word_embeddings True, and lm_head.weight is not" in one_line(tmp_path, load_gpt2)
    tensors["lm_head.weight"] = tensors["wte.weight"].copy()
    (tmp_path / "model.safetensors").write_bytes(save(tensors))
    assert load_gpt2(tmp_path).config.tie_weights
    beside(tmp_path, n_head=2, tie_word_embeddings=False)
    assert not load_gpt2(tmp_path).config.tie_weights


@pytest.mark.parametrize(
    "content", ["", "[1]", "[" * 100_000, "{" + " " * 2**20 + "}", '{"n_head": "2"}', '{"n_head": [2]}']
)
def test_a_config_that_is_no_config_is_one_line(folder, content):
    (folder / "config.json").write_text(content, encoding="utf-8")
    one_line(folder, load_gpt2)


# What is not one file of GPT-2's names


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["_orig_mod.", "module.", "model.", "transformer."]), max_size=4).map("".join))
def test_what_wrappers_put_before_the_names_is_left_out(tmp_path, prefix):
    model, tensors = published(prefix)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    ids = np.array([[0, 4, 2]])
    assert load_gpt2(tmp_path / "gpt2", n_heads=2)(ids).data.tobytes() == model(ids).data.tobytes()


def test_two_tensors_of_one_name_are_refused(tmp_path):
    _, tensors = published()
    (tmp_path / "gpt2").write_bytes(save(tensors | {"module.ln_f.bias": tensors["ln_f.bias"]}))
    text = one_line(tmp_path / "gpt2", lambda path: load_gpt2(path, n_heads=2))
    assert re.search(r"(module\.)?ln_f\.bias and (module\.)?ln_f\.bias are both ln_f\.bias", text)


def test_whole_numbers_are_no_weights(tmp_path):
    _, tensors = published()
    tensors["h.0.mlp.c_fc.weight"] = tensors["h.0.mlp.c_fc.weight"].astype(np.int8)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    text = one_line(tmp_path / "gpt2", lambda path: load_gpt2(path, n_heads=2))
    assert "h.0.mlp.c_fc.weight is of dtype I8; one of F16, BF16, F32, F64 was expected" in text


INDEX, SHARD = "model.safetensors.index.json", "model-00001-of-00002.safetensors"


@pytest.mark.parametrize(
    ("given", "file", "content", "reason"),
    [
        ("", "other", b"", "the folder has no model.safetensors"),
        ("", INDEX, b"{}", "it is the index of a model in several files; .*max_shard_size"),
        (INDEX, INDEX, b'{"metadata": {}, "weight_map": {}}', "it is the index of a model in several files"),
        (SHARD, SHARD, b"", "it is one of the 2 files of a model; .*max_shard_size"),
        ("config.json", "config.json", b'{"n_head": 2}', "not a safetensors file but JSON"),
        ("m", "m", b"version https://git-lfs.github.com/spec/v1\n", "the pointer that Git LFS leaves .*git lfs pull"),
        ("m", "m", b"GGUF\3\0\0\0" * 9, "not a safetensors file but a GGUF file"),
    ],
)
def test_what_is_part_of_a_model_or_another_kind_of_file_is_told(tmp_path, given, file, content, reason):
    (tmp_path / file).write_bytes(content)
    assert re.search(reason, one_line(tmp_path / given, load_gpt2))


# Memory


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_memory_holds_the_model_and_one_tensor(tmp_path, kind):
    config = GPTConfig(**GPT2.as_dict() | {"vocab_size": 1000, "emb_dim": 256, "n_layers": 6})
    values = {name: p.data for name, p in GPT(config).parameters().items()}
    if kind == "BF16":
        write_bfloat16(tmp_path / "gpt2", values)
    else:
        (tmp_path / "gpt2").write_bytes(save({n: x.astype(kind.replace("F", "float")) for n, x in values.items()}))
    sizes = [x.nbytes for x in values.values()]
    del values
    tracemalloc.start()
    try:
        load_gpt2(tmp_path / "gpt2", n_heads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 18e6
    assert peak < sum(sizes) + max(sizes) + 5e6  # a block of a megabyte on its way through the dtypes
