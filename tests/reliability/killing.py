"""Kill, at random moments, processes that do nothing but save; what they had saved must load.

    python -m tests.reliability.killing FOLDER COUNT

Everything in a checkpoint of this run is a function of its step, so whatever loads can be told right or wrong.
"""

import json
import os
import random
import signal
import sys
import time

import numpy as np

from tests.reliability.damage import SMALLEST
from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.optim import AdamW

LONGEST = 0.03  # seconds to live after the first save


def keep_saving(folder, pipe):
    """Save step after step, telling of each that is saved."""
    kept = Checkpoints(folder)
    step = kept.newest()[0].step if kept.paths() else 0
    model = GPT(SMALLEST)
    optimizer = AdamW(model.parameters())
    while True:
        step += 1
        fill(model, optimizer, step)
        kept.save(model, optimizer, step=step)
        os.write(pipe, step.to_bytes(8, "little"))


def fill(model, optimizer, step):
    """Make all numbers the step's."""
    for p in model.parameters().values():
        p.data[...] = step
    optimizer.load_state(
        {
            name: {"step": step, "m": np.full(p.shape, -step), "v": np.full(p.shape, step / 2)}
            for name, p in model.parameters().items()
        }
    )


def kill_one(folder, chance):
    """Start a process, kill it, and say what is wrong with the folder then; None if nothing is."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            keep_saving(folder, writing)
        finally:
            os._exit(1)
    os.close(writing)
    saved = os.read(reading, 8)
    time.sleep(chance.uniform(0, LONGEST))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 2**16):
        saved += more
    os.close(reading)
    return problem_in(folder, int.from_bytes(saved[-8:], "little"))


def problem_in(folder, saved):
    """What is wrong, if a process had saved so many steps; every file must be whole."""
    kept = Checkpoints(folder)
    try:
        found, skipped = kept.newest()
    except CheckpointError as error:
        return str(error)
    if skipped:
        return "; ".join(skipped)
    if found.step not in (saved, saved + 1):
        return f"step {found.step} is found, after {saved} was saved"
    numbers = {x for p in found.model.parameters().values() for x in p.data.ravel().tolist()}
    for entry in found.optimizer_state.values():
        numbers |= {float(entry["step"]), *(-entry["m"]).ravel().tolist(), *(2 * entry["v"]).ravel().tolist()}
    return None if numbers == {float(found.step)} else f"step {found.step} holds {sorted(numbers)}"


def main():
    """Kill COUNT processes; print as JSON how many times all was well, in how many saves they were, and the rest."""
    folder, count = sys.argv[1], int(sys.argv[2])
    chance, loaded, within, lost = random.Random(count), 0, 0, []
    for _ in range(count):
        problem = kill_one(folder, chance)
        within += any(name.endswith(".tmp") for name in os.listdir(folder))
        if problem is None:
            loaded += 1
        else:
            lost.append(problem)
    print(json.dumps({"loaded": loaded, "within a save": within, "lost": lost}))


if __name__ == "__main__":
    main()
