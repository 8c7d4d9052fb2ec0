"""The library's face: what `import tinygrad_gpt` brings, and what it must not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_gpt as tg
from tinygrad_gpt import debug, training

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
    "sample",
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
    modules = {"laws", "study", "ops"}
    assert set(tg._MODULES) == set(PUBLIC) - modules
    assert modules <= tg._SUBMODULES
    assert set(tg.__all__) == set(PUBLIC) - {"laws", "study"}  # which `import *` would load hypothesis for
    assert set(PUBLIC) <= set(dir(tg))


def test_type_checkers_are_told_of_the_same_names():
    stub = ast.parse(Path(tg.__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    told = {name.asname: f"{node.module}.{name.name}" for node in imports for name in node.names}
    modules = {name: f"tinygrad_gpt.{name}" for name in ("laws", "ops", "study")}
    assert told == modules | {"__version__": "tinygrad_gpt.version.__version__"} | {
        name: f"tinygrad_gpt.{module}.{tg._RENAMED.get(name, name)}" for name, module in tg._MODULES.items()
    }
    (names,) = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
    assert sorted(names) == tg.__all__


def test_a_star_brings_all_but_what_needs_hypothesis():
    names = {}
    exec("from tinygrad_gpt import *", names)
    assert set(names) - {"__builtins__"} == set(tg.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        tg.nonsense  # noqa: B018


@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_it_does_not_import(heavy):
    code = f"import sys, tinygrad_gpt; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def loaded_by(statement):
    """The modules of the package that a fresh Python has after a statement."""
    code = f"{statement}; import sys; print(*(name for name in sys.modules if name.startswith('tinygrad_gpt')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_imports_nothing_of_it():
    assert loaded_by("import tinygrad_gpt") == {"tinygrad_gpt", "tinygrad_gpt.version"}


def test_what_version_0_1_had_in_training_is_still_there_and_what_it_did_not_have_is_not():
    for name in ("NonFinite", "find_nonfinite", "replay"):
        assert getattr(training, name) is getattr(debug, name)
    for name in ("Run", "load_run", "Profile"):
        with pytest.raises(AttributeError, match=f"'tinygrad_gpt\\.training' has no attribute '{name}'"):
            getattr(training, name)


def test_importing_the_laws_imports_no_engine():
    rest = {name for name in loaded_by("import tinygrad_gpt.laws") if not name.startswith("tinygrad_gpt.laws")}
    assert rest == {"tinygrad_gpt", "tinygrad_gpt.version"}


@pytest.mark.slow
def test_any_module_can_be_imported_first():
    code = """
import importlib, pkgutil, sys, tinygrad_gpt
names = [found.name for found in pkgutil.walk_packages(tinygrad_gpt.__path__, "tinygrad_gpt.")]
for name in names:
    if not name.endswith("__main__"):
        for loaded in [loaded for loaded in sys.modules if loaded.startswith("tinygrad_gpt")]:
            del sys.modules[loaded]
        importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
