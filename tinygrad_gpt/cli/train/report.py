"""What `tinygrad-gpt train` prints: a header, a row per evaluation, a summary."""

import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_gpt.checkpoints import Checkpoints
from tinygrad_gpt.cli.process_limits import peak_memory
from tinygrad_gpt.cli.terminal import escape_controls, fold, human_number, shell_quote, shorten
from tinygrad_gpt.cli.train.budget import disk_needed, memory_needed
from tinygrad_gpt.cli.train.corpus import first_words
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.cli.train.resume import ResumedRun
from tinygrad_gpt.nn.cost import checkpoint_bytes
from tinygrad_gpt.runs.names import CHECKPOINTS, RESULTS
from tinygrad_gpt.sampling.chart import quote_visibly
from tinygrad_gpt.training.evaluate import layout

_ROW_FORMAT = "{:>7} {:>7} {:>12} {:>11} {:>9} {:>11} {:>9}"
HEADINGS = _ROW_FORMAT.format("epoch", "step", "tokens seen", "train loss", "val loss", "perplexity", "tokens/s")
_EXAMPLE_TOKENS = 6
_SAMPLE_WIDTH, _SAMPLE_INDENT = 80, " " * 7
_LONG_PROMPT = 60  # characters


@dataclass(frozen=True)
class Outcome:
    """The result of a run, for its summary."""

    step: int
    evaluations: list[dict[str, Any]]
    seconds: float
    n_skipped: int
    spike: str
    is_stopped: bool
    shares: dict[str, float]  # of this process's time, by what was done


def header(options: Train, plan: Plan, first_step: int = 0) -> str:
    """What the run will do, in numbers."""
    config, corpus = plan.model.config, plan.corpus
    vocabulary = f"{config.vocab_size:,} tokens ({corpus.tokenizer.name}, {corpus.tokenizer.fingerprint[:12]})"
    layers, heads = count_in_words(config.n_layers, "layer"), count_in_words(config.n_heads, "head")
    shape = f"{layers}, {heads}, width {config.emb_dim}, context {config.context_length}"
    decay_steps = int(plan.settings["decay_steps"])
    memory = human_number(memory_needed(config, options), "B")
    lines = {
        "text": f"{corpus.title}: {corpus.size}",
        "tokens": f"{len(corpus.tokens):,}: {len(plan.train_tokens):,} to train, {len(plan.val_tokens):,} to validate",
        "vocabulary": vocabulary,
        "model": f"{human_number(plan.model.n_parameters)} parameters: {shape}",
        "training": f"{count_in_words(plan.steps, 'step')} of {options.training.batch_size} x {config.context_length} "
        f"tokens, {count_in_words(plan.steps_per_epoch, 'step')} an epoch",
        "lr": f"down to {plan.schedule(decay_steps):g} at step {decay_steps:,}, where it stays"
        if decay_steps < plan.steps
        else "",
        "resumed": f"after step {first_step:,}" if first_step else "",
        "evaluation": _evaluation(plan),
        "memory": f"up to about {memory} in arrays, on {plan.model.device}",
        "disk": f"up to about {human_number(disk_needed(config, options.run.keep), 'B')}, a checkpoint is "
        f"{human_number(checkpoint_bytes(config), 'B')}",
        **first_example(plan),
    }
    return "\n".join(_wrap_line(f"{name:<11} {value}") for name, value in lines.items() if value) + "\n"


def _evaluation(plan: Plan) -> str:
    """How often the losses are measured, and over how many tokens of each part."""
    length = plan.batches.context_length
    parts = {"training": len(plan.train_tokens), "validation": len(plan.val_tokens)}
    scored = {n: layout(n, length, length, plan.eval_tokens).n_scored for n in parts.values() if n}
    of_each = [
        f"{'all' if scored[n] == n - 1 else f'{scored[n]:,} of'} {n:,} {part} tokens" for part, n in parts.items() if n
    ]
    every = "step" if plan.eval_every == 1 else f"{plan.eval_every:,} steps"
    spread = ", evenly spread" if any(scored[n] < n - 1 for n in scored) else ""
    return f"every {every}, on {' and '.join(of_each)}{spread}"


