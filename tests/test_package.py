"""The library's face: what `import tinygrad_gpt` brings, and what it must not."""

import subprocess
import sys

import pytest

import tinygrad_gpt as tg

PUBLIC = [
    "AdamW",
    "Batches",
    "CheckpointError",
    "Checkpoints",
    "Dropout",
    "GPT",
    "GPTConfig",
    "PRESETS",
    "Tensor",
    "apply",
    "backward",
    "clip_grad_norm",
    "concatenate",
    "cosine_schedule",
    "cross_entropy",
    "draw",
    "evaluate",
    "generate",
    "greedy",
    "keep_freed_memory",
    "laws",
    "load_checkpoint",
    "load_gpt2",
    "load_run",
    "StreamDecoder",
    "no_grad",
    "ops",
    "perplexity",
    "precision",
    "probabilities",
    "read_texts",
    "reference_manual",
    "reference_only",
    "save_checkpoint",
    "set_num_threads",
    "split_tokens",
    "study",
    "tokenizer",
    "train",
    "uniforms",
    "where",
]

HEAVY = ["cupy", "hypothesis", "matplotlib", "pytest", "scipy", "threadpoolctl", "tqdm", "tyro"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name(name):
    assert getattr(tg, name) is not None


def test_no_public_name_is_missing_from_the_list():
    from types import ModuleType

    names = {name for name, value in vars(tg).items() if not name.startswith("_")}
    modules = {name for name in names if isinstance(getattr(tg, name), ModuleType)}
    assert names - modules == set(PUBLIC) - {"ops", *tg._LAZY}
    assert set(tg.__all__) == set(PUBLIC) - set(tg._LAZY)  # which `import *` would load hypothesis for


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        tg.nonsense  # noqa: B018


@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_it_does_not_import(heavy):
    code = f"import sys, tinygrad_gpt; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
