"""What `tinygrad-gpt train` prints: a header, a row per evaluation, a summary."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_gpt.cli.machine import peak_memory
from tinygrad_gpt.cli.options import shortened
from tinygrad_gpt.cli.prepare import Plan, memory_of
from tinygrad_gpt.cli.run_folder import RESULTS
from tinygrad_gpt.cli.terminal import human
from tinygrad_gpt.cli.train_options import Train

ROW = "{:>7} {:>7} {:>12} {:>11} {:>9} {:>11} {:>9}"
HEADINGS = ROW.format("epoch", "step", "tokens seen", "train loss", "val loss", "perplexity", "tokens/s")
EXAMPLE_TOKENS = 6


def header(options: Train, plan: Plan) -> str:
    """What is about to happen, in numbers."""
    config, corpus = plan.model.config, plan.corpus
    vocabulary = f"{config.vocab_size:,} tokens ({corpus.tokenizer.name}, {corpus.tokenizer.fingerprint[:12]})"
    shape = f"{config.n_layers} layers, {config.n_heads} heads, width {config.emb_dim}, context {config.context_length}"
    memory = human(memory_of(config, options), "B")
    lines = {
        "text": f"{corpus.title}: {corpus.size}",
        "tokens": f"{len(corpus.tokens):,}: {len(plan.train_tokens):,} to train, {len(plan.val_tokens):,} to validate",
        "vocabulary": vocabulary,
        "model": f"{human(plan.model.n_parameters)} parameters: {shape}",
        "training": f"{plan.steps:,} steps of {options.training.batch_size} x {config.context_length} tokens, "
        f"{plan.steps_per_epoch:,} steps an epoch",
        "memory": f"up to about {memory} in arrays, on {plan.model.device}",
        **first_example(plan),
    }
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items()) + "\n"


def first_example(plan: Plan) -> dict[str, str]:
    """The beginning of the first row that is trained on: tokens, and what should follow each."""
    ids, targets = plan.batches.batch(1)

    def pieces(row: Any) -> str:
        return " ".join(repr(plan.corpus.tokenizer.decode([id])) for id in row[:EXAMPLE_TOKENS].tolist())

    return {"first input": pieces(ids[0]), "its targets": pieces(targets[0])}


def table_row(record: Mapping[str, Any]) -> str:
    """One evaluation."""
    speed = record["tokens_per_second"]
    return ROW.format(
        f"{record['epoch']:.2f}",
        f"{record['step']:,}",
        f"{record['tokens_seen']:,}",
        decimals(record["train_loss"]),
        decimals(record["val_loss"]),
        perplexity_text(record["perplexity"]),
        "-" if speed is None else f"{speed:,.0f}",
    )


def summary(plan: Plan, folder: Path, records: list[dict[str, Any]], seconds: float) -> str:
    """What the run has reached, where it is, and what to do with it."""
    first, last = records[0], records[-1]
    done = f"{last['step']:,} steps, {last['tokens_seen']:,} tokens, {duration(seconds)}"
    vocabulary = f"{plan.model.config.vocab_size:,}"
    peak = peak_memory()
    files = " ".join(name for name in RESULTS if (folder / name).exists())
    lines = {
        "done": done if last["step"] == plan.steps else f"{done}, stopped before step {plan.steps:,}",
        "train loss": f"{decimals(first['train_loss'])} -> {decimals(last['train_loss'])}",
        "val loss": f"{decimals(first['val_loss'])} -> {decimals(last['val_loss'])}",
        "perplexity": f"{perplexity_text(first['perplexity'])} -> {perplexity_text(last['perplexity'])}, "
        f"as if choosing among that many of the vocabulary's {vocabulary} tokens",
        "memory": "" if peak is None else f"{human(peak, 'B')} at most, Python and its libraries included",
        "files": f"in {folder}: {files}",
        "go on with": generate_command(plan, folder),
    }
    return "\n" + "\n".join(f"{name:<11} {value}" for name, value in lines.items() if value)


def generate_command(plan: Plan, folder: Path) -> str:
    """A command that continues the samples' prompt."""
    prompt = plan.corpus.tokenizer.decode(plan.prompt)
    positional, flags = shlex.join([str(folder), prompt]), "--temperature 0.8 --top-k 40"
    if prompt.startswith("-") or str(folder).startswith("-"):
        return f"tinygrad-gpt generate {flags} -- {positional}"  # what follows -- is never a flag
    return f"tinygrad-gpt generate {positional} {flags}"


def plot_title(plan: Plan) -> str:
    """The title of the plot."""
    return f"{human(plan.model.n_parameters)} parameters on {shortened(plan.corpus.title)}"


def decimals(loss: float | None) -> str:
    """A loss with the digits that mean something."""
    return "-" if loss is None else f"{loss:.3f}"


def perplexity_text(perplexity: float | None) -> str:
    """A perplexity with the digits that mean something, in powers of ten where it is huge."""
    if perplexity is None:
        return "-"
    if perplexity < 10:
        return f"{perplexity:.2f}"
    return f"{perplexity:,.1f}" if perplexity < 10**7 else f"{perplexity:.1e}"


def duration(seconds: float) -> str:
    """Seconds in words: 0.4 s, 83 s, 12 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