def first_example(plan: Plan) -> dict[str, str]:
    """The beginning of the first training row: tokens, and the token that should follow each.

    A token that is only part of a character is shown as bytes.
    """
    ids, targets = plan.batches.batch(1)

    def pieces(row: Any) -> str:
        return " ".join(quote_visibly(plan.corpus.tokenizer.label(id)) for id in row[:_EXAMPLE_TOKENS].tolist())

    return {"first input": pieces(ids[0]), "its targets": pieces(targets[0])}


def table_row(record: Mapping[str, Any]) -> str:
    """One evaluation."""
    speed = record["tokens_per_second"]
    return _ROW_FORMAT.format(
        f"{record['epoch']:.2f}",
        f"{record['step']:,}",
        f"{record['tokens_seen']:,}",
        _format_loss(record["train_loss"]),
        _format_loss(record["val_loss"]),
        _perplexity_text(record["perplexity"]),
        "-" if speed is None else f"{speed:,.0f}",
    )


def sample_paragraph(text: str) -> str:
    """A sample as a paragraph below the table's row, without anything that a terminal would take for a command."""
    words = escape_controls(" ".join(text.split()))
    return textwrap.indent(fold(words, _SAMPLE_WIDTH - len(_SAMPLE_INDENT)), _SAMPLE_INDENT)


def summary(plan: Plan, folder: Path, outcome: Outcome) -> str:
    """What the run has reached, where its files are, and what to do with them."""
    tokens = f"{plan.tokens_seen(outcome.step):,} tokens"
    steps = (
        f"after {outcome.step:,} of {plan.steps:,} steps"
        if outcome.is_stopped
        else count_in_words(outcome.step, "step")
    )
    done = f"{steps}, {tokens}, {duration_in_words(outcome.seconds)}"
    peak = peak_memory()
    files = " ".join(name for name in RESULTS if (folder / name).exists())
    lowest = _lowest_before(outcome.evaluations)
    kept = lowest["step"] if lowest is not None and _model_kept_as(folder, lowest) else None
    n_checkpoints = len(Checkpoints(folder / CHECKPOINTS).paths())
    lines = {
        "stopped" if outcome.is_stopped else "done": done,
        "skipped": count_in_words(outcome.n_skipped, "step") + " that were not finite" if outcome.n_skipped else "",
        "spike": outcome.spike,
        **losses_in_words(plan, folder, outcome.evaluations, outcome.step),
        "time": ", ".join(f"{name} {share:.0%}" for name, share in outcome.shares.items() if share >= 0.005),
        "memory": "" if peak is None else f"{human_number(peak, 'B')} at most, Python and its libraries included",
        "files": f"in {folder}: {files}, {count_in_words(n_checkpoints, 'checkpoint')}",
        "resume with": _resume_command(folder) if outcome.is_stopped else "",
        "go on with": generate_command(plan, folder) if outcome.step else "",
        "best so far": "" if kept is None else generate_command(plan, folder, kept),
    }
    return "\n" + "\n".join(_wrap_line(f"{name:<11} {value}") for name, value in lines.items() if value)


def _wrap_line(line: str) -> str:
    """A line of the header or the summary, folded to the terminal.  Commands to copy, and tokens, stay whole."""
    if line.startswith(("resume with", "go on with", "best so far", "first input", "its targets")):
        return line
    width = max(60, min(120, shutil.get_terminal_size().columns))
    return textwrap.fill(line, width, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False)


def losses_in_words(plan: Plan, folder: Path, evaluations: list[dict[str, Any]], step: int) -> dict[str, str]:
    """How the losses changed until this step, and where the validation loss was lowest."""
    if not evaluations:
        return {}
    first, last = evaluations[0] if len(evaluations) > 1 else None, evaluations[-1]
    scored = [record for record in evaluations if record["val_loss"] is not None]
    lowest = _lowest_before(evaluations)
    when = f", at step {last['step']:,}" if last["step"] < step else ""
    lines = {
        "train loss": _first_to_last(first, last, "train_loss", _format_loss) + when,
        "val loss": _first_to_last(first, last, "val_loss", _format_loss) + when if scored else "",
    }
    if lowest is not None:
        lines["lowest"] = (
            f"{_format_loss(lowest['val_loss'])} at step {lowest['step']:,}{_model_kept_as(folder, lowest)}"
        )
        if _has_overfitted(lowest, last):
            lines["overfitting"] = "since then the training loss fell and the validation loss rose: try fewer --epochs"
    vocab_size = plan.model.config.vocab_size
    among = f"as if choosing among that many of the vocabulary's {vocab_size:,} tokens"
    if (last["perplexity"] or 0) > vocab_size:
        among = f"worse than guessing evenly among the vocabulary's {vocab_size:,} tokens"
    lines["perplexity"] = f"{_first_to_last(first, last, 'perplexity', _perplexity_text)}, {among}"
    return lines


