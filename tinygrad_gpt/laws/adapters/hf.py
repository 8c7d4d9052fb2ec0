"""The logits processors of Hugging Face's transformers, and others of their form, as samplers."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.sampling.under_test import SETTINGS, SamplerUnderTest

_WARPERS = {
    "temperature": "TemperatureLogitsWarper",
    "top_k": "TopKLogitsWarper",
    "top_p": "TopPLogitsWarper",
    "min_p": "MinPLogitsWarper",
}


def hf_warper(*names: str, name: str = "", **classes: Callable[[Any], Any]) -> SamplerUnderTest:
    """transformers' warpers for these settings (default: all four), applied in that order, as a SamplerUnderTest.

    classes replaces some by others of the form Class(value)(input_ids, scores) -> scores, on torch tensors:
    hf_warper(top_k=MyTopK).  The policies are transformers': all ties stay, and temperature 0 is an error.
    Raises ImportError without torch, or without transformers where it is needed; ValueError for an unknown setting.
    """
    import torch

    chosen = [*names, *classes] or list(SETTINGS)
    unknown = set(chosen) - set(SETTINGS)
    if unknown:
        raise ValueError(f"names must be among {', '.join(SETTINGS)}; got {', '.join(sorted(unknown))}")
    make = {setting: classes.get(setting) or _transformers_class(setting) for setting in SETTINGS if setting in chosen}

    def warp(logits: Array, **settings: Any) -> Array:
        plain = logits.flags.writeable and logits.flags.c_contiguous  # then torch uses the caller's memory
        scores = torch.from_numpy(logits if plain else np.array(logits, order="C"))
        ids = torch.zeros((len(logits), 1), dtype=torch.long)
        for setting, warper in make.items():
            if setting in settings:
                scores = warper(settings[setting])(ids, scores)
        return scores.numpy()

    title = name or f"transformers {', '.join(make)}"
    return SamplerUnderTest(
        name=title, warp=warp, capabilities=frozenset(make), ties="all", zero_temperature="error", rtol=1e-9
    )


def _transformers_class(setting: str) -> Callable[[Any], Any]:
    """transformers' warper for a setting."""
    warper: Callable[[Any], Any] = getattr(importlib.import_module("transformers"), _WARPERS[setting])
    return warper
