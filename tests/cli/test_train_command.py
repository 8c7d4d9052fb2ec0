"""A run from end to end: what it prints, what it leaves, how it stops, and that it can be run again."""

import io
import json
import math
import os
import platform
import re
import signal
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.cli.train import saver, steps
from tinygrad_gpt.cli.train.budget import affordable_tokens, tokens_seen
from tinygrad_gpt.debug import replay
from tinygrad_gpt.kernels import default_num_threads, num_threads, use_threads
from tinygrad_gpt.text import Batches, corpus, load_tokenizer, split_tokens
from tinygrad_gpt.training import evaluate

FILES = {"checkpoints", "config.toml", "log.jsonl", "loss.png", "model.safetensors", "sample.txt", "tokenizer.json"}
LONG = ("--steps", "100000", "--eval-every", "100000")  # until it is stopped


def log(folder, event=None):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if event in (None, line["event"])]


def losses(folder):
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in log(folder)]


def test_a_run_leaves_exactly_its_files(run):
    assert {path.name for path in run.iterdir()} == FILES
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    checkpoint, tokenizer = load_checkpoint(run / "model.safetensors"), load_tokenizer(run / "tokenizer.json")
    assert checkpoint.step == 4
    assert checkpoint.model.config.vocab_size == tokenizer.vocab_size == 256
    assert "step 4" in (run / "sample.txt").read_text("utf-8")


def test_the_log_has_a_line_per_step_and_evaluation(run):
    evaluations = log(run, "evaluation")
    assert [line["step"] for line in evaluations] == [0, 2, 4]
    assert [line["step"] for line in log(run, "step")] == [1, 2, 3, 4]
    assert [line["tokens_seen"] for line in evaluations] == [0, 2 * 2 * 8, 4 * 2 * 8]
    for line in evaluations:
        assert line["perplexity"] == pytest.approx(math.exp(line["val_loss"]))
    assert evaluations[0]["val_loss"] == pytest.approx(math.log(256), rel=0.05)  # untrained: any byte is as likely


def test_what_is_printed_is_what_is_logged(tg, text_file, tiny):
    result = tg("train", text_file, *tiny, "--out", "run")
    assert (result.code, result.err) == (0, "")
    for line in log(Path("run"), "evaluation"):
        row = [f"{line['epoch']:.2f}", str(line["step"]), f"{line['train_loss']:.3f}", f"{line['val_loss']:.3f}"]
        assert any(all(cell in printed.split() for cell in row) for printed in result.out.splitlines())
    assert "tinygrad-gpt generate run 'To be, or not' --temperature 0.8" in result.out
    assert "256 tokens (bytes, " in result.out


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--accumulation", "2", "--no-progress"],
        ["--stride", "3", "--drop-last"],
        ["--init", "torch", "--clip-norm", "none", "--weight-decay-on", "all"],
    ],
)
def test_the_config_file_runs_the_run_again(tg, text_file, tiny, flags, tmp_path):
    first = tg("train", text_file, *tiny, *flags, "--out", "first", "--lr", "0.01", "--seed", "7")
    second = tg("train", "--config", "first/config.toml", "--out", "second")
    assert (first.code, second.code) == (0, 0)
    assert losses(tmp_path / "first") == losses(tmp_path / "second")
    for name in ("tokenizer.json", "config.toml", "sample.txt"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    one, other = (load_file(tmp_path / folder / "model.safetensors") for folder in ("first", "second"))
    for name in one.keys() | other.keys():
        np.testing.assert_array_equal(one[name], other[name])


def test_a_flag_counts_more_than_the_config_file(tg, run):
    assert tg("train", "--config", run / "config.toml", "--out", "run", "--steps", "2", "--no-drop-last").code == 0
    with open("run/config.toml", "rb") as file:
        config = tomllib.load(file)
    assert (config["steps"], config["drop_last"], config["emb_dim"]) == (2, False, 8)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 4))
