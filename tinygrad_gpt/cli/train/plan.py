"""From options to everything that a training run needs: text, tokens, model, optimizer.  All bad input is met here."""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from tinygrad_gpt.backend import Array, resolve_device
from tinygrad_gpt.checkpoints import Checkpoint
from tinygrad_gpt.cli.errors import UserError, require_package, user_input
from tinygrad_gpt.cli.process_limits import memory_here
from tinygrad_gpt.cli.reading import Reading, note_marks, progress
from tinygrad_gpt.cli.terminal import busy_line, human_number
from tinygrad_gpt.cli.train.fingerprint import check_same, check_steps, settings_of
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.nn import GPT, PRESETS, GPTConfig, count_parameters
from tinygrad_gpt.nn.cost import checkpoint_bytes, training_bytes
from tinygrad_gpt.optim import AdamW, all_decay, cosine_schedule, matrices_decay
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.names import TOKENIZER, TOKENS
from tinygrad_gpt.text import (
    END_OF_TEXT,
    STDIN,
    Batches,
    StreamDecoder,
    Tokenizer,
    build_and_encode,
    build_tokenizer,
    check_length,
    load_tokenizer,
    open_tokens,
    reference_manual,
    split_tokens,
    write_tokens,
)

_MANUAL_OPENING = "If a class"
_LONGEST_OPENING = 24  # characters
_OPENING_TOKENS = 1000  # to look for it in at a time
_MEGABYTE = 10**6
_FLOAT32 = 4  # bytes
EVAL_TOKENS, EVALUATING = 8192, 0.2  # by default: tokens at most, and share of the work at most


@dataclass(frozen=True)
class Corpus:
    """A text in tokens."""

    title: str
    size: str  # in words
    opening: str  # the words that samples continue, unless told otherwise
    tokenizer: Tokenizer
    tokens: Array


