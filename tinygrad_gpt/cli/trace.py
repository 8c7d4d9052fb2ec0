"""tinygrad-gpt trace: one training step, op by op."""

import io
import json
import re
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checkpoints.safetensors_file import write
from tinygrad_gpt.cli.errors import UserError, user_input
from tinygrad_gpt.cli.options import HIDE_DEFAULT, Range
from tinygrad_gpt.cli.output import check_outputs, write_output
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.process_limits import Threads, process_limits
from tinygrad_gpt.cli.run_argument import WhichCheckpoint, load_named_run
from tinygrad_gpt.cli.script import record_script
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.kernels.limits import memory_limit_bytes
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.nn.cost import training_bytes
from tinygrad_gpt.optim import grad_norm
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.study.entries.entry import entry_text, is_inside
from tinygrad_gpt.study.trace.html_page import BatchText, page
from tinygrad_gpt.study.trace.recorder import Trace as Recording
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.serialize import arrays_of_trace, as_dict
from tinygrad_gpt.study.trace.spot_checks import Check, Index, spot_checks
from tinygrad_gpt.study.trace.terminal import cards, summary
from tinygrad_gpt.study.trace.why import Why
from tinygrad_gpt.tape import Tensor, no_grad
from tinygrad_gpt.text import Tokenizer, build_tokenizer

_HAMLET = (
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer The slings and arrows of "
    "outrageous fortune, Or to take arms against a sea of troubles And by opposing end them."
)
_MAX_VOCABULARY = 2000  # tokens whose texts are all in the page
_ENTRY = re.compile(r"(.+)\[([\d, ]+)\]")
_NOTE = (
    "Beside each gradient: (L(x + h) - L(x - h)) / 2h, with the loss L in float64 and h = 1e-6. "
    "apart: their difference, relative to the largest gradient of the array."
)
MIN_COLUMNS, MAX_COLUMNS = 80, 120  # fewer would cut numbers; longer lines are hard to read


@dataclass(frozen=True)
class Model:
    """The shape of the new model. A run or a script has its own model."""

    n_layers: Annotated[int | None, Range(1, 100), HIDE_DEFAULT] = None
    """Transformer blocks. Default: 2."""
    emb_dim: Annotated[int | None, Range(1, 2**14), HIDE_DEFAULT] = None
    """Width of a token's vector. Must be a multiple of --n-heads. Default: 32."""
    n_heads: Annotated[int | None, Range(1, 2**14), HIDE_DEFAULT] = None
    """Attention heads. Default: 4."""
    drop_rate: Annotated[float | None, Range(0, 1, below_high=True), HIDE_DEFAULT] = None
    """Dropout: share of units set to zero at random, from 0 to below 1. Default: 0."""
    tie_weights: Annotated[bool | None, HIDE_DEFAULT] = None
    """Use the token embedding as the output head too; its gradient is then the sum of two terms. Default: no."""
    seed: Annotated[int, Range(0, 2**64, below_high=True)] = 123
    """Seed of the weights and of dropout. From 0 to 2**64 - 1."""


@dataclass(frozen=True)
class Batch:
    """The text of the training step."""

    text: Annotated[str, arg(metavar="TEXT", help_behavior_hint="")] = _HAMLET
    """What to train on. Default: a line of Hamlet."""
    context_length: Annotated[int | None, Range(1, 2**12), HIDE_DEFAULT] = None
    """Tokens in a row. Default: 16, or the context length of the run's model if that is less."""
    batch_size: Annotated[int, Range(1, 256)] = 2
    """Rows in the batch."""