def test_looking_does_not_change_the_training(tg, text_file, tiny, run, tmp_path, every, tokens, sample):
    looks = ["--eval-every", every, "--eval-tokens", tokens, "--sample-tokens", sample, "--sample-temperature", 1]
    assert tg("train", text_file, *tiny, *looks, "--out", tmp_path / "run", "--overwrite").code == 0
    assert log(tmp_path / "run", "step") == log(run, "step")


def test_without_out_the_next_free_folder_is_made(tg, text_file, tiny, tmp_path):
    (tmp_path / "runs" / "hamlet-1").mkdir(parents=True)
    assert tg("train", text_file, *tiny).code == 0
    assert {path.name for path in (tmp_path / "runs" / "hamlet-2").iterdir()} == FILES


def test_overwrite_replaces_a_run_and_nothing_of_it_stays(tg, text_file, tiny, tmp_path):
    assert tg("train", text_file, *tiny, "--max-text-mb", "0", "--out", "run").code == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES | {"tokens.bin", "tokens.bin.json"}
    assert tg("train", text_file, *tiny, "--sample-tokens", "0", "--out", "run", "--overwrite").code == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES - {"sample.txt"}


@pytest.mark.parametrize("kind", ["bytes", "gpt2"])
def test_a_text_too_large_for_memory_trains_the_same(tg, text_file, tiny, kind, tmp_path):
    for name, limit in (("small", "256"), ("large", "0")):
        result = tg("train", text_file, *tiny, "--tokenizer", kind, "--max-text-mb", limit, "--out", name)
        assert (result.code, result.err) == (0, "")
    assert losses(tmp_path / "small") == losses(tmp_path / "large")
    assert (tmp_path / "large" / "tokens.bin").exists()


def test_bad_input_found_after_the_tokens_were_written_leaves_nothing(tg, text_file, tiny, tmp_path):
    result = tg("train", text_file, *tiny, "--max-text-mb", "0", "--warmup-steps", "9", "--out", "new/run")
    assert result.code == 2
    assert not list(tmp_path.iterdir())


def test_bad_input_leaves_the_run_that_was_to_be_replaced(tg, text_file, tiny, tmp_path):
    assert tg("train", text_file, *tiny, "--out", "run").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")}
    assert tg("train", text_file, *tiny, "--warmup-steps", "9", "--out", "run", "--overwrite").code == 2
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")} == before


def test_the_lock_of_a_dead_process_is_no_obstacle(tg, text_file, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))  # as after
    assert tg("train", text_file, *tiny, "--out", "run", "--overwrite").code == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_several_texts_and_standard_input_are_joined(tg, text_file, tiny, tmp_path, monkeypatch):
    text = text_file.read_bytes()
    whole = tmp_path / "whole.txt"
    whole.write_bytes(text + b"and\n" + text)
    (tmp_path / "and.txt").write_bytes(b"and\n")
    with open(text_file) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert tg("train", text_file, "and.txt", "-", *tiny, "--out", "parts").code == 0
    assert tg("train", whole, *tiny, "--out", "whole").code == 0
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


class Pipe(io.RawIOBase):
    """Standard input that gives so many bytes and then fails: nothing may read on."""

    def __init__(self, data, last=None):
        self.data, self.last = io.BytesIO(data), last

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self.data.read(min(len(buffer), 100))
        if not data and self.last is not None:
            raise self.last
        buffer[: len(data)] = data
        return len(data)


@pytest.fixture
def piped(monkeypatch):
    def give(data, last=None):
        stdin = io.TextIOWrapper(io.BufferedReader(Pipe(data, last), 100))
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(corpus, "_BYTES_PER_READ", 100)

    return give


