"""GPT-2 from a published file: Hugging Face's model.safetensors, and similar files.

The tensors show the model's shape, but not the number of heads, and not details such as the activation function.  These
are in the config.json beside the file.  load_gpt2 uses its values, and raises an error if it requires what this model
does not compute.
"""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_gpt.backend import resolve_device
from tinygrad_gpt.checkpoints.checkpoint import check_shapes, is_ours, layout_of, read_model, shapes_of
from tinygrad_gpt.checkpoints.safetensors_file import (
    CheckpointError,
    SafetensorsFile,
    open_safetensors,
)
from tinygrad_gpt.checks import fraction
from tinygrad_gpt.files import strict_json
from tinygrad_gpt.nn import GPT, GPTConfig

MODEL_FILE, INDEX_FILE, CONFIG_FILE = "model.safetensors", "model.safetensors.index.json", "config.json"
_SHARD = re.compile(r"-\d+-of-(\d+)\.safetensors$")
_PREFIX = re.compile(r"^((_orig_mod|module|model|transformer)\.)+")  # from torch.compile, wrappers and classes
PUBLISHED_HEADS = {768: 12, 1024: 16, 1280: 20, 1600: 25}  # by width: Radford et al. 2019, table 2
_MAX_CONFIG_BYTES = 2**20
_FLOATS = ("F16", "BF16", "F32", "F64")
_SIZES = {
    "n_embd": "emb_dim",
    "n_layer": "n_layers",
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_ctx": "context_length",
}
_DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
_SUPPORTED_VALUES: dict[str, tuple[object, ...]] = {  # of the settings of transformers' GPT2Config
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),  # three names of one function
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}
_JOIN = "transformers' save_pretrained(folder, max_shard_size='100GB') writes one file"


def load_gpt2(
    path: str | Path, *, n_heads: int | None = None, drop_rate: float | None = None, device: str = "cpu"
) -> GPT:
    """A model in float32 from a published GPT-2 file (Hugging Face's model.safetensors), or from its folder.

    The tensors give the shape.  The number of heads comes from n_heads, else from the config.json beside the file, else
    from the width if a published GPT-2 has it.  drop_rate comes from the argument, else from config.json, else 0.1.
    The output head is tied unless the file has a separate one.  Names may begin with transformer., model., module. or
    _orig_mod.  A file that this program wrote is read with its own configuration and dtype.

    Raises CheckpointError if it is not such a file, or if its model does not compute what GPT-2 computes.
    """
    device = resolve_device(device)
    path = _model_file(Path(path))
    with open_safetensors(path, " as GPT-2") as file:
        if is_ours(file):
            config, _ = layout_of(file)
            if n_heads not in (None, config.n_heads):
                raise ValueError(f"its n_heads is {config.n_heads}; got {n_heads}")
            rate = config.drop_rate if drop_rate is None else drop_rate
            return read_model(file, GPTConfig(**config.as_dict() | {"drop_rate": rate}), device)  # type: ignore[arg-type]
        names = _names_in(file)
        config = _shape_of(file, names, _read_config(path.with_name(CONFIG_FILE)), n_heads, drop_rate)
        if config.tie_weights:
            names.pop("lm_head.weight", None)
        check_shapes({name: file.tensors[there] for name, there in names.items()}, shapes_of(config, len(names)))
        return read_model(file, config, device, "float32", names)


def _model_file(path: Path) -> Path:
    """The file to read: path, or the one in it if it is a folder.  Raises CheckpointError for a part of a model."""
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        if (path / INDEX_FILE).is_file():
            path = path / INDEX_FILE
        else:
            raise CheckpointError(f"cannot read {str(path)!r} as GPT-2: the folder has no {MODEL_FILE}")
    part = _SHARD.search(path.name)
    what = f"one of the {int(part[1])} files of a model" if part and int(part[1]) > 1 else ""
    if path.name.endswith(".safetensors.index.json"):
        what = "the index of a model in several files"
    if what:
        raise CheckpointError(f"cannot read {str(path)!r} as GPT-2: it is {what}; {_JOIN}")
    return path


def _names_in(file: SafetensorsFile) -> dict[str, str]:
    """GPT-2's names of the tensors, each with its name in the file; without causal masks.

    Raises ValueError if two tensors have one name, or a tensor does not hold floating-point numbers.
    """
    names: dict[str, str] = {}
    for there, stored in file.tensors.items():
        name = _PREFIX.sub("", there)
        if name.endswith((".attn.bias", ".attn.masked_bias")) and len(stored.shape) != 1:
            continue  # a causal mask
        if name in names:
            raise ValueError(f"{names[name]} and {there} are both {name}")
        if stored.dtype not in _FLOATS:
            raise ValueError(f"{there} is of dtype {stored.dtype}; one of {', '.join(_FLOATS)} was expected")
        names[name] = there
    return names


