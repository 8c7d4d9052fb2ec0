"""Damaged checkpoints: whatever was done to a file, the original is loaded or the file is refused, cheaply."""

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np

from tests.reliability.hostile import HOSTILE, MISLEADING
from tests.reliability.tally import Tally
from tinygrad_gpt.checkpoints import CheckpointError, load_checkpoint, load_gpt2, save_checkpoint
from tinygrad_gpt.checkpoints.safetensors_file import open_safetensors
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW

SMALLEST = GPTConfig(vocab_size=2, context_length=1, emb_dim=2, n_heads=1, n_layers=1, drop_rate=0.0)
SECONDS = 1.0  # of the processor, that a file may cost


def written(path, seed, step=3, config=SMALLEST):
    """A small checkpoint: a model, the moments of one of its parameters (they differ from 0), metadata."""
    model = GPT(config, seed=seed)
    optimizer = AdamW({"wte.weight": model.parameters()["wte.weight"]})
    model.parameters()["wte.weight"].grad = np.ones((config.vocab_size, config.emb_dim), np.float32)
    optimizer.step()
    save_checkpoint(path, model, optimizer, step=step, metadata={"seed": str(seed)})
    return path.read_bytes()


def state(checkpoint):
    """All that a checkpoint holds, to compare."""
    arrays = {name: p.data for name, p in checkpoint.model.parameters().items()}
    for name, entry in (checkpoint.optimizer_state or {}).items():
        arrays |= {f"{key} of {name}": np.asarray(value) for key, value in entry.items()}
    content = {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.items()}
    return content, checkpoint.step, checkpoint.model.config, checkpoint.metadata, checkpoint.environment


def try_file(path, tally, what, *allowed):
    """Load a file; lost is whatever is neither one of the allowed states nor refused."""
    try:
        found = state(load_checkpoint(path))
    except CheckpointError:
        tally.refused += 1
    except Exception as error:
        tally.lost.append(f"{what}: {type(error).__name__}: {error}")
    else:
        if found in allowed:
            tally.loaded += 1
        else:
            tally.lost.append(f"{what}: another state is loaded")


def truncations(folder: Path, full: bool) -> Tally:
    """A file cut short at every byte."""
    path, tally = folder / "x", Tally()
    content = written(path, seed=1)
    want = state(load_checkpoint(path))
    for size in reversed(range(len(content))):
        os.truncate(path, size)
        try_file(path, tally, f"the first {size} of {len(content)} bytes", want)
    return tally


KINDS = [lambda byte, bit=bit: byte ^ 1 << bit for bit in range(8)]
KINDS += [lambda byte, other=other: other for other in b'\x00\xff 0129"{}[],:\\a']


def changed_bytes(folder: Path, full: bool) -> Tally:
    """Every byte changed: each of its bits, and to what means something in JSON.  In short: one change per byte."""
    path, tally = folder / "x", Tally()
    content = bytearray(written(path, seed=1))
    want = state(load_checkpoint(path))
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            for kind in KINDS if full else [KINDS[place % len(KINDS)]]:
                if kind(byte) != byte:
                    file.seek(place)
                    file.write(bytes([kind(byte)]))
                    try_file(path, tally, f"byte {place} is {kind(byte)} for {byte}", want)
            file.seek(place)
            file.write(bytes([byte]))
    return tally


def splices(folder: Path, full: bool) -> Tally:
    """Two checkpoints mixed at every byte, a byte more, a byte less, a stretch twice, moved, or of zeros."""
    path, tally = folder / "x", Tally()
    one, other = written(path, seed=1), written(path, seed=2, step=4)
    wanted = []
    for content in (one, other):
        path.write_bytes(content)
        wanted.append(state(load_checkpoint(path)))
    random = np.random.default_rng(1)
    for place in range(0, len(one), 1 if full else 37):
        length = int(random.integers(1, 600))
        end = place + length
        for what, content in {
            "the one, then the other": one[:place] + other[place:],
            "a stretch of the other": one[:place] + other[place:end] + one[end:],
            "a byte more": one[:place] + random.bytes(1) + one[place:],
            "a byte less": one[:place] + one[place + 1 :],
            "a stretch twice": one[:end] + one[place:],
            "a stretch less": one[:place] + one[end:],
            "zeros": one[:place] + bytes(len(one[place:end])) + one[end:],
            "two stretches exchanged": one[:place] + one[end : end + length] + one[place:end] + one[end + length :],
            "more behind it": one + one[place:end],
        }.items():
            path.write_bytes(content)
            try_file(path, tally, f"{what}, {length} bytes at {place}", *wanted)
    return tally


def cost(path, reader):
    """What reading a file that is to be refused takes: (seconds of the processor, bytes at once, what happened)."""
    started, problem = time.process_time(), None
    problem = outcome(path, reader)
    seconds = time.process_time() - started
    tracemalloc.start()
    try:
        problem = outcome(path, reader) or problem
        return seconds, tracemalloc.get_traced_memory()[1], problem
    finally:
        tracemalloc.stop()


def outcome(path, reader):
    """What is wrong with what a reader does about a file that has to be refused; None if nothing is."""
    try:
        reader(path)
    except CheckpointError as error:
        text = str(error)
        return None if text.isprintable() and len(text) < 2000 else f"the message {text[:100]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "it is loaded"


def allowed_memory(content):
    """Bytes that reading a file may take at once."""
    header = min(int.from_bytes(content[:8], "little"), len(content))
    return 2 * len(content) + 32 * header + 2**16


def read_everything(path):
    """All tensors of a file that need not be a model."""
    with open_safetensors(path) as file:
        for name in file.tensors:
            file.tensor(name)


def hostile_files(folder: Path, full: bool) -> Tally:
    """Files made to harm: refused in one line, in under a second, in little memory.  In short: few large ones."""
    tally, path = Tally(), folder / "x"
    cases = [(name, content, read_everything) for name, content in HOSTILE.items()]
    cases += [
        (name, content, reader)
        for name, content in (HOSTILE | MISLEADING).items()
        for reader in (load_checkpoint, load_gpt2)
    ]
    for i, (name, content, reader) in enumerate(cases):
        if len(content) > 10**5 and i % 9 and not full:
            continue
        path.write_bytes(content)
        seconds, memory, problem = cost(path, reader)
        if seconds > SECONDS:
            problem = f"{seconds:.1f} s"
        if memory > allowed_memory(content):
            problem = f"{memory} bytes at once, for a file of {len(content)}"
        if problem is None:
            tally.refused += 1
        else:
            tally.lost.append(f"{name}, {reader.__name__}: {problem}")
    return tally
