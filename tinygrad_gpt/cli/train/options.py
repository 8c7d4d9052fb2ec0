"""The options of `tinygrad-gpt train`, and so the numbers of the default run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.options import HIDE_DEFAULT, OnResume, Range, with_values
from tinygrad_gpt.cli.parsing import is_given
from tinygrad_gpt.cli.process_limits import Threads

PROG = "tinygrad-gpt train"
_PRESET = arg(help_behavior_hint="(default: the preset's)")
SAME, SHAPE, TEXT, ROUNDS, MORE = OnResume.SAME, OnResume.SHAPE, OnResume.TEXT, OnResume.ROUNDS, OnResume.MORE
MACHINE, FREE, PLACE = OnResume.MACHINE, OnResume.FREE, OnResume.PLACE

Fraction = Range(0, 1, below_high=True)
Positive = Range(0, above_low=True)


@dataclass(frozen=True)
class Text:
    """What to train on."""

    tokenizer: Annotated[
        Literal["compact", "gpt2", "bytes", "chars"] | None,
        arg(
            help="Vocabulary: compact (all bytes, and the GPT-2 tokens that occur in the text), gpt2 (all 50,257), "
            "bytes (256) or chars (the characters of the text). Default: compact; gpt2 for the presets gpt2-* and for "
            "text larger than --max-text-mb.",
            help_behavior_hint="",
        ),
        TEXT,
    ] = None
    end_of_text: Annotated[
        bool,
        arg(
            help="Read <|endoftext|> in the text as GPT-2's token of that name, and put this token between texts. "
            "Needs the tokenizer compact or gpt2. Without this option <|endoftext|> is ordinary text."
        ),
        TEXT,
    ] = False
    val_fraction: Annotated[float, Fraction, SAME] = 0.1
    """Share of the tokens that is used for validation, from the end of the text: from 0 (none) to below 1."""
    stride: Annotated[int | None, Range(1), HIDE_DEFAULT, SAME] = None
    """Tokens from the start of one chunk to the next. Default: the context length, so that chunks do not overlap."""
    drop_last: Annotated[bool, SAME] = False
    """Skip an epoch's last batch if it is not full."""
    encoding: Annotated[str, arg(metavar="NAME"), TEXT] = "utf-8"
    """Encoding of the text files, as Python names it."""
    errors: Annotated[Literal["strict", "replace", "ignore", "backslashreplace"], TEXT] = "strict"
    """What to do with bytes that the encoding does not allow; strict stops and says where."""
    max_text_mb: Annotated[float, Range(0), FREE] = 256.0
    """Largest text to keep in memory, in megabytes. The tokens of a larger one go to RUN/tokens.bin."""