def _lowest_before(evaluations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The evaluation with the lowest validation loss, if the last one is higher in the digits that are shown."""
    scored = [record for record in evaluations if record["val_loss"] is not None]
    lowest = min(scored, key=lambda record: float(record["val_loss"]), default=None)
    if lowest is None or lowest["step"] == evaluations[-1]["step"]:
        return None
    return lowest if _format_loss(lowest["val_loss"]) != _format_loss(evaluations[-1]["val_loss"]) else None


def _model_kept_as(folder: Path, evaluation: Mapping[str, Any]) -> str:
    """Where the model of that evaluation is saved, if it still is."""
    path = Checkpoints(folder / CHECKPOINTS).path_of(evaluation["step"])
    return f", kept as {path.relative_to(folder)}" if path.exists() else ""


def _has_overfitted(lowest: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether more training improved only the training loss.  A rise of the validation loss below 1% does not count."""
    if last["val_loss"] is None:  # it was not finite
        return False
    worse = float(last["val_loss"]) > 1.01 * float(lowest["val_loss"])
    return worse and last["train_loss"] is not None and last["train_loss"] < lowest["train_loss"]


def _first_to_last(
    first: Mapping[str, Any] | None, last: Mapping[str, Any], name: str, text: Callable[[float | None], str]
) -> str:
    """A number at the first evaluation and at the last; one number if there is one evaluation."""
    return text(last[name]) if first is None else f"{text(first[name])} -> {text(last[name])}"


def nothing_to_resume(folder: Path, state: ResumedRun) -> str:
    """What to say if the run is complete."""
    step = state.checkpoint.step
    return (
        f"the run in {folder} is complete: {count_in_words(step, 'step')} of {step:,}; nothing to resume "
        "(more --epochs or --steps would continue it)"
    )


def _resume_command(folder: Path) -> str:
    """The command that resumes a run."""
    return f"tinygrad-gpt train --resume{'=' if str(folder).startswith('-') else ' '}{shell_quote(str(folder))}"


def count_in_words(n: int, thing: str) -> str:
    """A number of things: 1 step, 2,000 steps."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def generate_command(plan: Plan, folder: Path, step: int | None = None) -> str:
    """A command that continues the samples' prompt with the model, or with its checkpoint of a step."""
    prompt = plan.corpus.tokenizer.decode(plan.prompt)
    if len(prompt) > _LONG_PROMPT:
        prompt = first_words(prompt) or prompt[:_LONG_PROMPT]
    positional, flags = f"{shell_quote(str(folder))} {shell_quote(prompt)}", "--temperature 0.8 --top-k 40"
    flags = flags if step is None else f"--checkpoint {step} {flags}"
    if prompt.startswith("-") or str(folder).startswith("-"):
        return f"tinygrad-gpt generate {flags} -- {positional}"  # nothing after -- is a flag
    return f"tinygrad-gpt generate {positional} {flags}"


def plot_title(plan: Plan) -> str:
    """The title of the plot."""
    return f"{human_number(plan.model.n_parameters)} parameters on {shorten(plan.corpus.title)}"


def _format_loss(loss: float | None) -> str:
    """A loss with its significant digits; a huge one with a power of ten."""
    if loss is None:
        return "-"
    return f"{loss:.3f}" if loss < 10**5 else f"{loss:.2e}"


def _perplexity_text(perplexity: float | None) -> str:
    """A perplexity with its significant digits; a huge one with a power of ten."""
    if perplexity is None:
        return "-"
    if perplexity < 10:
        return f"{perplexity:.2f}"
    return f"{perplexity:,.1f}" if perplexity < 10**7 else f"{perplexity:.1e}"


def duration_in_words(seconds: float) -> str:
    """Seconds in words: 0.4 s, 83 s, 12 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
