"""Suggestions for a wrong name: only a name that is clearly meant, never a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.checks import nearest
from tinygrad_gpt.cli import COMMANDS, command_module
from tinygrad_gpt.cli.options import options_of
from tinygrad_gpt.cli.parsing import unknown_argument
from tinygrad_gpt.study.explain.explanation import OPS

KINDS = {
    name: getattr(command_module(name), name.capitalize())
    for name in COMMANDS
    if name != "laws"  # has a parser of its own
}
FLAGS = sorted({option.flag for kind in KINDS.values() for option in options_of(kind) if not option.positional})


WRONG = """
--init --x --foo --model --data --dataset --resume-from --save --load --wandb --compile --dtype --fp16 --amp --workers
--num-workers --verbose --quiet --debug --force --log-level --name --path --file --input --size --no --version --gpu-id
--distributed --rank --optimizer --scheduler --loss --shuffle --train --test --cache
"""


@pytest.mark.parametrize(
    ("command", "wrong", "meant"),
    [
        ("train", "--contxt-length", "--context-length"),
        ("train", "--context-lenght", "--context-length"),
        ("train", "--contextlength", "--context-length"),
        ("train", "--batchsize", "--batch-size"),
        ("train", "--batch", "--batch-size"),
        ("train", "--Epochs", "--epochs"),
        ("train", "--epoch", "--epochs"),
        ("train", "--learning-rate", "--lr"),
        ("train", "--prompt", "--sample-prompt"),
        ("train", "--temperature", "--sample-temperature"),
        ("train", "--nonfinite", "--on-nonfinite"),
        ("train", "--overwite", "--overwrite"),
        ("train", "--warmup", "--warmup-steps"),
        ("train", "--clip", "--clip-norm"),
        ("generate", "--temprature", "--temperature"),
        ("generate", "--topk", "--top-k"),
        ("generate", "--max-tokens", "--max-new-tokens"),
        ("evaluate", "--strid", "--stride"),
        ("sampling", "--tok", "--tokens"),
    ],
)
def test_a_slip_of_the_fingers_is_understood(command, wrong, meant):
    assert unknown_argument(wrong, KINDS[command]) == f"unknown option {wrong}; did you mean {meant}?"


@pytest.mark.parametrize(
    "wrong",
    WRONG.split(),
)
@pytest.mark.parametrize("command", KINDS)
def test_nothing_far_fetched_is_suggested(command, wrong):
    flags = {option.flag for option in options_of(KINDS[command])}
    if wrong in flags:
        return
    said = unknown_argument(wrong, KINDS[command])
    guess = said.removeprefix(f"unknown option {wrong}").removeprefix("; did you mean ").removesuffix("?")
    assert guess in ("", *FITTING.get(wrong, ())), said


FITTING = {  # what a wrong flag may be taken for: it is a part of the right one's name
    "--name": ("--run-name", "; NAME is given without a flag"),
    "--size": ("--batch-size",),
    "--file": ("--profile",),
}


@pytest.mark.parametrize(
    ("wrong", "meant"), [("layer_nrm", "layer_norm"), ("LayerNrm", "layer_norm"), ("softmx", "softmax")]
)
def test_ops_too(wrong, meant):
    assert nearest(wrong, OPS) == meant


@pytest.mark.parametrize("wrong", ["conv2d", "lstm", "batch", "x", "", "hinge"])
def test_another_op_is_no_slip(wrong):
    assert nearest(wrong, OPS) is None


@given(st.sampled_from(FLAGS), st.data())
def test_any_two_letters_swapped_or_one_forgotten_are_understood(flag, data):
    letters = list(flag[2:])
    if len(letters) < 8:
        return
    i = data.draw(st.integers(0, len(letters) - 2))
    if data.draw(st.booleans()):
        letters[i], letters[i + 1] = letters[i + 1], letters[i]
    else:
        del letters[i]
    wrong = "--" + "".join(letters)
    assert wrong in FLAGS or nearest(wrong, [flag, "--seed"]) == flag


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=5))
def test_it_is_one_of_the_known_or_none(name, known):
    assert nearest(name, known) in [*known, None]
