"""From the options to everything that a training run needs: text, tokens, model, optimizer.  Bad input ends here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tinygrad_gpt.backend import Array, resolve_device
from tinygrad_gpt.checkpoints import Checkpoint
from tinygrad_gpt.cli.errors import UserError, require_package, user_input
from tinygrad_gpt.cli.terminal import busy_line, human_number
from tinygrad_gpt.cli.train.budget import affordable_tokens, check_memory, tokens_seen
from tinygrad_gpt.cli.train.corpus import Corpus, read_corpus
from tinygrad_gpt.cli.train.fingerprint import check_same, check_steps, settings_of
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.nn import GPT, PRESETS, GPTConfig, count_parameters
from tinygrad_gpt.optim import AdamW, all_decay, cosine_schedule, matrices_decay
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.text import Batches, check_length, split_tokens


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
    settings: dict[str, str]  # everything else that determines the result; written into each checkpoint

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every chunk is seen once."""
        return self.batches.steps_per_epoch

    def tokens_seen(self, step: int) -> int:
        """Tokens trained on after this many steps."""
        return tokens_seen(self.batches, step)


def prepare(
    options: Train, folder: RunFolder, checkpoint: Checkpoint | None = None, eval_tokens: int | None = None
) -> Plan:
    """Everything that the run needs, for its first step or to continue from a checkpoint.

    eval_tokens is how many tokens each evaluation of a resumed run has scored.  Unless the options give another number,
    the next evaluations score as many, even if steps are added.

    Raises UserError for everything that is wrong with the options or the text.
    """
    with user_input():
        device = resolve_device(options.run.device)
    if device == "cpu" and options.run.precision != "float32":
        raise UserError(f"--precision {options.run.precision} needs a GPU (--device cuda); a CPU computes in float32")
    if options.run.precision == "bfloat16":
        require_package("ml_dtypes")
    model_config(options, vocab_size=1)  # report wrong heads or a wrong width before reading the text
    corpus = read_corpus(options, folder)
    config = model_config(options, corpus.tokenizer.vocab_size)
    batches, train_tokens, val_tokens = _split_corpus(options, config, corpus)
    steps = options.training.steps or options.training.epochs * batches.steps_per_epoch
    if checkpoint is not None:
        check_steps(options, steps, int(checkpoint.metadata["steps"]))
    schedule = _learning_rates(options, steps)
    prompt = _sample_prompt(options, corpus)
    check_memory(config, options, device)
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
    """The preset, with the changes that the options make."""
    fields = PRESETS[options.model.preset].as_dict() | {"vocab_size": vocab_size}
    fields |= {name: value for name, value in vars(options.model).items() if name in fields and value is not None}
    with user_input():
        return GPTConfig(**fields)  # type: ignore[arg-type]


def _split_corpus(options: Train, config: GPTConfig, corpus: Corpus) -> tuple[Batches, Array, Array]:
    """The batches to train on, the tokens of the training part, those of the validation part."""
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
        return corpus.tokens[:4]  # the text has no words, only space and <|endoftext|>
    with user_input():
        return corpus.tokenizer.encode(prompt)