@pytest.mark.parametrize("kind", [None, "bytes", "gpt2"])
@pytest.mark.parametrize("also", [[], ["and.txt"]])
def test_standard_input_is_counted_as_it_comes(tg, text_file, tiny, tmp_path, piped, kind, also):
    text = text_file.read_bytes()
    (tmp_path / "and.txt").write_bytes(b"and\n")
    (tmp_path / "whole.txt").write_bytes(text + b"and\n" * len(also))
    tiny = [word for word in tiny if word not in ("--tokenizer", "bytes")] + (["--tokenizer", kind] if kind else [])
    flags = [*tiny, "--max-text-mb", "0.002", "--out"]
    piped(text)
    result = tg("train", "-", *also, *flags, "piped")
    assert (result.code, result.err) == (0, "")
    assert tg("train", "whole.txt", *flags, "whole").code == 0
    assert (tmp_path / "piped" / "tokens.bin").read_bytes() == (tmp_path / "whole" / "tokens.bin").read_bytes()
    assert losses(tmp_path / "piped") == losses(tmp_path / "whole")
    assert f"{len(text) + 4 * len(also):,} bytes" in result.out
    piped(text)
    assert tg("train", "-", *tiny, "--max-text-mb", "1", "--out", "small").code == 0
    assert not (tmp_path / "small" / "tokens.bin").exists()


def test_who_is_to_type_the_text_is_told_so(tg, text_file, tiny, piped, monkeypatch):
    piped(text_file.read_bytes())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    result = tg("train", "-", *tiny, "--out", "run")
    assert result.code == 0
    assert "note: reading the text from standard input, to its end: Ctrl-D" in result.err


def test_a_vocabulary_of_the_whole_text_is_refused_as_soon_as_standard_input_is_too_large(tg, tiny, tmp_path, piped):
    piped(b"a few words " * 200, last=AssertionError("it read on"))
    result = tg("train", "-", *tiny, "--tokenizer", "chars", "--max-text-mb", "0.002", "--out", "run")
    assert result.code == 2
    assert "--tokenizer chars takes its vocabulary from the whole text, and 2.1 kB or more are more than" in result.err
    assert not (tmp_path / "run").exists()


def test_a_text_that_begins_with_much_space_has_a_prompt_too(tg, text_file, tiny, tmp_path):
    (tmp_path / "space.txt").write_bytes(b"\n" * 2000 + text_file.read_bytes())
    assert tg("train", "space.txt", *tiny, "--out", "run").code == 0
    assert (tmp_path / "run" / "sample.txt").exists()


def test_a_byte_order_mark_is_left_out_with_a_note(tg, text_file, tiny, tmp_path):
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbf" + text_file.read_bytes())
    result = tg("train", "bom.txt", *tiny, "--out", "run")
    assert result.code == 0
    assert result.err == "note: 'bom.txt' begins with a byte order mark: left out\n"


@pytest.mark.parametrize(("flag", "tokens"), [("--drop-last", [16, 16, 16, 16]), ("--no-drop-last", [16, 16, 8, 16])])
def test_the_last_batch_of_an_epoch_is_dropped_if_asked(tg, tiny, tmp_path, flag, tokens):
    (tmp_path / "five.txt").write_text("x" * (5 * 8 + 1))  # five chunks of 8, in batches of 2
    result = tg("train", "five.txt", *tiny, "--val-fraction", "0", "--eval-every", "1", "--out", "run", flag)
    assert result.code == 0
    seen = [line["tokens_seen"] for line in log(tmp_path / "run", "evaluation")]
    assert np.diff(seen).tolist() == tokens


