"""All of it: `python -m benchmarks` prints a page of tables; with names of sections, those alone.

With --device cuda the page is that of a GPU, see benchmarks/cuda/.
"""

import argparse
import functools
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

from benchmarks import generation, kernels, sampling, saving, training
from benchmarks.cuda import page
from benchmarks.settings import BATCH_SIZES, CONTENDERS, LONG_ROWS, SETTINGS
from tinygrad_gpt.backend import UnavailableDeviceError
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.kernels import default_num_threads
from tinygrad_gpt.kernels.limits import core_count

PACKAGES = ("numpy", "torch", "jax", "autograd", "transformers", "safetensors")
STEPS = [name for name in CONTENDERS if name != "ours, checkpointing"]


def machine() -> str:
    """Where this was measured."""
    cpuinfo = Path("/proc/cpuinfo")  # on Linux
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES if util.find_spec(name))
    return (
        f"{time.strftime('%Y-%m-%d')}, {model}, {core_count()} cores, {default_num_threads()} threads; "
        f"Python {platform.python_version()}, {versions}."
    )


def steps(setting_name: str, names: Sequence[str], rounds: int) -> str:
    """A table of training steps."""
    setting = SETTINGS[setting_name]
    return f"{setting.title}.\n\n{training.table(setting, training.run(setting_name, names, rounds))}"


def context(rounds: int) -> str:
    """The cost of longer rows at equal tokens."""
    names, lengths = ("ours", "PyTorch eager"), (128, 256, 512, 1024)
    found = {length: training.run(f"context-{length}", names, rounds) for length in lengths}
    lines = ["| ms per step of 1,024 tokens, rows of | " + " | ".join(map(str, lengths)) + " | growth |"]
    lines.append("|---" * (2 + len(lengths)) + "|")
    for i, name in enumerate(c.name for c in found[128]):
        medians = [found[length][i].median for length in lengths]
        cells = " | ".join(f"{1000 * t:,.0f}" for t in medians)
        lines.append(f"| {name} | {cells} | {medians[-1] / medians[0]:.2f} |")
    return "\n".join(lines)


def rows(rounds: int) -> str:
    """A step of one long row: time and peak memory."""
    lines: list[str] = []
    for length in LONG_ROWS:
        ours, *theirs = training.run(f"row-{length}", ("ours", "PyTorch eager"), rounds)
        head, cells = ["one row of"], [f"{length:,}"]
        for c in (ours, *theirs):
            head += [f"{c.name}, ms", "peak"]
            cells += [f"{1000 * c.median:,.0f}", f"{c.peak / 1e9:.2f} GB"]
        for c in theirs:
            head += ["ours / this: time", "peak"]
            cells += [f"{ours.median / c.median:.2f}", f"{ours.peak / c.peak:.2f}"]
        lines = lines or ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines.append("| " + " | ".join(cells) + " |")
    return "4 layers, width 256, 4 heads, vocabulary 5,064, no dropout.\n\n" + "\n".join(lines)


def imports(rounds: int) -> str:
    """Seconds from the start of Python to the package's being there."""
    lines = ["| | ms |", "|---|---|"]
    for package in ("numpy", "tinygrad_gpt", "torch", "jax"):
        if util.find_spec(package) is None:
            continue
        times = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {package}"], check=True)
            times.append(time.perf_counter() - started)
        lines.append(f"| import {package} | {1000 * statistics.median(times[1:]):,.0f} |")
    return "\n".join(lines)


SECTIONS: dict[str, tuple[str, Callable[[int], str]]] = {
    "book": ("A training step of GPT-2 124M", lambda rounds: steps("book", STEPS, rounds)),
    "small": ("A training step of a small model", lambda rounds: steps("small", STEPS, rounds)),
    "memory": (
        "Activation checkpointing",
        lambda rounds: steps("context-1024", ("ours", "ours, checkpointing", "PyTorch eager"), rounds),
    ),
    "context": ("Longer rows", context),
    "rows": ("One long row", rows),
    "kernels": ("Each kernel", lambda rounds: kernels.run()),
    "generation": ("Generation", lambda rounds: generation.run()),
    "sampling": ("Sampling", lambda rounds: sampling.run()),
    "saving": ("Saving and loading", lambda rounds: saving.run()),
    "imports": ("Importing", imports),
}


def main() -> None:
    options = parsed()
    try:
        print(machine() if options.device == "cpu" else page.machine(), flush=True)
    except UnavailableDeviceError as error:
        sys.exit(f"python -m benchmarks: {error}")
    for name in options.sections:
        if options.device == "cpu":
            title, section = SECTIONS[name]
            table = functools.partial(section, options.rounds)
        else:
            title, on_gpu = page.SECTIONS[name]
            table = functools.partial(on_gpu, options.rounds, options.batch_sizes)
        print(f"\n## {title}\n", flush=True)
        print(table(), flush=True)


def parsed() -> argparse.Namespace:
    """What is asked for; all sections of the device if none is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our speed beside others'.")
    parser.add_argument(
        "sections",
        nargs="*",
        help=f"all, or some of {', '.join(SECTIONS)}; on a GPU of {', '.join(page.SECTIONS)}",
        metavar="SECTION",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="turns of each contender (default: 5); on a CPU kernels, generation, sampling and saving have their own",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        choices=BATCH_SIZES,
        default=BATCH_SIZES,
        help="rows of a batch in training and memory on a GPU (default: all)",
    )
    options = parser.parse_args()
    sections = SECTIONS if options.device == "cpu" else page.SECTIONS
    if unknown := [name for name in options.sections if name not in sections]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(sections)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    if options.device == "cuda":
        options.sections = [name for name in sections if name in options.sections]  # in their order
    options.sections = options.sections or list(sections)
    return options


if __name__ == "__main__":
    quiet_pipe()
    main()