@dataclass(frozen=True)
class Trace:
    """Run one training step, and show every op of the forward pass and every vjp of the backward pass."""

    target: Annotated[str | None, Positional, arg(metavar="[RUN | SCRIPT.py]", help_behavior_hint="")] = None
    """Folder of a run, or a Python file to run and record. Default: a small new model."""
    checkpoint: WhichCheckpoint = None
    model: Model = field(default_factory=Model)
    batch: Batch = field(default_factory=Batch)
    step: bool = False
    """Show one op at a time: Enter for the next, q to quit. Without a terminal, all at once."""
    json: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the whole recording to this file, as JSON."""
    arrays: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write every array and every gradient to this file, in the safetensors format; --json names and describes them."""
    html: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write an HTML page to this file; it works without a network."""
    full: bool = False
    """For --html: every number of every array, whatever the file's size. Default: the arrays that fit in about 3 MB."""
    checks: Annotated[int, Range(0, 100)] = 3
    """For --json and --html: how many gradients of each array to compare with finite differences of the loss."""
    check: Annotated[tuple[str, ...], arg(metavar="NAME[I,J] ...", help_behavior_hint="")] = ()
    """More gradients to compare, by the name of a parameter or an op's output: "wte.weight[3,5]"."""
    why: Annotated[tuple[str, ...], arg(metavar="NAME[I,J] ...", help_behavior_hint="")] = ()
    """Explain the value of an entry and of its gradient: show the terms that add up to it."""
    kernels: bool = False
    """Compute with the fast kernels, as train does. Default: with the plain ops, whose formulas and names are shown."""
    activation_checkpointing: bool = False
    """Save only the input of each block, and compute the rest again in the backward pass, to see the effect."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute: on the CPU, on an NVIDIA GPU (cuda), or on a GPU if there is one (auto)."""
    threads: Threads = None


@dataclass(frozen=True)
class Step:
    """A model and the batch of the training step to trace."""

    model: GPT
    ids: Array
    targets: Array
    seed: int
    vocabulary: dict[int, str]  # the tokens' texts by id: all, or those of a large vocabulary that the step has

    @property
    def tokens(self) -> list[list[str]]:
        """The texts of ids, (B, T)."""
        return [[self.vocabulary[int(token)] for token in row] for row in self.ids]

    def loss(self, model: GPT) -> Tensor:
        """The loss that a model has for the batch."""
        return model.loss(self.ids, self.targets, dropout=Dropout(self.seed, 1))

    def twin(self) -> GPT:
        """A copy of the model in float64."""
        weights = {name: tensor.data for name, tensor in self.model.parameters().items()}
        checkpointing = self.model.activation_checkpointing
        return GPT(
            self.model.config,
            device=self.model.device,
            dtype="float64",
            weights=weights,
            activation_checkpointing=checkpointing,
        )


def main(argv: Sequence[str]) -> int:
    """Parse, run the step, show it; the exit code."""
    options = parse(Trace, argv, "tinygrad-gpt trace")
    chosen = dict(_entries("--check", options.check))
    explained = list(_entries("--why", options.why))
    if options.checkpoint is not None and (options.target is None or options.target.endswith(".py")):
        raise UserError(f"--checkpoint {options.checkpoint} needs RUN, whose checkpoint it is")
    if options.batch.text == "":
        raise UserError("--text must not be empty; leave it out for a text of its own")
    check_outputs(json=options.json, arrays=options.arrays, html=options.html)
    with process_limits(options.threads), nullcontext() if options.kernels else reference_only():
        if options.target is not None and options.target.endswith(".py"):
            recording, facts, check = _trace_script(options)
            tokens = text_of_batch = None
        else:
            step = _prepare_step(options)
            recording, facts, check = _trace_model(options, step)
            tokens, text_of_batch = step.tokens, BatchText(step.ids, step.targets, step.vocabulary)
        answers = [_why(recording, name, index, tokens) for name, indices in explained for index in indices]
        checks: list[Check] = []
        if chosen or ((options.json or options.html) and options.checks):
            checks = check(recording, chosen)
    if options.html is not None:
        write_output(
            options.html,
            page(
                recording,
                title=_title(options),
                facts=facts,
                checks=checks,
                note=_NOTE if checks else "",
                text=text_of_batch,
                full=options.full,
            ),
        )
    if options.json is not None:
        content = as_dict(recording, checks) | {"arrays": options.arrays}  # the file that has the numbers, or null
        write_output(options.json, json.dumps(content, allow_nan=False, indent=1))
    if options.arrays is not None:
        file = io.BytesIO()
        write(file, arrays_of_trace(recording), {})
        write_output(options.arrays, file.getvalue())
    width = min(max(shutil.get_terminal_size().columns, MIN_COLUMNS), MAX_COLUMNS)
    if options.step:
        _traverse_tape(recording, width)
    elif not (options.json or options.html or options.arrays or explained):
        print(recording.tree(width))
    for answer in answers:
        print(f"{answer}\n")
    _show_checks(recording, [c for c in checks if c.index in chosen.get(recording.values[c.value].name, [])])
    return 0