@pytest.mark.parametrize("limit", ["256", "0"])
@pytest.mark.parametrize(("flags", "read"), [(["--encoding", "latin-1"], "é"), (["--errors", "ignore"], "")])
def test_encoding_and_errors_decide_how_a_file_is_read(tg, tiny, tmp_path, limit, flags, read):
    (tmp_path / "given.txt").write_bytes(b"caf\xe9 " * 50)
    (tmp_path / "read.txt").write_text(f"caf{read} " * 50, encoding="utf-8")
    assert tg("train", "given.txt", *tiny, *flags, "--max-text-mb", limit, "--out", "given").code == 0
    assert tg("train", "read.txt", *tiny, "--out", "read").code == 0
    assert losses(tmp_path / "given") == losses(tmp_path / "read")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_file_whose_name_is_no_text_is_a_file_all_the_same(tg, text_file, tiny, tmp_path):
    name = os.fsdecode(b"\xff$a_b.txt")
    (tmp_path / name).write_bytes(text_file.read_bytes())
    result = tg("train", name, *tiny)
    assert (result.code, result.err) == (0, "")
    assert "\\udcff$a_b.txt: 4,080 characters" in result.out


def test_no_validation_part_is_allowed(tg, text_file, tiny, tmp_path):
    assert tg("train", text_file, *tiny, "--val-fraction", "0", "--out", "run").code == 0
    assert [line["val_loss"] for line in log(tmp_path / "run", "evaluation")] == [None] * 3


def test_a_run_that_diverges_keeps_the_last_good_model_and_exits_1(tg, text_file, tiny, tmp_path):
    flags = ["--lr", "1e30", "--checkpoint-every", "1", "--eval-every", "9"]
    result = tg("train", text_file, *tiny, *flags, "--out", "run")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "step 2: loss nan, gradient of wte.weight is not finite; linear, on the way forward, made 3" in result.err
    assert "the model before that step is in run, the step in crash/" in result.err
    weights = load_checkpoint(tmp_path / "run" / "model.safetensors").model.parameters()
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES - {"sample.txt", "loss.png"} | {"crash"}
    assert "nan" not in str(weights)
    assert "linear, on the way forward" in str(replay(tmp_path / "run" / "crash"))
    assert "print(replay" in (tmp_path / "run" / "crash" / "report.txt").read_text("utf-8")
    again = tg("train", "--resume", "run")
    assert (again.code, again.err) == (1, result.err)