@dataclass(frozen=True)
class Plan:
    """A run, ready to start."""

    corpus: Corpus
    train_tokens: Array
    val_tokens: Array
    batches: Batches
    model: GPT
    optimizer: AdamW
    schedule: Callable[[int], float]
    steps: int
    eval_every: int
    eval_tokens: int  # at most, of each part
    checkpoint_every: int
    prompt: Array  # ids that the samples continue
    settings: dict[str, str]  # what the training follows from, besides the model's configuration

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every chunk is seen once."""
        return self.batches.steps_per_epoch

    def tokens_seen(self, step: int) -> int:
        """Tokens trained on after this many steps."""
        return tokens_seen(self.batches, step)


def tokens_seen(batches: Batches, step: int) -> int:
    """Tokens trained on after this many steps."""
    epochs, rest = divmod(step, batches.steps_per_epoch)
    return epochs * batches.tokens_per_epoch + rest * batches.batch_size * batches.context_length


def affordable_tokens(batches: Batches, steps: int, every: int, n_parts: int) -> int:
    """How many tokens of each part an evaluation scores, so that all evaluations are EVALUATING of the run's work.

    At most EVAL_TOKENS, at least a window.  A token that is scored costs a third of one that is trained on.
    """
    n_evaluations = 1 + -(-steps // every)
    work = EVALUATING / (1 - EVALUATING) * 3 * tokens_seen(batches, steps)
    n_windows = int(work / (n_evaluations * n_parts)) // batches.context_length
    return max(batches.context_length, min(EVAL_TOKENS, n_windows * batches.context_length))


def prepare(
    options: Train, folder: RunFolder, checkpoint: Checkpoint | None = None, eval_tokens: int | None = None
) -> Plan:
    """Everything the run needs, from a checkpoint or from the beginning.

    eval_tokens is how many tokens the run's evaluations have scored so far; unless the options say another number,
    those to come score the same, however many steps are added.

    Raises UserError for whatever cannot be.
    """
    with user_input():
        device = resolve_device(options.run.device)
    if device == "cpu" and options.run.precision != "float32":
        raise UserError(f"--precision {options.run.precision} needs a GPU (--device cuda); a CPU computes in float32")
    if options.run.precision == "bfloat16":
        require_package("ml_dtypes")
    model_config(
        options, vocab_size=1
    )  # heads and width are wrong whatever the vocabulary: say so before reading the text
    corpus = _read_corpus(options, folder)
    config = model_config(options, corpus.tokenizer.vocab_size)
    batches, train_tokens, val_tokens = _split_corpus(options, config, corpus)
    steps = options.training.steps or options.training.epochs * batches.steps_per_epoch
    if checkpoint is not None:
        check_steps(options, steps, int(checkpoint.metadata["steps"]))
    schedule = _learning_rates(options, steps)
    prompt = _sample_prompt(options, corpus)
    _check_memory(config, options, device)
    settings = settings_of(options, corpus.tokenizer, corpus.tokens, batches, steps, schedule)
    t = options.training
    if checkpoint is None:
        with busy_line(f"drawing the first weights of {human_number(count_parameters(config))} parameters"):
            model = GPT(
                config,
                seed=t.seed,
                device=device,
                init=options.model.init,
                activation_checkpointing=t.activation_checkpointing,
            )
    else:
        check_same(options, config, settings, checkpoint)
        model = checkpoint.model
        model.activation_checkpointing = t.activation_checkpointing
    eval_every = options.report.eval_every or max(1, steps // 20)
    decays = matrices_decay if t.weight_decay_on == "matrices" else all_decay
    optimizer = AdamW(model.parameters(), t.lr, (t.beta1, t.beta2), t.eps, t.weight_decay, decays=decays)
    if checkpoint is not None:
        with user_input():
            checkpoint.resume(optimizer)
    return Plan(
        corpus=corpus,
        train_tokens=train_tokens,
        val_tokens=val_tokens,
        batches=batches,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        steps=steps,
        eval_every=eval_every,
        eval_tokens=options.report.eval_tokens
        or eval_tokens
        or affordable_tokens(batches, steps, eval_every, 2 if len(val_tokens) else 1),
        checkpoint_every=options.run.checkpoint_every or max(1, steps // 20),
        prompt=prompt,
        settings=settings,
    )


def model_config(options: Train, vocab_size: int) -> GPTConfig:
    """The preset, with what the options change."""
    fields = PRESETS[options.model.preset].as_dict() | {"vocab_size": vocab_size}
    fields |= {name: value for name, value in vars(options.model).items() if name in fields and value is not None}
    with user_input():
        return GPTConfig(**fields)  # type: ignore[arg-type]


def _read_corpus(options: Train, folder: RunFolder) -> Corpus:
    """The text in tokens; a text larger than --max-text-mb through a file in the run folder."""
    text_options = options.text
    if folder.resume and folder.file(TOKENS[0]).exists():
        with user_input():
            tokenizer = load_tokenizer(folder.file(TOKENIZER))
            tokens = open_tokens(folder.file(TOKENS[0]), tokenizer)
            check_ids(tokens, tokenizer.vocab_size, folder.file(TOKENS[0]))
        return Corpus(_title_of_text(options), TOKENS[0], _opening_of(tokens, tokenizer), tokenizer, tokens)
    if text_options.end_of_text and text_options.tokenizer in ("bytes", "chars"):
        raise UserError(f"--end-of-text needs --tokenizer compact or gpt2; {text_options.tokenizer} has no such token")
    joint = END_OF_TEXT if text_options.end_of_text else "\n"
    bar = options.report.progress
    reading = Reading(options.texts, text_options.encoding, text_options.errors, joint, bar=bar)
    limit = text_options.max_text_mb * _MEGABYTE
    with user_input():
        texts = iter(reading if options.texts else [reference_manual()])
        held: deque[str] = deque()
        while max(reading.known_bytes, reading.n_bytes) <= limit:
            if (text := next(texts, None)) is None:
                corpus = _corpus_in_memory(options, reading, list(held))
                break
            held.append(text)
        else:
            corpus = _large_corpus(options, reading, chain(_pop_all(held), texts), folder)
    if not text_options.end_of_text:
        has_it = corpus.tokenizer.name in ("compact", "gpt2")
        also = "" if has_it else " (with --tokenizer compact or gpt2)"
        note_marks(reading.n_marks, f"--end-of-text makes it the token{also}")
    return corpus


def _corpus_in_memory(options: Train, reading: Reading, texts: list[str]) -> Corpus:
    """The tokens of a text that has been read."""
    kind = options.text.tokenizer or ("gpt2" if options.model.preset.startswith("gpt2-") else "compact")
    n_characters = sum(map(len, texts))
    with progress("tokenising", n_characters, " characters", shown=reading.has_bar) as bar:
        end_of_text = options.text.end_of_text
        tokenizer, tokens = build_and_encode(kind, texts, end_of_text=end_of_text, advance=bar.update)
    opening = _opening_of(tokens, tokenizer) if options.texts else _MANUAL_OPENING
    return Corpus(_title_of_text(options), f"{n_characters:,} characters", opening, tokenizer, tokens)


def _large_corpus(options: Train, reading: Reading, texts: Iterable[str], folder: RunFolder) -> Corpus:
    """The tokens of a text that memory does not hold, in a file of the run folder."""
    kind = options.text.tokenizer or "gpt2"
    if kind not in ("gpt2", "bytes"):
        size = human_number(max(reading.known_bytes, reading.n_bytes), "B") + (
            " or more" if None in reading.sizes else ""
        )
        raise UserError(
            f"--tokenizer {kind} takes its vocabulary from the whole text, and {size} are more than "
            f"--max-text-mb {options.text.max_text_mb:g}: use gpt2 or bytes, or a larger --max-text-mb"
        )
    tokenizer = build_tokenizer(kind, end_of_text=options.text.end_of_text)
    tokens = write_tokens(tokenizer, texts, folder.tokens_file())
    return Corpus(
        _title_of_text(options), f"{reading.n_bytes:,} bytes", _opening_of(tokens, tokenizer), tokenizer, tokens
    )


def _pop_all(texts: deque[str]) -> Iterator[str]:
    """The texts, each let go of as it is taken."""
    while texts:
        yield texts.popleft()


def check_ids(tokens: Array, vocab_size: int, path: Path) -> None:
    """Raise ValueError, saying where, unless all ids of a file are the vocabulary's."""
    for start in range(0, len(tokens), _MEGABYTE):
        wrong = np.flatnonzero(tokens[start : start + _MEGABYTE] >= vocab_size)
        if len(wrong):
            place = start + int(wrong[0])
            raise ValueError(
                f"{str(path)!r}: id {tokens[place]} at place {place:,} is none of the {vocab_size:,} there are"
            )