CheckStep = Callable[[Recording, dict[str, list[Index]]], list[Check]]


def _trace_model(options: Trace, step: Step) -> tuple[Recording, dict[str, str], CheckStep]:
    """Trace one step of a model; the recording, facts for its page, and how to check its gradients."""
    with no_grad():
        step.loss(step.model)  # a warm-up: work that is done only once must not count as an op's time
    with trace() as recording:
        step.loss(step.model).backward()

    def check(recording: Recording, chosen: dict[str, list[Index]]) -> list[Check]:
        _check_entries(recording, chosen)
        twin = step.twin()
        return spot_checks(
            recording, lambda: step.loss(twin), twin.parameters(), per_array=options.checks, chosen=chosen
        )

    config = step.model.config
    facts = {
        "model": f"{human_number(step.model.n_parameters)} parameters, {config.n_layers} layers, "
        f"{config.n_heads} heads, width {config.emb_dim}, vocabulary {config.vocab_size}",
        "batch": "{} x {} tokens".format(*step.ids.shape),
        "gradient norm": f"{grad_norm(step.model.parameters()):.4g}",
    }
    return recording, facts, check


def _trace_script(options: Trace) -> tuple[Recording, dict[str, str], CheckStep]:
    """Run a Python file as a program and record it."""
    if options.model != Model() or options.batch != Batch() or options.activation_checkpointing:
        raise UserError(f"{options.target} is run as it is: options of the model and the batch do not apply")
    if options.check:
        raise UserError("--check needs a step to run again; a script is run once")
    assert options.target is not None
    recording = record_script(options.target)
    return recording, {"script": options.target}, lambda recording, chosen: []


def _prepare_step(options: Trace) -> Step:
    """Make or load the model, and cut the text into a batch.  Raises UserError if they do not fit."""
    with user_input():
        model, tokenizer, tokens = _load_model(options) if options.target is not None else _new_model(options)
        length = options.batch.context_length or min(16, model.config.context_length)
        if length > model.config.context_length:
            raise UserError(
                f"--context-length must be at most {model.config.context_length}, the model's; got {length}"
            )
        needed = options.batch.batch_size * length + 1
        if len(tokens) < needed:
            raise UserError(
                f"--text has {len(tokens)} tokens; {options.batch.batch_size} rows of {length} and the token after "
                f"need {needed}: give more text, or a smaller --batch-size or --context-length"
            )
        shape = options.batch.batch_size, length
        ids, targets = (tokens[i : i + needed - 1].reshape(shape).astype(np.int64) for i in (0, 1))
    whole = tokenizer.vocab_size <= _MAX_VOCABULARY
    tokens = np.arange(tokenizer.vocab_size) if whole else np.union1d(ids, targets)
    vocabulary = {token: _label(tokenizer, token) for token in tokens.tolist()}
    return Step(model, ids, targets, options.model.seed, vocabulary)


def _new_model(options: Trace) -> tuple[GPT, Tokenizer, Array]:
    """A small model with new weights, and the text as tokens: its characters."""
    tokenizer: Tokenizer = build_tokenizer("chars", options.batch.text)
    m = options.model
    config = GPTConfig(
        vocab_size=tokenizer.vocab_size,
        context_length=options.batch.context_length or 16,
        emb_dim=m.emb_dim or 32,
        n_heads=m.n_heads or 4,
        n_layers=m.n_layers or 2,
        drop_rate=m.drop_rate or 0.0,
        tie_weights=bool(m.tie_weights),
    )
    _check_memory(config, options)
    checkpointing = options.activation_checkpointing
    model = GPT(config, seed=m.seed, device=options.device, activation_checkpointing=checkpointing)
    return model, tokenizer, tokenizer.encode(options.batch.text)