def test_a_disk_that_fills_up_is_one_line_and_exits_1(tg, text_file, tiny, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "run/model.safetensors")

    monkeypatch.setattr(saver, "save_checkpoint", full)
    result = tg("train", text_file, *tiny, "--out", "run")
    why = "cannot use 'run/model.safetensors': No space left on device"
    assert (result.code, result.err.splitlines()) == (
        1,
        [
            f"WARNING: step 4: model.safetensors not written: {why}",
            f"tinygrad-gpt train: could not save everything of step 4 in run: model.safetensors: {why}",
        ],
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_after_the_step_with_what_there_is(program, text_file, tiny, tmp_path, number, code):
    process = program.start("train", text_file, *tiny, *LONG, "--out", "run")
    try:
        while "tokens/s" not in process.stdout.readline():  # the table begins: the run has
            assert process.poll() is None
        process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (code, "")
    folder = tmp_path / "run"
    last = log(folder, "step")[-1]["step"]
    assert f"\nstopped     after {last} of 100,000 steps, " in out
    assert re.search(r"\ntrain loss  \d\.\d{3}, at step 0\n", out)
    assert {path.name for path in folder.iterdir()} == FILES - {"sample.txt", "loss.png"}  # it had come to neither
    assert last == load_checkpoint(folder / "model.safetensors").step


def test_when_nobody_reads_the_output_the_run_ends_quietly(program, text_file, tiny, tmp_path):
    process = program.start("train", text_file, *tiny, "--steps", "100000", "--eval-every", "1", "--out", "run")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (141, "")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES - {"sample.txt", "loss.png"}


def test_handlers_are_as_they_were(tg, text_file, tiny):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert tg("train", text_file, *tiny, "--out", "run").code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def read_weights(folder):
    return {name: array.tobytes() for name, array in load_file(folder / "model.safetensors").items()}


def test_a_profile_ends_the_report_and_changes_nothing(tg, text_file, tiny, run, tmp_path):
    result = tg("train", text_file, *tiny, "--out", "profiled", "--profile")
    table = result.out.rstrip().split("\n\n")[-1].splitlines()[:-1]  # without what is beside the steps
    assert table[0].split() == ["ms", "per", "step", "calls", "forward", "backward", "all", "share"]
    assert {"linear", "causal_attention", "linear_cross_entropy", "optimizer"} <= {line.split()[0] for line in table}
    assert table[-1].endswith("100.0%")
    assert read_weights(tmp_path / "profiled") == read_weights(run)


def test_checkpointing_trains_the_same_model(tg, text_file, tiny, run, tmp_path):
    assert tg("train", text_file, *tiny, "--out", "less", "--activation-checkpointing").code == 0
    assert read_weights(tmp_path / "less") == read_weights(run)


def test_the_threads_are_those_asked_for(tg, text_file, tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(steps, "train", lambda *args, **settings: iter([seen.append(num_threads())][:0]))
    assert tg("train", text_file, *tiny, "--threads", "3").code == 0
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert tg("train", text_file, *tiny).code == 0
    assert seen == [3, 2]
    assert num_threads() == 1


def test_the_summary_tells_the_peak_of_memory(tg, text_file, tiny):
    result = tg("train", text_file, *tiny)
    assert re.search(r"^memory +[\d.]+ [MG]B at most", result.out, re.MULTILINE)


def test_short_epochs_share_a_sample_for_each_row(tg, tmp_path, monkeypatch):
    (tmp_path / "short.txt").write_text("to be, or not to be, that is the question: " * 2)
    flags = "--preset tiny --tokenizer bytes --emb-dim 8 --n-heads 2 --n-layers 1 --context-length 8 --batch-size 2"
    settings = "--steps 30 --eval-every 10 --eval-tokens 16 --sample-tokens 2 --out run"
    result = tg("train", "short.txt", *flags.split(), *settings.split())
    assert result.code == 0
    assert " 5 steps an epoch" in result.out
    assert [int(step) for step in re.findall(r"step (\d+) ---", (tmp_path / "run/sample.txt").read_text())] == [
        10,
        20,
        30,
    ]


def test_what_is_worse_than_guessing_is_called_so(tg, text_file, tiny):
    spoiled = tg("train", text_file, *tiny, "--lr", "5", "--warmup-steps", "0", "--out", "run")
    assert spoiled.code == 0
    assert "worse than guessing evenly among the vocabulary's 256 tokens" in " ".join(spoiled.out.split())


def test_the_summary_fits_80_columns_but_for_commands(tg, text_file, tiny, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = tg("train", text_file, *tiny, "--out", "a-folder-with-a-name-of-some-length-and-a-half")
    summary = result.out.rsplit("\ndone ", 1)[1].splitlines()
    assert all(len(line) <= 80 for line in summary if not line.startswith("go on with"))


def test_the_first_weights_are_those_of_init(tg, text_file, tiny, tmp_path):
    """At step 0 the loss of wide embeddings is another one, and resuming does not ask for either again."""
    first = {}
    for init in ("gpt2", "torch"):
        assert tg("train", text_file, *tiny, "--out", init, "--init", init).code == 0
        first[init] = log(tmp_path / init, "evaluation")[0]["val_loss"]
    assert first["gpt2"] != first["torch"]
    result = tg("train", "--resume", "torch", "--init", "gpt2", "--epochs", "9")
    assert (result.code, result.out) == (2, "")
    assert "init is torch there, gpt2 here" in result.err


def test_a_gradient_is_left_as_it_is_with_clip_norm_none(tg, text_file, tiny, tmp_path):
    """A bound below every norm changes the weights; one above all norms, and none, do not."""
    weights = {}
    for bound in ("1e-3", "1e9", "none"):
        assert tg("train", text_file, *tiny, "--out", bound, "--clip-norm", bound, "--eps", "0.1").code == 0
        weights[bound] = load_file(tmp_path / bound / "model.safetensors")["wte.weight"]
    np.testing.assert_array_equal(weights["none"], weights["1e9"])
    assert (weights["none"] != weights["1e-3"]).any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "--clip-norm must be above 0, or none; got 0.0"),
        ("nan", "--clip-norm must be a finite number, above 0, or none; got nan"),
        ("None", "--clip-norm must be a number, above 0, or none; got 'None'"),
    ],
)
def test_a_bound_that_is_no_bound_is_refused(tg, text_file, tiny, value, message):
    result = tg("train", text_file, *tiny, "--clip-norm", value)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_biases_and_gains_decay_if_they_are_asked_to(tg, text_file, tiny, tmp_path):
    """After one step a decaying parameter is smaller by lr * decay of itself, gains of 1 too."""
    gains = {}
    for which in ("matrices", "all"):
        flags = [
            "--weight-decay-on",
            which,
            "--weight-decay",
            "0.5",
            "--lr",
            "0.1",
            "--warmup-steps",
            "0",
            "--steps",
            "1",
        ]
        assert tg("train", text_file, *tiny, *flags, "--out", which).code == 0
        gains[which] = load_file(tmp_path / which / "model.safetensors")["ln_f.weight"]
    np.testing.assert_allclose(gains["matrices"] - gains["all"], 0.05, rtol=1e-5)