def _opening_of(tokens: Array, tokenizer: Tokenizer) -> str:
    """The first words of a text in tokens; "" if there are none."""
    decoder, text = StreamDecoder(tokenizer), ""
    for start in range(0, len(tokens), _OPENING_TOKENS):
        text += "".join(map(decoder.push, tokens[start : start + _OPENING_TOKENS].tolist()))
        if tokenizer.end_of_text:
            text = text.replace(END_OF_TEXT, "\n")
        text = text.lstrip()
        if len(text) > 2 * _LONGEST_OPENING:
            break
    return first_words(text)


def _title_of_text(options: Train) -> str:
    """What the run is trained on, in words."""
    if options.texts:
        return _file_names(options.texts)
    return f"the reference manual of Python {sys.version_info.major}.{sys.version_info.minor}"


def _file_names(paths: Sequence[str]) -> str:
    """The texts' names, wherever they lie: they are the same when a run is resumed."""
    return ", ".join("standard input" if path == STDIN else Path(path).name for path in paths)


def run_name(options: Train) -> str:
    """The name for the run's folder: the first text's, without its suffix."""
    if not options.texts:
        return "manual"
    stem = "stdin" if options.texts[0] == STDIN else Path(options.texts[0]).stem
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in stem)[:60].strip(".-") or "text"


def _split_corpus(options: Train, config: GPTConfig, corpus: Corpus) -> tuple[Batches, Array, Array]:
    """The batches to train on, and the tokens of both parts of the text."""
    length, share = config.context_length, f"--val-fraction {options.text.val_fraction:g}"
    with user_input():
        train_tokens, val_tokens = parts = split_tokens(corpus.tokens, options.text.val_fraction)
        shortest = min(map(len, parts)) if options.text.val_fraction else None
        check_length(len(corpus.tokens), length, shortest=shortest)
        if options.text.val_fraction:
            check_length(len(val_tokens), length, f"validation split ({share})")
        batches = Batches(
            train_tokens,
            context_length=length,
            batch_size=options.training.batch_size,
            stride=options.text.stride,
            drop_last=options.text.drop_last,
            seed=options.training.seed,
            name=f"training split (--val-fraction {options.text.val_fraction:g})"
            if options.text.val_fraction
            else "text",
        )
    return batches, train_tokens, val_tokens


