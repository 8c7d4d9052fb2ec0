"""Command lines that people get wrong: each is one line that names what is wrong in it, and nothing is written.

Beside test_user_errors.py, where the answers are spelled out, the many here are held to what is true of every answer.
"""

import re
import shlex
import shutil

import pytest

from tests.cli.conftest import listing
from tinygrad_gpt.cli import COMMANDS

pytestmark = pytest.mark.usefixtures("plain_plots")

LINES = r"""
train text.txt --context-length
train text.txt --context-length abc
train text.txt --context-length 1e3
train text.txt --context-length ""
train text.txt --batch-size 1.0
train text.txt --lr 1,5
train text.txt --lr 3e-4x
train text.txt --lr=
train text.txt --tokenizer
train text.txt --tokenizer GPT2
train text.txt --tokenizer "gpt2 "
train text.txt --preset Tiny
train text.txt --preset gpt2
train text.txt --device gpu
train text.txt --device CUDA
train text.txt --device cuda:0
train text.txt --init x
train text.txt -x
train text.txt -lr 3
train text.txt -- --lr 3
train text.txt --no-lr
train text.txt --progress false
train text.txt --no-progress=1
train text.txt --progress=True
train --resume run/config.toml
train --resume run/checkpoints
train --resume run/model.safetensors
train --resume run --steps 1
train --config run/config.toml --out run
train --config run
train text.txt --out run
train text.txt --out ""
train run/model.safetensors
train text.txt --encoding ""
train text.txt --encoding utf8 --errors x
train text.txt --val-fraction 100%
train text.txt --val-fraction 10
train text.txt --val-fraction 0.9999
train text.txt --n-heads 0
train text.txt --n-heads 3 --emb-dim 8
train text.txt --emb-dim 7
train text.txt --steps 5 --warmup-steps 5
train text.txt --steps 2 --eval-every 0
train text.txt --sample-tokens -1
train text.txt --sample-prompt ""
train text.txt --seed x
train text.txt --seed 1e3
train text.txt --keep 0
train text.txt --threads all
train text.txt --threads 9999
train text.txt --precision fp16
train text.txt --precision bfloat16
train text.txt --beta1 x
train text.txt --betas 0.9 0.95
train text.txt --weight_decay x
train text.txt --max-text-mb x
train text.txt --max-text-mb -1
train text.txt --clip-norm off
train text.txt --clip-norm None
train text.txt --weight-decay-on biases
train text.txt --min-lr -1
train text.txt --decay-steps 0
train text.txt --drop-rate 1.5
train text.txt --stop-at-loss 3
train https://example.com/x.txt
train "*.txt"
train text.txt,text2.txt
generate
generate run
generate run a b c
generate run --text a
generate a run
generate run/model.safetensors a
generate run/checkpoints a
generate run a --temperature hot
generate run a --temperature -0.5
generate run a --temperature inf
generate run a --top-k all
generate run a --top-k 1.5
generate run a --top-p 1.1
generate run a --top-p 0
generate run a --min-p -1
generate run a --max-new-tokens x
generate run a --max-new-tokens 1e2
generate run a --max-length 5
generate run a --n 5
generate run a --seed -1
generate run a --stop
generate run a --stop ""
generate run a --ties first
generate run a --show-probabilities x
generate run a --show-probabilities
generate run a --beam 5
generate run a --context-length 5
generate run a --no-cache=3
generate run a --device xpu
generate run a --threads 0
evaluate
evaluate run no-such.txt
evaluate text.txt run
evaluate run text.txt --stride x
evaluate run text.txt --stride 100
evaluate run text.txt --batch-size 0
evaluate run text.txt --context-length 4
evaluate run text.txt --max-tokens 0
sampling
sampling run
sampling run a --temperature 1
sampling run a --temperatures a b
sampling run a --temperatures
sampling run a --tokens 0
sampling run a --png x/y.png
sampling run a --html
sampling run a --html ""
sampling text.txt a
explain foo
explain softmax gelu
explain softmax --seed x
explain ""
explain soft
explain conv2d
explain tinygrad_gpt.ops.softmax
explain ops/softmax.py
trace nothing
trace nothing.py
trace text.txt
trace run --text x
trace --text ""
trace --checks x
trace --check foo
trace --check "wte.weight[99999,0]"
trace --check "wte.weight[0]"
trace --check "wte.weight"
trace --check "nothing[0]"
trace --n-heads 3
trace --context-length 0
trace --html x/y
trace run --n-layers 3
pitfalls 0
pitfalls 22
pitfalls -1
pitfalls x
pitfalls exercise x
pitfalls 3 4
pitfalls exercise softmax gelu
pitfalls --file x
pitfalls 1 --file x
pitfalls exercise --file x
pitfalls exercize
laws
laws :good
doctor x
doctor --verbose
doctor -v
help nothing
-v
nothing
Train
train-model
gen
sampling run a --png /dev/null
"""
WRONG = LINES.strip().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run, text_file):
    """What the lines speak of: run and text.txt."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copytree(run, folder / "run")
    shutil.copy(text_file, folder / "text.txt")
    return folder


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_told_in_one_that_names_what_is_wrong(tg, folder, monkeypatch, line):
    monkeypatch.chdir(folder)
    before, words = listing(folder), shlex.split(line)
    result = tg(*words)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert result.err.startswith(f"tinygrad-gpt {words[0]}: " if words[0] in COMMANDS else "tinygrad-gpt: ")
    assert listing(folder) == before
    words = words[1:] if words[0] in COMMANDS else words
    named = [part.replace("_", "-") for word in words for part in (word, word.split("=")[0]) if part not in ("", "a")]
    said = result.err.split(": ", 1)[1].replace("_", "-")
    whole = [rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in named]  # not as a part of another word
    assert re.search("|".join(whole), said, re.IGNORECASE) or "needs" in said or '""' in line, said
