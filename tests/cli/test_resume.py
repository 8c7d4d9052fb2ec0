"""A run that is stopped, anywhere, and resumed is the run that never stopped: bit for bit, but for the times."""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_gpt
from tests.cli.conftest import call
from tests.cli.runs import SHORT, TEXT, StopAt, assert_same, log, score_by_step, state, stop_after, without
from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.checkpoints.environment import environment
from tinygrad_gpt.cli.config_file import read_config
from tinygrad_gpt.cli.options import OnResume, options_of, value_of, with_values
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.terminal import StopFlag
from tinygrad_gpt.cli.train import plan, resume
from tinygrad_gpt.cli.train.options import PROG, Train
from tinygrad_gpt.kernels import default_num_threads
from tinygrad_gpt.nn import GPTConfig

pytestmark = pytest.mark.usefixtures("plain_plots")


def polls(text, folder):
    """How often a whole run looks whether it should stop."""
    check, calls = StopFlag.check, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopFlag, "check", lambda stop, *_: (calls.append(1), check(stop)))
        assert call("train", text, *SHORT, "--out", folder).code == 0
    return len(calls)


THREADS = default_num_threads()


@pytest.fixture(scope="module")
def n_polls(text, tmp_path_factory):
    return polls(text, tmp_path_factory.mktemp("polls") / "run")


RESUME_ALL = """
import sys
from tests.cli.conftest import plain_plot
from tinygrad_gpt.cli import main
from tinygrad_gpt.cli.train import recorder
recorder.plot_losses = plain_plot
sys.exit(max(main(["train", "--resume", run]) for run in sys.argv[1:]))
"""


def in_a_new_process(runs):
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_gpt.__file__).parents[1])}
    command = [sys.executable, "-c", RESUME_ALL, *map(str, runs)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=280)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_stop_after_every_step_and_before_the_first_in_a_new_process(text, whole, tmp_path):
    runs = []
    for last in range(8):
        with stop_after(last) if last else StopAt(1):
            result = call("train", text, *SHORT, "--out", f"run-{last}")
        assert result.code == (143 if last else 130)
        assert f"tinygrad-gpt train --resume run-{last}" in result.out
        runs.append(tmp_path / f"run-{last}")
        newest = max((runs[-1] / "checkpoints").iterdir())
        assert load_checkpoint(newest).step == last
    in_a_new_process(runs)
    for run in runs:
        assert_same(run, whole)


@pytest.mark.parametrize("stops", [[7], [4, 5, 7]])
def test_the_checkpoint_of_a_stop_is_not_among_those_that_stay(text, tmp_path, stops):
    flags = [*SHORT, "--steps", "8", "--checkpoint-every", "3"]
    assert call("train", text, *flags, "--out", "whole").code == 0
    command = ["train", text, *flags, "--out", "run"]
    for last in stops:
        with stop_after(last):
            assert call(*command).code == 143
        assert last in {load_checkpoint(path).step for path in (tmp_path / "run" / "checkpoints").iterdir()}
        command = ["train", "--resume", "run"]
    assert call(*command).code == 0
    assert_same(tmp_path / "run", tmp_path / "whole")


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_stop_anywhere_any_number_of_times(text, whole, n_polls, tmp_path_factory, data):
    run = tmp_path_factory.mktemp("stopped") / "run"
    command = ["train", text, *SHORT, "--out", run]
    for _ in range(3):
        at_once = data.draw(st.booleans(), "at once")
        with StopAt(data.draw(st.integers(1, n_polls), "poll"), at_once=at_once):
            code = call(*command).code
        if code == 0:
            break
        assert code == 130
        if at_once and not any((run / "checkpoints").iterdir()):
            assert call("train", "--resume", run).code == 2
            command = ["train", text, *SHORT, "--out", run, "--overwrite"]
        else:
            command = ["train", "--resume", run]
    if code:
        assert call(*command).code == 0
    assert_same(run, whole)


@pytest.mark.slow
def test_a_stop_at_every_poll(text, whole, n_polls, tmp_path):
    for n in range(1, n_polls + 1):
        run = tmp_path / f"run-{n}"
        with StopAt(n):
            assert call("train", text, *SHORT, "--out", run).code == 130
        assert call("train", "--resume", run).code == 0
        assert_same(run, whole)