# What the losses of the table are of, and what they cost


def test_a_table_that_scores_all_of_the_validation_part_agrees_with_evaluate(tg, run, text_file):
    tokens = load_tokenizer(run / "tokenizer.json").encode(text_file.read_text("utf-8"))
    _, val_tokens = split_tokens(tokens, 0.1)
    result = tg("train", "--config", run / "config.toml", "--out", "run", "--eval-tokens", 10**6)
    n_train, n_val = f"{len(tokens) - len(val_tokens):,}", f"{len(val_tokens):,}"
    said = f"evaluation every 2 steps, on all {n_train} training tokens and all {n_val} validation tokens memory"
    assert said in " ".join(result.out.split())  # it is folded
    model = load_checkpoint("run/model.safetensors").model
    with use_threads(default_num_threads()):
        assert log(Path("run"), "evaluation")[-1]["val_loss"] == evaluate(model, val_tokens).loss


def test_a_table_that_scores_less_says_how_much_and_takes_it_from_everywhere(tg, text_file, tiny, tmp_path):
    (tmp_path / "changing.txt").write_bytes(text_file.read_bytes()[:3600] + b"x" * 200 + b"To be, " * 29)
    flags = [*tiny, "--eval-tokens", 80, "--steps", 60, "--lr", 0.01]
    result = tg("train", "changing.txt", *flags, "--out", "run")
    scored = "on 80 of 3,603 training tokens and 80 of 400 validation tokens, evenly spread"
    assert f"evaluation every 2 steps, {scored} memory" in " ".join(result.out.split())  # it is folded
    model, tokenizer = load_checkpoint("run/model.safetensors").model, load_tokenizer("run/tokenizer.json")
    _, val_tokens = split_tokens(tokenizer.encode((tmp_path / "changing.txt").read_text("utf-8")), 0.1)
    whole, first = (evaluate(model, val_tokens, max_tokens=n).loss for n in (None, 80))
    assert abs(first - whole) > 1
    assert abs(log(tmp_path / "run", "evaluation")[-1]["val_loss"] - whole) < 0.3


def test_an_evaluation_after_every_step_is_told_as_that(tg, text_file, tiny):
    result = tg("train", text_file, *tiny, "--steps", 1, "--eval-every", 1, "--eval-tokens", 9, "--out", "run")
    assert re.search(r"\nevaluation  every step, on 8 of [\d,]+ training tokens and 8 of ", result.out)


