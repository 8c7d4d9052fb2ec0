"""Every __syncthreads() and __syncwarp() is needed: taken out, one at a time, it changes a result under some schedule.

A barrier that nobody misses is either not needed, or missing from the tests.
"""

import importlib.util
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.cuda.moving import on
from tests.cuda.odd_shapes import odd_cases
from tests.cuda.test_same import ROWS, SCHEDULES, in_dtype, results
from tinygrad_gpt import GPT, GPTConfig, ops
from tinygrad_gpt.kernels.cuda import launcher, precision
from tinygrad_gpt.kernels.cuda.precision import bfloat16
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import LazyMask
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.tape import Tensor

pytestmark = pytest.mark.slow
BARRIER = re.compile(r"__sync(?:threads|warp)\(\);")


@cache
def drawn(op):
    """The three largest of some cases, the same as long as the code is."""
    found = []

    @settings(
        max_examples=12,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_cases(op), seeds())
    def collect(case, seed):
        found.append((case, seed))

    collect()
    return sorted(found, key=lambda one: -sum(x.size for x in one[0][0]))[:3]


def of_row(op, dtype):
    def exercise(device):
        with precision("bfloat16" if dtype == "bfloat16" else "float32"):
            return [
                x
                for (arrays, chosen), seed in drawn(op)
                for x in results(on(device, ROWS[op, dtype]), in_dtype(arrays, dtype), chosen, seed)
                if x is not None
            ]

    return exercise


def of_the_optimizer(device):
    parameters = {}
    for i, shape in enumerate([(70,), (3, 301), (1,), (5000,)]):
        tensor = parameters[str(i)] = Tensor(device.asarray(normal(i, shape).astype(np.float32)), requires_grad=True)
        tensor.grad = device.asarray(normal(9 + i, shape).astype(np.float32))
    norm = AdamW(parameters, lr=0.1).step(max_norm=0.5)
    return [device.get(norm), *(device.get(tensor.data) for tensor in parameters.values())]


def of_cached_text(device):
    config = GPTConfig(vocab_size=13, context_length=50, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0.0)
    model = GPT(config, device="cuda")
    prompts = [list(range(13)) * 3, [4, 5]]
    return [device.get(step.logits) for step in generate(model, prompts, 3, return_probabilities=True)]


NO_BFLOAT16 = importlib.util.find_spec("ml_dtypes") is None


def of_several_tiles(dtype):
    """Attention over three tiles of rows that are wider than what a warp loads of its own."""

    def exercise(device):
        B, T, H, D = 1, 140, 1, 32
        stored = np.float32 if dtype == "float32" else bfloat16()
        qkv, dy = (device.asarray(normal(n, (B, T, n * H * D)).astype(np.float32).astype(stored)) for n in (3, 1))
        y, vjp = ROWS[ops.causal_attention, dtype](qkv, LazyMask(1, 2, 3, 4, (B, H, T, T), 0.5), n_heads=H)
        return [device.get(y), device.get(vjp(dy)[0])]

    return exercise


EXERCISES = {
    f"{op.__name__}-{dtype}": of_row(op, dtype) for op, dtype in ROWS if not (dtype == "bfloat16" and NO_BFLOAT16)
}
EXERCISES |= {"optimizer": of_the_optimizer, "cached": of_cached_text}
DTYPES = ["float32"] if NO_BFLOAT16 else ["float32", "bfloat16"]
EXERCISES |= {f"tiles-{dtype}": of_several_tiles(dtype) for dtype in DTYPES}
KNOWN = {}  # exercise -> the files it runs, and its results


def of_file(device, file):
    """The exercises that run kernels of a file."""
    for name, exercise in EXERCISES.items():
        if name not in KNOWN:
            files = set()
            device.emulator.edit = lambda code, files=files: (
                files.update(re.findall(r'#line 1 "(\w+\.cu)"', code)) or code
            )
            launcher.forget_compiled()
            KNOWN[name] = files, [x.tobytes() for x in exercise(device)]
    return [name for name, (files, _) in KNOWN.items() if file in files]


def noticed(device, name):
    """Under which schedule an exercise goes wrong, or None."""
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            try:
                if [x.tobytes() for x in EXERCISES[name](device)] != KNOWN[name][1]:
                    return schedule
            except (AssertionError, ArithmeticError, ValueError):
                return schedule
    return None


FILES = sorted(path.name for path in launcher.FOLDER.glob("*.cu"))
COUNTED = [(file, n) for file in FILES for n, _ in enumerate(BARRIER.finditer(launcher.source(file)))]


def without(code, n):
    """The text without its n-th barrier."""
    barrier = list(BARRIER.finditer(code))[n]
    return code[: barrier.start()] + code[barrier.end() :]


def used(code, n):
    """Whether the barrier belongs to a kernel, or to a function of a header that the file calls."""
    before = code[: list(BARRIER.finditer(code))[n].start()]
    function = re.findall(r"(\w+)\([^()]*\)\s*\{", before)
    return (
        any(code.count(f"{name}(") > 1 for name in function[-3:]) or '.cu"' in re.findall(r"#line \d+ .*", before)[-1]
    )


@pytest.mark.parametrize(("file", "n"), COUNTED, ids=str)
def test_a_missing_barrier_is_noticed(file, n, device):
    names = of_file(device, file)
    if NO_BFLOAT16 and "bfloat16" in file:
        pytest.skip("ml_dtypes is missing: without it NumPy has no bfloat16")
    assert names, f"no exercise runs {file}"

    def edit(code):
        return without(code, n) if f'#line 1 "{file}"' in code else code

    if not used(launcher.source(file), n):
        pytest.skip("a header's function that this file does not call")
    device.emulator.edit = edit
    launcher.forget_compiled()
    assert any(noticed(device, name) is not None for name in names)