def stop_after_three_steps(text, folder, *flags):
    with StopAt(8):
        assert call("train", text, *SHORT, *flags, "--out", folder).code == 130
    return folder


@pytest.fixture(scope="module")
def stopped_once(text, tmp_path_factory, plain_plots):
    return stop_after_three_steps(text, tmp_path_factory.mktemp("stopped") / "run")


@pytest.fixture
def run(stopped_once, tmp_path):
    """A run that was stopped after its third step."""
    shutil.copytree(stopped_once, tmp_path / "run")
    return tmp_path / "run"


def options_that(*kinds):
    return [option for option in options_of(Train) if option.on_resume in kinds]


FREE = [
    "--eval-every 1 --checkpoint-every 1 --keep 5 --sample-tokens 0 --eval-tokens 9",
    "--on-nonfinite skip --profile --activation-checkpointing --progress --sample-prompt Or --sample-temperature 2",
    "--max-text-mb 0",
]


def test_every_option_says_what_it_is_to_a_run_that_goes_on():
    assert [option.flag for option in options_that(None)] == []
    tried = {word for flags in FREE for word in flags.split() if word.startswith("--")}
    assert tried | {"--resume"} == {option.flag for option in options_that(OnResume.FREE)}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (OnResume.TEXT, "texts tokenizer end_of_text encoding errors"),
        (OnResume.ROUNDS, "accumulation"),
        (OnResume.MACHINE, "device threads"),
        (OnResume.MORE, "epochs steps"),
        (OnResume.PLACE, "out overwrite config"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_only_these_options_are_exempt_from_being_the_same(kind, names):
    assert {option.name for option in options_that(kind)} == set(names.split())


@pytest.mark.parametrize("flags", FREE)
def test_each_of_the_free_flags_gives_its_option_another_value(run, flags):
    stored = with_values(Train(), read_config(str(run / "config.toml"), Train))
    wanted = parse(Train, flags.split(), PROG, default=stored)
    different = {option.flag for option in options_of(Train) if value_of(wanted, option) != value_of(stored, option)}
    assert different == {word for word in flags.split() if word.startswith("--")}


@pytest.mark.parametrize("flags", FREE)
def test_what_does_not_change_the_training_may_change(run, whole, flags):
    result = call("train", "--resume", run, *flags.split())
    assert (result.code, result.err) == (0, "")
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    steps = [[line for line in log(folder) if line["event"] == "step"] for folder in (run, whole)]
    assert steps[0] == steps[1]
    assert call("train", "--resume", run).code == 0  # the flags are the run's now


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (
            ["--threads", str(THREADS + 1)],
            f"threads {THREADS}, now {THREADS + 1}",
        ),
        (["--accumulation", "2"], "--accumulation 2, not 1"),
    ],
)
def test_what_changes_the_last_bits_is_told(run, whole, flags, note):
    result = call("train", "--resume", run, *flags)
    assert result.code == 0
    assert result.err == f"note: {note}: results may differ in the last bits from an uninterrupted run\n"
    losses = [[line["loss"] for line in log(folder) if line["event"] == "step"] for folder in (run, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("name", ["numpy", "blas", "blas_threads", "cpu_features"])
def test_another_machine_is_told(run, monkeypatch, name):
    def another(model):
        return environment(model) | {name: "another"}

    monkeypatch.setattr(resume, "environment", another)
    result = call("train", "--resume", run)
    here = load_checkpoint(run / "model.safetensors").environment[name]
    assert result.code == 0
    assert (
        result.err
        == f"note: {name} {here}, now another: results may differ in the last bits from an uninterrupted run\n"
    )


REFUSED = [
    ("--emb-dim 16 --batch-size 4", "batch_size is 2 there, 4 here"),
    ("--emb-dim 16 --batch-size 4", "emb_dim is 8 there, 16 here"),
    ("--drop-rate 0.1", "drop_rate is 0.2 there, 0.1 here"),
    ("--lr 0.1", "lr is 0.002 there, 0.1 here"),
    ("--seed 1", "seed is 123 there, 1 here"),
    ("--stride 4", "stride is 8 there, 4 here"),
    ("--val-fraction 0.2", "val_fraction is 0.1 there, 0.2 here"),
    ("--tokenizer chars", "tokenizer is bytes c04aa2035070 there, chars"),
    ("--decay-steps 3", "decay_steps is 7 there, 3 here"),
    ("--steps 6", "--epochs and --steps may only grow; got 6 steps, the run has 7"),
    ("--out other", "--out cannot be combined with --resume"),
    ("--overwrite", "--overwrite cannot be combined with --resume"),
    ("--config x.toml", "--config cannot be combined with --resume"),
    ("--keep 1", "--keep must be at least 2"),
]


OTHERS = {  # for every setting that the training follows from, another value
    "val_fraction": 0.2, "stride": 4, "batch_size": 4, "lr": 0.1, "min_lr": 1e-4, "warmup_steps": 2, "decay_steps": 3,
    "weight_decay": 0, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6, "clip_norm": 2, "seed": 1, "precision": "tf32",
    "context_length": 4, "emb_dim": 16, "n_layers": 2, "n_heads": 1, "drop_rate": 0.1,
    "init": "torch", "weight_decay_on": "all", "drop_last": True, "qkv_bias": True, "tie_weights": True,
}  # fmt: skip


@pytest.mark.parametrize("name", ["init", "weight_decay_on", "drop_last", "clip_norm"])
def test_a_run_of_an_older_version_that_did_not_know_an_option_goes_on_with_its_default(run, whole, name):
    without(max((run / "checkpoints").iterdir()), name)
    before = state(run)
    result = call(
        "train", "--resume", run, f"--{name.replace('_', '-')}", *([] if name == "drop_last" else [OTHERS[name]])
    )
    assert (result.code, result.out) == (2, "")
    assert re.search(rf"another run: {name} is (gpt2|matrices|False|1.0) there, .* here", result.err)
    assert state(run) == before
    assert call("train", "--resume", run).code == 0
    assert_same(run, whole)


def test_the_options_of_the_shape_are_those_that_the_configuration_compares():
    fields = {field.name for field in dataclasses.fields(GPTConfig)} - {"vocab_size"}  # that is the tokenizer's
    assert {option.name for option in options_that(OnResume.SHAPE)} == fields | {"preset"}


@pytest.mark.parametrize(
    "option",
    # a preset stands for options that are in the list themselves; the test after this one is about it
    [option for option in options_that(OnResume.SAME, OnResume.SHAPE, None) if option.name != "preset"],
    ids=lambda option: option.name,
)
def test_no_setting_that_the_training_follows_from_can_change(run, monkeypatch, option):
    if option.name == "precision":  # on a CPU it is refused for another reason
        monkeypatch.setattr(plan, "resolve_device", lambda _: "cuda")
    value = OTHERS[option.name]
    before = state(run)
    result = call("train", "--resume", run, option.flag, *([] if value is True else [value]))
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert re.search(rf"\b{option.name} is .* there, .* here", result.err)
    assert state(run) == before


def test_another_preset_is_another_run_where_the_run_takes_its_shape_from_it(run, whole, text):
    config = run / "config.toml"
    as_it_was = config.read_text("utf-8")
    config.write_text(re.sub("emb_dim = .*", "", as_it_was), encoding="utf-8")
    result = call("train", "--resume", run, "--preset", "small")
    assert (result.code, result.out) == (2, "")
    assert "emb_dim is 8 there, 128 here" in result.err
    config.write_text(as_it_was, encoding="utf-8")
    assert call("train", "--resume", run, "--preset", "small").code == 0  # every option that differs is given
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_what_would_be_another_run_is_refused_and_changes_nothing(run, flags, message):
    before = state(run)
    result = call("train", "--resume", run, *flags.split())
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert state(run) == before


def test_another_text_is_refused_the_same_text_elsewhere_is_not(whole, text, tmp_path):
    mine = tmp_path / "short.txt"
    mine.write_text(TEXT, encoding="utf-8")
    run = stop_after_three_steps(mine, tmp_path / "run")
    mine.write_text(TEXT.replace("q", "Q"), encoding="utf-8")
    result = call("train", "--resume", run)
    assert result.code == 2
    assert "text is 86 tokens" in result.err
    mine.unlink()
    assert "cannot read" in call("train", "--resume", run).err
    assert call("train", text, "--resume", run).code == 0
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.fixture
def of_standard_input(text, tmp_path, monkeypatch):
    """A run that has read its text from standard input, stopped after its third step."""
    with open(text) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        return stop_after_three_steps("-", tmp_path / "run")


def test_a_run_of_standard_input_reads_it_again_and_says_so(of_standard_input, whole, text, monkeypatch):
    with open(text) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        result = call("train", "--resume", of_standard_input)
    told = "the text is read from standard input again, as it was when the run began"
    assert (result.code, result.err) == (0, f"note: --resume '{of_standard_input}': {told}\n")
    assert (of_standard_input / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_run_of_standard_input_does_not_wait_at_a_terminal(of_standard_input, whole, text, monkeypatch):
    before = state(of_standard_input)
    master, terminal = os.openpty()
    try:
        with open(terminal, closefd=False) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            result = call("train", "--resume", of_standard_input)
            assert call("train", text, "--resume", of_standard_input, "--lr", "0.1").code == 2  # it asks for no text
    finally:
        os.close(terminal)
        os.close(master)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "read its text from standard input: give the same text there again (< FILE), or as TEXTS" in result.err
    assert state(of_standard_input) == before
    assert call("train", text, "--resume", of_standard_input).code == 0
    assert (of_standard_input / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_text_too_large_for_memory_is_not_read_again(tmp_path):
    mine = tmp_path / "short.txt"
    mine.write_text(TEXT, encoding="utf-8")
    flags = [*SHORT, "--max-text-mb", "0"]
    assert call("train", mine, *flags, "--out", "whole").code == 0
    run = stop_after_three_steps(mine, tmp_path / "run", "--max-text-mb", "0")
    mine.unlink()
    assert "leave out --tokenizer" in call("train", "--resume", run, "--tokenizer", "gpt2").err
    assert "leave out --end-of-text" in call("train", "--resume", run, "--end-of-text").err
    assert "leave out TEXTS" in call("train", "other.txt", "--resume", run).err
    assert call("train", "--resume", run).code == 0
    assert_same(run, tmp_path / "whole")


@pytest.mark.parametrize(("more", "steps"), [(["--steps", "12"], 12), (["--epochs", "3"], 15)])
def test_more_steps_go_on_at_the_lowest_learning_rate(run, text, tmp_path, more, steps):
    for flags in (more, []):  # the second time it has ended
        result = call("train", "--resume", run, *flags)
        assert (result.code, result.err) == (0, "")
    assert call("train", text, *SHORT, "--steps", steps, "--decay-steps", "7", "--out", "longer").code == 0
    files = [(folder / "model.safetensors").read_bytes() for folder in (run, tmp_path / "longer")]
    assert files[0] == files[1]
    rates = [line["lr"] for line in log(run) if line["event"] == "step"]
    assert rates[6:] == [pytest.approx(2e-4)] * (steps - 6)
    assert log(run) == log(tmp_path / "longer")


def test_a_complete_run_goes_on_with_more_steps(whole, text, tmp_path):
    assert call("train", text, *SHORT, "--out", "run").code == 0
    result = call("train", "--resume", "run")
    assert (result.code, result.err) == (0, "")
    assert "is complete: 7 steps" in result.out
    assert "emb_dim is 8 there, 16 here" in call("train", "--resume", "run", "--emb-dim", "16").err
    assert_same(tmp_path / "run", whole)
    assert call("train", "--resume", "run", "--steps", "9").code == 0
    assert call("train", text, *SHORT, "--steps", "9", "--decay-steps", "7", "--out", "longer").code == 0
    assert log(tmp_path / "run") == log(tmp_path / "longer")


def checkpoint_steps(folder):
    return sorted(load_checkpoint(path).step for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("flags", [["--steps", "14"], ["--steps", "14", "--checkpoint-every", "4"]])
def test_a_checkpoint_that_no_stop_has_made_stays_if_it_is_the_best(text, tmp_path, monkeypatch, flags):
    score_by_step(monkeypatch, lambda step: abs(step - 7.0))
    assert call("train", text, *SHORT, "--out", "run").code == 0
    assert call("train", "--resume", "run", *flags).code == 0
    assert checkpoint_steps(tmp_path / "run") == [7, 12, 14]


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 4, 6, 7]), (3, [2, 3, 6, 7])])
def test_the_checkpoint_of_a_stop_goes_unless_the_run_has_one_there_too(run, every, steps):
    assert checkpoint_steps(run) == [2, 3]
    assert call("train", "--resume", run, "--keep", "9", "--checkpoint-every", every).code == 0
    assert checkpoint_steps(run) == steps


def test_losses_are_of_the_same_tokens_however_many_steps_are_added(text, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text(TEXT * 40, encoding="utf-8")
    flags = [flag for flag in SHORT if flag not in ("--eval-tokens", "40")]
    assert call("train", mine, *flags, "--eval-every", "4", "--out", "run").code == 0
    assert call("train", mine, *flags, "--steps", "40", "--eval-every", "4", "--out", "longer").code == 0
    assert call("train", "--resume", "run", "--steps", "40").code == 0
    scored, longer = (
        [line["eval_tokens"] for line in log(tmp_path / name) if line["event"] == "evaluation"]
        for name in ("run", "longer")
    )
    assert longer[0] > scored[0]  # by itself a longer run scores more
    assert set(scored) == {scored[0]}
    assert call("train", "--resume", "run", "--steps", "44", "--eval-tokens", "16").code == 0
    assert log(tmp_path / "run")[-3]["eval_tokens"] == 16  # unless it is asked for


def test_a_damaged_checkpoint_is_skipped_with_a_note(text, whole, tmp_path):
    run = tmp_path / "run"
    assert call("train", text, *SHORT, "--out", run).code == 0
    (run / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes()[:-9])  # killed before its last line was whole
    newest = max((run / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    result = call("train", "--resume", run)
    assert result.code == 0
    assert result.err.startswith(f"note: skipped: cannot read '{newest}'")
    assert_same(run, whole)


def test_without_a_checkpoint_nothing_can_be_resumed(run):
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    before = state(run)
    result = call("train", "--resume", run)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "checkpoint-00000002.safetensors" in result.err
    assert state(run) == before
    shutil.rmtree(run / "checkpoints")
    result = call("train", "--resume", run)
    assert result.code == 2
    assert f"has no checkpoint to resume from: --config {run}/config.toml --out {run} --overwrite starts" in result.err
    for name, why in {"missing": "is not a folder", ".": "has no config.toml", "": "must name"}.items():
        assert why in call("train", f"--resume={name}").err


def test_the_log_may_be_missing(run, whole):
    (run / "log.jsonl").unlink()
    result = call("train", "--resume", run)
    assert result.code == 0
    assert result.err == "note: log.jsonl ends at step 0, the checkpoint is of step 3\n"
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_the_best_checkpoint_stays(text, tmp_path):
    flags = ["--steps", "30", "--lr", "1", "--eval-every", "2"]
    result = call("train", text, *SHORT, *flags, "--out", "run")
    losses = {line["val_loss"]: line["step"] for line in log(tmp_path / "run") if line["event"] == "evaluation"}
    best = losses[min(losses)]
    assert 0 < best < 28  # the text is short: it is soon learned by heart
    assert f"lowest      {min(losses):.3f} at step {best}" in result.out
    kept = sorted(load_checkpoint(path).step for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [best, 28, 30]
    command = f"tinygrad-gpt generate run 'To be, or not' --checkpoint {best} --temperature 0.8 --top-k 40"
    assert f"\nbest so far {command}\n" in result.out
    assert call(*shlex.split(command)[1:]).code == 0


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        ("--epochs 5", 25),  # as many as without the flag
        ("--epochs 1", 5),
        ("--epochs 5 --steps 4", 4),
        ("--epochs 5 --steps 3", 3),
        ("--eval-every 1", 3),
    ],
)
def test_epochs_count_more_than_the_steps_of_a_file(text, tmp_path, flags, steps):
    assert call("train", text, *SHORT, "--steps", "3", "--sample-tokens", "0", "--out", "run").code == 0
    assert call("train", "--config", "run/config.toml", *flags.split(), "--out", "again").code == 0
    assert log(tmp_path / "again")[-1] == {"event": "end", "step": steps}
    assert call("train", "--resume", "run", *flags.split()).code == 0
    assert log(tmp_path / "run")[-1] == {"event": "end", "step": steps}