@given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 64), st.integers(1, 300), st.sampled_from([1, 2]))
def test_by_default_evaluations_are_a_fifth_of_the_work_at_most_or_a_window_each(steps, length, rows, every, n_parts):
    every = min(every, steps)
    batches = Batches(np.zeros(20_000, int), context_length=length, batch_size=rows)
    n_tokens = affordable_tokens(batches, steps, every, n_parts)
    n_evaluations = len({0, steps, *range(0, steps, every)})
    trained = tokens_seen(batches, steps)
    scoring = n_evaluations * n_parts * n_tokens  # a forward pass; a token trained on is that and two like it back
    assert length <= n_tokens <= 8192
    assert n_tokens == length or scoring <= 0.2 * (scoring + 3 * trained) * (1 + 1e-9)
    larger = n_tokens + length
    assert larger > 8192 or n_evaluations * n_parts * larger > 0.2 / 0.8 * 3 * trained * (1 - 1e-9)


def test_where_the_time_went_is_told(tg, text_file, tiny):
    result = tg("train", text_file, *tiny, "--out", "run", "--profile")
    line = next(line for line in result.out.splitlines() if line.startswith("time "))
    shares = dict(re.findall(r"(\w+) (\d+)%", line))
    assert shares.keys() <= {"training", "evaluating", "saving", "sampling", "plotting"}
    assert 0 < sum(map(int, shares.values())) <= 102
    beside = result.out.rstrip().splitlines()[-1]
    assert re.fullmatch(r"beside the steps: (\w+ \S+ (s|min)(, )?){4}", beside)


# How often there is a checkpoint


def saved_steps(folder):
    return sorted(load_checkpoint(path).step for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("share", "of_lowest", "longest", "steps"),
    [
        (0, 0, 600, [2, 40]),  # the first, to see that it can be, and the last
        (9, 9, 600, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40]),
        (9, 9, -1, list(range(1, 41))),
        (0, 0, -1, [1, 40]),
    ],
)
def test_without_a_word_checkpoints_are_a_matter_of_time(
    tg, text_file, tiny, tmp_path, monkeypatch, share, of_lowest, longest, steps
):
    for name, value in (("SHARE_OF_SAVING", share), ("SHARE_OF_LOWEST", of_lowest), ("MAX_SECONDS_UNSAVED", longest)):
        monkeypatch.setattr(saver, name, value)
    flags = [*tiny, "--steps", 40, "--keep", 99]
    assert tg("train", text_file, *flags, "--out", "run").code == 0
    assert saved_steps(tmp_path / "run") == steps
    assert tg("train", text_file, *flags, "--checkpoint-every", 15, "--out", "told").code == 0
    assert saved_steps(tmp_path / "told") == [15, 30, 40]


def test_the_lowest_validation_loss_may_cost_more(tg, text_file, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(saver, "SHARE_OF_SAVING", 0)
    monkeypatch.setattr(saver, "SHARE_OF_LOWEST", 9)
    assert tg("train", text_file, *tiny, "--steps", 40, "--lr", 0.1, "--keep", 99, "--out", "run").code == 0
    lowest, steps = math.inf, {2, 40}  # the first, whatever it is
    for line in log(tmp_path / "run", "evaluation")[1:]:
        if line["val_loss"] < min(lowest, log(tmp_path / "run", "evaluation")[0]["val_loss"]):
            lowest = line["val_loss"]
            steps.add(line["step"])
    assert saved_steps(tmp_path / "run") == sorted(steps)
    assert len(steps) < 20


def test_the_disk_is_announced_beside_the_memory(tg, text_file, tiny, tmp_path):
    result = tg("train", text_file, *tiny, "--out", "run", "--keep", 3)
    size = 12 * load_checkpoint(tmp_path / "run" / "model.safetensors").model.n_parameters
    most, each = human_number(size * 6 + size * 2 / 3, "B"), human_number(size, "B")
    assert f"\ndisk        up to about {most}, a checkpoint is {each}\n" in result.out