def _learning_rates(options: Train, steps: int) -> "partial[float]":
    """The learning rate as a function of the step."""
    t = options.training
    if t.decay_steps is not None and t.decay_steps > steps:
        raise UserError(f"--decay-steps must be at most the number of steps, {steps}; got {t.decay_steps}")
    decay_steps = t.decay_steps or steps
    warmup = min(decay_steps // 20, 200) if t.warmup_steps is None else t.warmup_steps
    min_lr = t.lr / 10 if t.min_lr is None else t.min_lr
    if min_lr > t.lr:
        raise UserError(f"--min-lr must be at most --lr {t.lr:g}; got {min_lr:g}")
    if warmup >= decay_steps:
        name = "the number of steps" if t.decay_steps is None else "--decay-steps"
        raise UserError(f"--warmup-steps must be below {name}, {decay_steps}; got {warmup}")
    return partial(cosine_schedule, peak_lr=t.lr, total_steps=decay_steps, warmup_steps=warmup, min_lr=min_lr)


def _sample_prompt(options: Train, corpus: Corpus) -> Array:
    """The ids that samples continue: those of --sample-prompt, or of the text's opening words."""
    prompt = options.report.sample_prompt
    if prompt == "":
        raise UserError("--sample-prompt must not be empty; leave it out for the text's first words")
    if prompt is None:
        prompt = corpus.opening
    if not prompt:
        return corpus.tokens[:4]  # the text has no words, nothing but space and <|endoftext|>
    with user_input():
        return corpus.tokenizer.encode(prompt)


def first_words(text: str, n: int = 4) -> str:
    """The first n words of the first line that is not blank, or as many as fit into LONGEST_OPENING characters.

    Of a word that is longer, in a script without spaces say, so many characters.

    >>> first_words("\\n  To be,  or not to be\\n")
    'To be,  or not'
    >>> first_words("GATTACA" * 100)
    'GATTACAGATTACAGATTACAGAT'
    """
    lines = text.strip().splitlines()
    if not lines:
        return ""
    ends = [word.end() for word in re.finditer(r"\S+", lines[0])][:n]
    return lines[0][: max((end for end in ends if end <= _LONGEST_OPENING), default=_LONGEST_OPENING)]


def _check_memory(config: GPTConfig, options: Train, device: str) -> None:
    """Raise UserError if the machine cannot hold the run.  (What a GPU holds shows when it runs.)"""
    needed, here = memory_of_run(config, options), memory_here()
    if device == "cpu" and here is not None and needed > here:
        raise UserError(
            f"training takes about {human_number(needed, 'B')} of memory, this machine has {human_number(here, 'B')}: "
            "use a smaller model, --batch-size or --context-length, --accumulation or --activation-checkpointing"
        )


def memory_of_run(config: GPTConfig, options: Train) -> int:
    """Bytes that this run takes at its peak, at most."""
    t = options.training
    rows = -(-t.batch_size // t.accumulation)  # computed together
    return training_bytes(config, rows, activation_checkpointing=t.activation_checkpointing)


def disk_needed(plan: Plan, keep: int) -> int:
    """Bytes that the run's files take at most: the model's file twice, and as checkpoints the newest, the best, that of
    a stop, and the next.
    """
    return checkpoint_bytes(plan.model.config) * (keep + 3) + _FLOAT32 * plan.model.n_parameters * 2


def check_disk(plan: Plan, keep: int, folder: RunFolder) -> None:
    """Raise UserError if the disk cannot hold the run's files."""
    needed, free = disk_needed(plan, keep), folder.free_bytes()
    if free < needed:
        raise UserError(
            f"the disk of {str(folder.path)!r} has {human_number(free, 'B')} free, "
            f"the run needs about {human_number(needed, 'B')} for its checkpoints: "
            "free some space, use a smaller --keep, or another --out"
        )