def _shape_of(
    file: SafetensorsFile,
    names: Mapping[str, str],
    settings: Mapping[str, Any],
    n_heads: int | None,
    drop_rate: float | None,
) -> GPTConfig:
    """The configuration, from the tensors and config.json.  Raises ValueError if they disagree."""
    sizes = {}
    for name in ("wte.weight", "wpe.weight"):
        if name not in names:
            raise ValueError(f"{name!r} is missing")
        sizes[name] = file.tensors[names[name]].shape
        if len(sizes[name]) != 2:
            raise ValueError(f"{name} has shape {sizes[name]}, not two axes")
    vocab_size, emb_dim = sizes["wte.weight"]
    config = {
        "vocab_size": vocab_size,
        "context_length": sizes["wpe.weight"][0],
        "emb_dim": emb_dim,
        "n_layers": len({name.split(".")[1] for name in names if re.match(r"h\.\d+\.", name)}),
    }
    for theirs, ours in _SIZES.items():
        if settings.get(theirs) not in (None, config[ours]):
            raise ValueError(f"{CONFIG_FILE} beside it says {theirs} {settings[theirs]!r}, the tensors {config[ours]}")
    if settings.get("n_inner") not in (None, 4 * emb_dim):
        raise ValueError(
            f"{CONFIG_FILE} beside it says n_inner {settings['n_inner']!r}; only {4 * emb_dim} is computed"
        )
    return GPTConfig(
        **config,
        n_heads=heads(emb_dim, settings.get("n_head"), n_heads),
        drop_rate=_dropout(settings) if drop_rate is None else drop_rate,
        qkv_bias=True,
        tie_weights=_is_tied(file, names, settings.get("tie_word_embeddings")),
    )


def heads(emb_dim: int, stated: Any, given: int | None) -> int:
    """The number of heads: from config.json, the caller, or the published sizes."""
    if stated is not None and given not in (None, stated):
        raise ValueError(f"{CONFIG_FILE} beside it says n_head {stated!r}; got n_heads {given}")
    if given is not None or stated is not None:
        return stated if given is None else given
    if emb_dim not in PUBLISHED_HEADS:
        raise ValueError(f"no published GPT-2 is {emb_dim} wide, and there is no {CONFIG_FILE} beside it: give n_heads")
    return PUBLISHED_HEADS[emb_dim]


def _dropout(settings: Mapping[str, Any]) -> float:
    """The dropout rate in config.json, which must be one for all; 0.1, as published, if it has none."""
    rates = {fraction(f"{name} of {CONFIG_FILE} beside it", settings.get(name, 0.1)) for name in _DROPOUTS}
    if len(rates) > 1:
        each = ", ".join(f"{name} {settings.get(name, 0.1)!r}" for name in _DROPOUTS)
        raise ValueError(f"{CONFIG_FILE} beside it says {each}, and this model has one rate: give drop_rate")
    rate: float = rates.pop()
    return rate


def _is_tied(file: SafetensorsFile, names: Mapping[str, str], stated: Any) -> bool:
    """Whether the head is the token embedding.  Raises ValueError if config.json and the tensors disagree."""
    if "lm_head.weight" not in names:
        if stated is False:
            raise ValueError(f"'lm_head.weight' is missing: {CONFIG_FILE} beside it says tie_word_embeddings False")
        return True
    same = file.are_same(names["lm_head.weight"], names["wte.weight"])
    if stated is True and not same:
        raise ValueError(f"{CONFIG_FILE} beside it says tie_word_embeddings True, and lm_head.weight is not wte.weight")
    return same and stated is not False


def _read_config(path: Path) -> dict[str, Any]:
    """The content of a config.json; empty without a file.  Raises ValueError if the model computes something else."""
    if not os.path.isfile(path):
        return {}
    with open(path, "rb") as file:
        text = file.read(_MAX_CONFIG_BYTES + 1)
    if len(text) > _MAX_CONFIG_BYTES:
        raise ValueError(f"{CONFIG_FILE} beside it is longer than {_MAX_CONFIG_BYTES} bytes")
    try:
        settings = strict_json(text)
    except ValueError as error:
        raise ValueError(f"{CONFIG_FILE} beside it is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{CONFIG_FILE} beside it is not a JSON object")
    for name, allowed in _SUPPORTED_VALUES.items():
        if name in settings and not any(_is_equal(settings[name], value) for value in allowed):
            one = " or ".join(str(value) for value in allowed)
            raise ValueError(f"{CONFIG_FILE} beside it says {name} {settings[name]!r}; only {one} is computed here")
    return settings


def _is_equal(stated: object, value: object) -> bool:
    """Whether config.json has this value; floats need only be close."""
    if isinstance(value, float) and isinstance(stated, int | float):
        return math.isclose(stated, value, rel_tol=1e-6)
    return stated == value
