"""The options of `tinygrad-gpt train`: the numbers of the default run stand here."""

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
            help="Vocabulary: compact (the GPT-2 tokens that the text uses, and all bytes), gpt2 (all 50,257), bytes "
            "(256) or chars (the text's own). Default: compact; gpt2 for the presets gpt2-*, and for text larger than "
            "--max-text-mb.",
            help_behavior_hint="",
        ),
        TEXT,
    ] = None
    end_of_text: Annotated[bool, TEXT] = False
    """Take <|endoftext|> in the text for GPT-2's token of that name, and put it between several texts; with compact and
    gpt2. Else it is spelled like any other text."""
    val_fraction: Annotated[float, Fraction, SAME] = 0.1
    """Share of the tokens, at the end of the text, kept for validation: from 0 (none) to below 1."""
    stride: Annotated[int | None, Range(1), HIDE_DEFAULT, SAME] = None
    """Tokens from the start of one chunk to the next. Default: the context length, so that chunks do not overlap."""
    drop_last: Annotated[bool, SAME] = False
    """Leave out the chunks that do not fill an epoch's last batch."""
    encoding: Annotated[str, arg(metavar="NAME"), TEXT] = "utf-8"
    """Encoding of the text files, by Python's name for it."""
    errors: Annotated[Literal["strict", "replace", "ignore", "backslashreplace"], TEXT] = "strict"
    """What to do with bytes that the encoding does not allow: strict stops and says where."""
    max_text_mb: Annotated[float, Range(0), FREE] = 256.0
    """Text of more megabytes than this is not held in memory: its tokens go to RUN/tokens.bin."""


@dataclass(frozen=True)
class Model:
    """The model's shape. The preset gives all of it; every other option here changes one thing."""

    preset: Annotated[
        Literal["tiny", "small", "medium", "gpt2-124M", "gpt2-355M", "gpt2-774M", "gpt2-1558M"], SHAPE
    ] = "small"
    """A shape to start from; gpt2-124M is the book's."""
    context_length: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Tokens that the model sees at once."""
    emb_dim: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Width of a token's vector; --n-heads must divide it."""
    n_layers: Annotated[int | None, Range(1, 4096), _PRESET, SHAPE] = None
    """Number of transformer blocks."""
    n_heads: Annotated[int | None, Range(1, 2**20), _PRESET, SHAPE] = None
    """Attention heads per block."""
    drop_rate: Annotated[float | None, Fraction, _PRESET, SHAPE] = None
    """Dropout: share of units left out at random while training, from 0 to below 1."""
    qkv_bias: Annotated[bool | None, _PRESET, SHAPE] = None
    """Give queries, keys and values a bias, as GPT-2 does."""
    tie_weights: Annotated[bool | None, _PRESET, SHAPE] = None
    """Use the token embedding as output head too, as GPT-2 does."""
    init: Annotated[Literal["gpt2", "torch"], SAME] = "gpt2"
    """How the first weights are drawn: gpt2 (deviation 0.02), or torch, as the layers of PyTorch and of the book do."""


@dataclass(frozen=True)
class Training:
    """How to train: AdamW, with a linear warm-up and then half a cosine down."""

    epochs: Annotated[int, Range(1), MORE] = 5
    """Times that every chunk of the text is seen."""
    steps: Annotated[int | None, Range(1), HIDE_DEFAULT, MORE] = None
    """Steps to train for, whatever the epochs."""
    batch_size: Annotated[int, Range(1, 2**20), SAME] = 16
    """Chunks per step."""
    accumulation: Annotated[int, Range(1, 2**20), ROUNDS] = 1
    """Parts that a batch is computed in, one after the other: the same step in less memory."""
    activation_checkpointing: Annotated[bool, FREE] = False
    """Keep only each block's input for the way back and compute the rest again there: less memory, more time."""
    lr: Annotated[float, Range(0), SAME] = 2e-3
    """Highest learning rate."""
    min_lr: Annotated[float | None, Range(0), HIDE_DEFAULT, SAME] = None
    """Learning rate that the decay ends with, at most --lr. Default: a tenth of it."""
    warmup_steps: Annotated[int | None, Range(0), HIDE_DEFAULT, SAME] = None
    """Steps in which the learning rate rises to its highest. Default: a twentieth of --decay-steps, at most 200."""
    decay_steps: Annotated[int | None, Range(1), HIDE_DEFAULT, SAME] = None
    """Step at which the learning rate has come down to --min-lr, where it stays. Default: the last."""
    weight_decay: Annotated[float, Range(0), SAME] = 0.1
    """Share of itself that a weight loses per step, times the learning rate."""
    weight_decay_on: Annotated[Literal["matrices", "all"], SAME] = "matrices"
    """What decays: matrices alone, or all parameters, biases and gains too, as the book has it."""
    beta1: Annotated[float, Fraction, SAME] = 0.9
    """AdamW's memory for the gradient's mean, from 0 to below 1."""
    beta2: Annotated[float, Fraction, SAME] = 0.99
    """AdamW's memory for the gradient's square, from 0 to below 1."""
    eps: Annotated[float, Positive, SAME] = 1e-8
    """What AdamW adds to the root it divides by."""
    clip_norm: Annotated[float | Literal["none"], Positive, arg(metavar="FLOAT|none"), SAME] = 1.0
    """Highest norm of the whole gradient; a longer one is scaled down. none leaves every gradient as it is."""
    on_nonfinite: Annotated[Literal["stop", "skip"], FREE] = "stop"
    """What to do when a loss or a gradient is not finite: stop and say which op made it, or skip that step."""
    seed: Annotated[int, Range(0, 2**64, below_high=True), SAME] = 123
    """Everything random follows from it: weights, order of the text, dropout, samples. From 0 to 2**64 - 1."""


