"""A GPT written from scratch on NumPy and CuPy, with a hand-written reverse-mode autograd engine.

import tinygrad_gpt as tg

Where to look: `ops/` has every gradient by hand, `tape.py` the engine, `nn/` the model, `optim/` AdamW, `text/` the
tokenizers and batches, `sampling/` the sampler, `training/` the loop, `checkpoints/` and `runs/` what it writes,
`study/` explanations and traces, `laws/` the property suites.

Every name is imported when it is first used (PEP 562), so that `import tinygrad_gpt.laws` loads no engine.  Type
checkers read `__init__.pyi`.
"""

from importlib import import_module

from tinygrad_gpt.version import __version__ as __version__

_MODULES = {  # public name -> the module that has it
    "GPT": "nn",
    "PRESETS": "nn",
    "AdamW": "optim",
    "Batches": "text",
    "CheckpointError": "checkpoints",
    "Checkpoints": "checkpoints",
    "Dropout": "rng",
    "GPTConfig": "nn",
    "StreamDecoder": "text",
    "Tensor": "tape",
    "apply": "tape",
    "backward": "tape",
    "clip_grad_norm": "optim",
    "concatenate": "tape",
    "cosine_schedule": "optim",
    "cross_entropy": "nn",
    "draw": "sampling",
    "evaluate": "training",
    "generate": "sampling",
    "greedy": "sampling",
    "keep_freed_memory": "kernels",
    "load_checkpoint": "checkpoints",
    "load_gpt2": "checkpoints",
    "load_run": "runs",
    "no_grad": "tape",
    "perplexity": "training",
    "precision": "kernels.cuda",
    "probabilities": "sampling",
    "read_texts": "text",
    "reference_manual": "text",
    "reference_only": "kernels",
    "sample": "sampling",
    "save_checkpoint": "checkpoints",
    "set_num_threads": "kernels",
    "split_tokens": "text",
    "tokenizer": "text",
    "train": "training",
    "uniforms": "sampling",
    "where": "tape",
}
_RENAMED = {"tokenizer": "build_tokenizer"}  # public name -> its name in that module
_SUBMODULES = {
    "backend",
    "checkpoints",
    "debug",
    "kernels",
    "laws",
    "nn",
    "ops",
    "optim",
    "rng",
    "runs",
    "sampling",
    "study",
    "tape",
    "text",
    "training",
}

__all__ = sorted({*_MODULES, "ops"})  # neither laws, which needs hypothesis, nor study


def __getattr__(name: str) -> object:
    """A public name or a module of the package, on first use."""
    if name in _SUBMODULES:
        return import_module(f"tinygrad_gpt.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'tinygrad_gpt' has no attribute {name!r}")
    value = getattr(import_module(f"tinygrad_gpt.{_MODULES[name]}"), _RENAMED.get(name, name))
    globals()[name] = value  # from now on Python finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
