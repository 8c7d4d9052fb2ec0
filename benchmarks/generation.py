"""Tokens per second, one row, greedy: with and without the cache, beside Hugging Face's generate.

GPT-2 124M's shape with weights tied and biases, so that transformers' own class can take the same weights; the tokens
of all must be the same.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.training import REST
from tinygrad_gpt import GPT, PRESETS, generate
from tinygrad_gpt.backend import to_host
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory, use_threads

CONFIG = replace(PRESETS["gpt2-124M"], qkv_bias=True, tie_weights=True)
PROMPT = [15496, 11, 314, 716]
COUNTS = (50, 200, 800)


def run() -> str:
    """The table."""
    keep_freed_memory()
    model = GPT(CONFIG, seed=0)
    contenders: dict[str, Callable[[int], list[int]]] = {
        "ours, cached": lambda n: ours(model, n, use_cache=True),
        "ours, without the cache": lambda n: ours(model, n, use_cache=False),
    }
    if importlib.util.find_spec("transformers") is not None:
        theirs = hugging_face(model)
        contenders["Hugging Face generate"] = theirs
    lines = ["| tokens/s over the first | " + " | ".join(str(n) for n in COUNTS) + " tokens |"]
    lines.append("|---" * (1 + len(COUNTS)) + "|")
    speeds: dict[str, list[str]] = {name: [] for name in contenders}
    for n in COUNTS:
        texts = {}
        for name, contender in contenders.items():
            if name == "ours, without the cache" and n > 50:
                speeds[name].append("")  # minutes
                continue
            contender(3)
            times = []
            for _ in range(3):
                time.sleep(REST)
                started = time.perf_counter()
                texts[name] = contender(n)
                times.append(time.perf_counter() - started)
            speeds[name].append(f"{n / sorted(times)[1]:.1f}")
        if len({tuple(text) for text in texts.values()}) != 1:
            raise ValueError(f"no speed is printed: the texts differ: {texts}")
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(row) + " |" for name, row in speeds.items())])


def ours(model: GPT, n: int, *, use_cache: bool) -> list[int]:
    with use_threads(default_num_threads()):
        return [int(ids[0]) for ids in generate(model, [PROMPT], n, use_cache=use_cache)]


def hugging_face(
    model: GPT, device: str = "cpu", dtype: str = "float32", prompt: Sequence[int] = PROMPT
) -> Callable[[int], list[int]]:
    """transformers' GPT-2 with our weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(default_num_threads())
    ours = model.config
    shape = {"vocab_size": ours.vocab_size, "n_positions": ours.context_length, "n_embd": ours.emb_dim}
    layers = {"n_layer": ours.n_layers, "n_head": ours.n_heads, "activation_function": "gelu_new"}
    config: Any = GPT2Config(**shape, **layers, bos_token_id=None, eos_token_id=None)
    theirs = GPT2LMHeadModel(config).eval()
    weights = {f"transformer.{name}": torch.tensor(to_host(x.data)) for name, x in model.parameters().items()}
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all("attn" in name for name in missing), missing  # masks
    theirs.to(device, getattr(torch, dtype))

    def continued(n: int) -> list[int]:
        ids = torch.tensor([prompt], device=device)
        mask = torch.ones_like(ids)
        out = theirs.generate(ids, attention_mask=mask, max_new_tokens=n, min_new_tokens=n, do_sample=False)
        return [int(token) for token in out[0, len(prompt) :]]

    return continued