@dataclass(frozen=True)
class Report:
    """What to show on the way; none of it changes the training. Losses are in nats per token."""

    eval_every: Annotated[int | None, Range(1), HIDE_DEFAULT, FREE] = None
    """Steps from one evaluation to the next. Default: a twentieth of the run."""
    eval_tokens: Annotated[
        int | None,
        Range(1),
        arg(
            help="Tokens, of the training and of the validation text each, that an evaluation scores, in windows "
            "spread over all of it. Default: 8192, or fewer, so that evaluations are about a fifth of the "
            "run's work at most.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    sample_prompt: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=""), FREE] = None
    """Text that the sample after each epoch continues. Default: the text's first words."""
    sample_tokens: Annotated[int, Range(0), FREE] = 50
    """Length of that sample in tokens; 0 for none."""
    sample_temperature: Annotated[float, Range(0), FREE] = 0.8
    """Temperature of that sample; 0 takes the likeliest token each time."""
    profile: Annotated[bool, FREE] = False
    """Time every op, and show where a step's time went when the run ends."""
    progress: Annotated[bool, FREE] = True
    """Show a progress bar, if stderr is a terminal."""


@dataclass(frozen=True)
class Run:
    """Where to train, and where to put the results: the model, its tokenizer, these options, a log, a plot of the
    losses, samples and checkpoints. Ctrl-C ends the run after the current step, with a checkpoint to resume from."""

    out: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint=""), PLACE] = None
    """Run folder to make. Default: runs/NAME-N, the next that is free."""
    overwrite: Annotated[bool, PLACE] = False
    """Replace the run that is in the folder of --out."""
    resume: Annotated[
        str | None,
        arg(
            metavar="RUN",
            help="Go on with the run in this folder from its last checkpoint, with its options, bit for bit as if it "
            "had not stopped. Beside it: what does not change the training, and more --epochs or --steps.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    checkpoint_every: Annotated[
        int | None,
        Range(1),
        arg(
            help="Steps from one checkpoint to the next; the last step has one too. Default: a twentieth of the run, "
            "at least every ten minutes, and no more often than saving takes a twentieth of the time.",
            help_behavior_hint="",
        ),
        FREE,
    ] = None
    keep: Annotated[int, Range(2, 10**6), FREE] = 2
    """Newest checkpoints to keep; the one with the lowest validation loss stays besides."""
    device: Annotated[Literal["cpu", "cuda", "auto"], MACHINE] = "cpu"
    """Where to compute: cuda is an NVIDIA GPU, auto takes one if there is one."""
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        arg(
            help="On a GPU: tf32 multiplies on tensor cores, bfloat16 also stores activations in 16 bits; parameters, "
            "gradients and AdamW's moments stay float32."
        ),
        SAME,
    ] = "float32"
    threads: Annotated[Threads, MACHINE] = None
    config: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=""), PLACE] = None
    """TOML file with any of these options, such as a run folder's config.toml; flags given beside it count more."""


@dataclass(frozen=True)
class Train:
    """Train a GPT on text, and watch it learn."""

    texts: Annotated[tuple[str, ...], Positional, arg(metavar="[TEXTS ...]", help_behavior_hint=""), TEXT] = ()
    """Text files, - for standard input; several are joined. Default: Python's reference manual."""
    text: Text = field(default_factory=Text)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    report: Report = field(default_factory=Report)
    run: Run = field(default_factory=Run)


def with_epochs(options: Train, argv: Sequence[str], prog: str) -> Train:
    """The options without the steps that a file names, if argv asks for epochs: a flag counts more."""
    if is_given(options, "epochs", argv, prog) and not is_given(options, "steps", argv, prog):
        return with_values(options, {"steps": None})
    return options