def _load_model(options: Trace) -> tuple[GPT, Tokenizer, Array]:
    """The model of a run, and the text in its tokens."""
    fixed = [name for name, value in vars(options.model).items() if name != "seed" and value is not None]
    if fixed:
        raise UserError(f"--{fixed[0].replace('_', '-')} does not apply to a trained model, whose shape is fixed")
    assert options.target is not None
    run = load_named_run(options.target, options.device, options.checkpoint)
    model, tokenizer = run.model, run.tokenizer
    length = options.batch.context_length or min(16, model.config.context_length)
    _check_memory(replace(model.config, context_length=length), options)
    model.activation_checkpointing = options.activation_checkpointing
    try:
        return model, tokenizer, tokenizer.encode(options.batch.text)
    except ValueError as error:
        if options.batch.text != _HAMLET:
            raise
        raise UserError(f"the model cannot read the default text: {error}; give a text of yours with --text") from error


def _check_memory(config: GPTConfig, options: Trace) -> None:
    """Raise UserError if memory cannot hold the step, its recording and a second model in float64."""
    needed, here = 3 * training_bytes(config, options.batch.batch_size), memory_limit_bytes()
    if options.device == "cpu" and here is not None and needed > here:
        raise UserError(
            f"the step takes about {human_number(needed, 'B')} of memory, this machine has {human_number(here, 'B')}: "
            "use a smaller model, --batch-size or --context-length"
        )


def _entries(flag: str, texts: Sequence[str]) -> Iterator[tuple[str, list[Index]]]:
    """Parse entries such as "wte.weight[3,5]": each name with all its indices.  For --why a name alone is a scalar."""
    found: dict[str, list[Index]] = defaultdict(list)
    for text in texts:
        match = _ENTRY.fullmatch(text)
        if match is None and flag == "--why" and "[" not in text:
            found[text].append(())
            continue
        try:
            index = tuple(int(part) for part in match[2].split(",")) if match else ()
        except ValueError:
            index = ()
        if not match or not index:
            raise UserError(f'{flag} must be NAME[I,J], such as "wte.weight[3,5]"; got {text!r}')
        found[match[1]].append(index)
    yield from found.items()


def _check_entries(recording: Recording, chosen: dict[str, list[Index]]) -> None:
    """Raise UserError if no array has the name, or an index is outside the array."""
    for name, indices in chosen.items():
        try:
            shape = recording[name].stats.shape
        except KeyError:
            raise _no_array("--check", recording, name) from None
        for index in indices:
            if not is_inside(index, shape):
                raise UserError(f"--check: {name} has shape {shape}; got {list(index)}")


def _why(recording: Recording, name: str, index: Index, tokens: list[list[str]] | None) -> Why:
    """The sums behind an entry.  Raises UserError if there is no such entry."""
    try:
        return recording.why(name, index, tokens)
    except KeyError:
        raise _no_array("--why", recording, name) from None
    except ValueError as error:
        raise UserError(f"--why: {error}") from error


def _label(tokenizer: Tokenizer, token: int) -> str:
    """A token's text; bytes that are not a whole character as escapes."""
    label = tokenizer.label(token)
    return label if isinstance(label, str) else ascii(label)[2:-1]


def _no_array(flag: str, recording: Recording, name: str) -> UserError:
    """The error for a name that no array of the step has."""
    names = ", ".join(value.name for value in recording.values[:3])
    return UserError(f"{flag}: no array is called {name!r}; names are {names}, ...")


def _title(options: Trace) -> str:
    """The title of the page."""
    return f"A training step of {Path(options.target).name}" if options.target else "A training step, op by op"


def _traverse_tape(recording: Recording, width: int) -> None:
    """Print every op and vjp; at a terminal wait for Enter after each."""
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    for text in cards(recording, width):
        print(text, flush=True)
        if asking:
            print("      Enter: next, q: quit ", end="", flush=True)
            answer = sys.stdin.readline()
            if not answer or answer.strip().lower() == "q":
                break
        print()
    print(textwrap.fill(summary(recording), width))


def _show_checks(recording: Recording, checks: list[Check]) -> None:
    """Print the spot checks that --check requested."""
    for check in checks:
        name = entry_text(recording.values[check.value].name, check.index)
        print(
            f"{name}: {check.analytic:.9g} analytic, {check.numeric:.9g} by differences, {check.difference:.1e} apart"
        )