@dataclass(frozen=True)
class Model:
    """The shape of the model. The preset sets everything; each of the other options changes one value."""

    preset: Annotated[
        Literal["tiny", "small", "medium", "gpt2-124M", "gpt2-355M", "gpt2-774M", "gpt2-1558M"], SHAPE
    ] = "small"
    """Shape to start from. gpt2-124M is the model of the book."""
    context_length: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Tokens that the model sees at once."""
    emb_dim: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Width of a token's vector. Must be a multiple of --n-heads."""
    n_layers: Annotated[int | None, Range(1, 4096), _PRESET, SHAPE] = None
    """Number of transformer blocks."""
    n_heads: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Attention heads per block."""
    drop_rate: Annotated[float | None, Fraction, _PRESET, SHAPE] = None
    """Dropout: share of units set to zero at random while training, from 0 to below 1."""
    qkv_bias: Annotated[bool | None, _PRESET, SHAPE] = None
    """Add a bias to queries, keys and values, as GPT-2 does."""
    tie_weights: Annotated[bool | None, _PRESET, SHAPE] = None
    """Use the token embedding as the output head too, as GPT-2 does."""
    init: Annotated[Literal["gpt2", "torch"], SAME] = "gpt2"
    """Initial weights: gpt2 (normal, standard deviation 0.02), or torch (as in PyTorch's layers and the book)."""


@dataclass(frozen=True)
class Training:
    """How to train. The optimizer is AdamW; the learning rate rises linearly, then falls along half a cosine."""

    epochs: Annotated[int, Range(1), MORE] = 5
    """How often the whole training text is seen."""
    steps: Annotated[int | None, Range(1), HIDE_DEFAULT, MORE] = None
    """Number of training steps, instead of --epochs."""
    batch_size: Annotated[int, Range(1, 2**20), SAME] = 16
    """Chunks of text per step; a chunk has --context-length tokens."""
    accumulation: Annotated[int, Range(1, 2**20), ROUNDS] = 1
    """Compute a batch in this many parts, one after the other: the same step in less memory."""
    activation_checkpointing: Annotated[bool, FREE] = False
    """Save only the input of each block, and compute the rest again in the backward pass: less memory, more time."""
    lr: Annotated[float, Range(0), SAME] = 2e-3
    """Highest learning rate."""
    min_lr: Annotated[float | None, Range(0), HIDE_DEFAULT, SAME] = None
    """Lowest learning rate, at the end of the decay. Default: a tenth of --lr."""
    warmup_steps: Annotated[int | None, Range(0), HIDE_DEFAULT, SAME] = None
    """Steps until the learning rate reaches --lr. Default: a twentieth of --decay-steps, at most 200."""
    decay_steps: Annotated[int | None, Range(1), HIDE_DEFAULT, SAME] = None
    """Step at which the learning rate reaches --min-lr; there it stays. Default: the last step."""
    weight_decay: Annotated[float, Range(0), SAME] = 0.1
    """Weight decay: in each step a weight loses this share of itself, times the learning rate."""
    weight_decay_on: Annotated[Literal["matrices", "all"], SAME] = "matrices"
    """Which parameters decay: only matrices, or all, as in the book (also biases and gains)."""
    beta1: Annotated[float, Fraction, SAME] = 0.9
    """AdamW: decay of the moving average of the gradient, from 0 to below 1."""
    beta2: Annotated[float, Fraction, SAME] = 0.99
    """AdamW: decay of the moving average of the squared gradient, from 0 to below 1."""
    eps: Annotated[float, Positive, SAME] = 1e-8
    """AdamW: added to the denominator."""
    clip_norm: Annotated[float | Literal["none"], Positive, arg(metavar="FLOAT|none"), SAME] = 1.0
    """Largest norm of the gradient; a larger gradient is scaled down to it. none: never scale."""
    on_nonfinite: Annotated[Literal["stop", "skip"], FREE] = "stop"
    """What to do if a loss or a gradient is not finite: stop and say which op caused it, or skip the step."""
    seed: Annotated[int, Range(0, 2**64, below_high=True), SAME] = 123
    """Seed of all random numbers: weights, order of the text, dropout, samples. From 0 to 2**64 - 1."""


@dataclass(frozen=True)
class Report:
    """What to measure and show while training. Nothing here changes the training. Losses are in nats per token."""

    eval_every: Annotated[int | None, Range(1), HIDE_DEFAULT, FREE] = None
    """Steps between evaluations. Default: a twentieth of the run."""
    eval_tokens: Annotated[
        int | None,
        Range(1),
        arg(
            help="How many tokens an evaluation scores: this many of the training text and of the validation text, "
            "evenly spread. Default: 8192, or fewer if evaluations would be more than a fifth of the run's work.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    sample_prompt: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=""), FREE] = None
    """Text that the sample after each epoch continues. Default: the first words of the text."""
    sample_tokens: Annotated[int, Range(0), FREE] = 50
    """Length of the sample in tokens; 0 for no sample."""
    sample_temperature: Annotated[float, Range(0), FREE] = 0.8
    """Temperature of the sample; 0 always takes the likeliest token."""
    profile: Annotated[bool, FREE] = False
    """Measure the time of every op, and print a table at the end."""
    progress: Annotated[bool, FREE] = True
    """Show a progress bar if stderr is a terminal."""


@dataclass(frozen=True)
class Run:
    """Where to train, and where to write the results: the model, its tokenizer, these options, a log, a plot of the
    losses, samples and checkpoints. Ctrl-C ends the run after the current step, with a checkpoint to resume from."""

    out: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint=""), PLACE] = None
    """Folder for the results. Default: runs/NAME-N, with the next free number."""
    overwrite: Annotated[bool, PLACE] = False
    """Replace an earlier run in the folder of --out."""
    resume: Annotated[
        str | None,
        arg(
            metavar="RUN",
            help="Continue the run in this folder from its last checkpoint, with its options, bit for bit as if it had "
            "not stopped. Other options may only add --epochs or --steps, or change what does not affect the training.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    checkpoint_every: Annotated[
        int | None,
        Range(1),
        arg(
            help="Steps between checkpoints; there is always one after the last step. Default: a twentieth of the run, "
            "at least every ten minutes, but less often if saving would take more than a twentieth of the time.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    keep: Annotated[int, Range(2, 10**6), FREE] = 2
    """How many of the newest checkpoints to keep. The one with the lowest validation loss is kept too."""
    device: Annotated[Literal["cpu", "cuda", "auto"], MACHINE] = "cpu"
    """Where to compute: on the CPU, on an NVIDIA GPU (cuda), or on a GPU if there is one (auto)."""
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        arg(
            help="Only on a GPU: tf32 multiplies on tensor cores; bfloat16 also stores activations in 16 bits. "
            "Parameters, gradients and AdamW's moments stay in float32."
        ),
        SAME,
    ] = "float32"
    threads: Annotated[Threads, MACHINE] = None
    config: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=""), PLACE] = None
    """TOML file with any of these options, such as the config.toml of a run. Flags override it."""


@dataclass(frozen=True)
class Train:
    """Train a GPT on text, and watch it learn."""

    texts: Annotated[tuple[str, ...], Positional, arg(metavar="[TEXTS ...]", help_behavior_hint=""), TEXT] = ()
    """Text files, or - for standard input; several are joined. Default: Python's reference manual."""
    text: Text = field(default_factory=Text)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    report: Report = field(default_factory=Report)
    run: Run = field(default_factory=Run)


def with_epochs(options: Train, argv: Sequence[str], prog: str) -> Train:
    """The options without a config file's steps if argv gives epochs: a flag overrides the file."""
    if is_given(options, "epochs", argv, prog) and not is_given(options, "steps", argv, prog):
        return with_values(options, {"steps": None})
    return options
