"""A signal at any moment: the step is finished and saved, or the command ends where it is; resumed, nothing is lost."""

import os
import random
import signal
import sys
import threading
import time

import pytest

from tests.cli.conftest import call
from tests.cli.runs import FLAGS, assert_same, log
from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.cli.terminal import InterruptedBySignal, StopFlag, stop_on_signal
from tinygrad_gpt.cli.train import corpus, evaluation, plan, recorder, saver, steps

LONGER = [*FLAGS.split(), "--steps", "60", "--eval-every", "7", "--checkpoint-every", "11", "--sample-tokens", "20"]
NUMBERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def a_hang_up_is_not_ignored():
    """Under nohup it is, and a child process inherits that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_hang_up_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signal() as stop:
        signal.raise_signal(signal.SIGHUP)
    assert not stop.requested


@pytest.fixture(scope="module")
def whole(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert call("train", text, *LONGER, "--out", folder).code == 0
    return folder


def resumed_after_signals(program, text, run, number, delays, *, patience=30):
    """Start and resume, a signal after each delay, and at last without; the exit codes before that."""
    command, codes = ["train", text, *LONGER, "--out", run], []
    for delay in delays:
        process = program.start(*command)
        try:
            time.sleep(delay)
            process.send_signal(number)
            out, err = process.communicate(timeout=patience)
        finally:
            process.kill()
            process.wait()
        codes.append(process.returncode)
        if process.returncode == NUMBERS.get(number):
            assert err in ("", "\n")
            assert "--resume" in out or err  # a line end instead: nothing was begun yet
        if (run / "config.toml").exists():
            command = ["train", "--resume", run]
        if number == signal.SIGKILL and run.exists() and not any(run.glob("checkpoints/*.safetensors")):
            command = ["train", text, *LONGER, "--out", run, "--overwrite"]
    done = program(*command)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return codes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_now_and_then_lose_nothing(program, text, whole, tmp_path, number):
    run = tmp_path / "run"
    codes = resumed_after_signals(program, text, run, number, [1.1])
    assert set(codes) <= {0, NUMBERS.get(number, -number), -number}  # before the handlers are there: -number
    assert_same(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_at_random_times_lose_nothing(program, text, whole, tmp_path, number, seed):
    drawn = random.Random(seed)
    run = tmp_path / "run"
    resumed_after_signals(program, text, run, number, [drawn.uniform(0.3, 2.5) for _ in range(3)])
    assert_same(run, whole)


def in_the_midst(monkeypatch, module, name, number):
    """From within a function of the program: a signal, once."""
    function, done = getattr(module, name), []

    def interrupted(*args, **settings):
        if not done:
            done.append(os.kill(os.getpid(), number))
        return function(*args, **settings)

    monkeypatch.setattr(module, name, interrupted)
    return done


@pytest.mark.parametrize(
    ("module", "name", "number", "code"),
    [
        (corpus, "Reading", signal.SIGINT, 130),
        (corpus, "build_and_encode", signal.SIGTERM, 143),
        (plan, "settings_of", signal.SIGINT, 130),
    ],
)
def test_before_the_training_a_signal_ends_the_command_and_leaves_nothing(
    monkeypatch, text, tmp_path, module, name, number, code
):
    in_the_midst(monkeypatch, module, name, number)
    result = call("train", text, *LONGER, "--out", "new/run")
    assert (result.code, result.out, result.err) == (code, "", "\n")
    assert not list(tmp_path.iterdir())


def test_while_a_large_text_is_tokenised_too(monkeypatch, text, tmp_path):
    in_the_midst(monkeypatch, corpus, "_opening_of", signal.SIGTERM)
    assert call("train", text, *LONGER, "--max-text-mb", "0", "--out", "new/run").code == 143
    assert not list(tmp_path.iterdir())


def test_before_it_goes_on_a_signal_leaves_the_run_as_it_was(monkeypatch, text, tmp_path):
    with monkeypatch.context() as patch:
        in_the_midst(patch, evaluation, "generate", signal.SIGINT)
        assert call("train", text, *LONGER, "--out", "run").code == 130
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")}
    in_the_midst(monkeypatch, plan, "check_memory", signal.SIGTERM)
    assert call("train", "--resume", "run").code == 143
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")} == before


@pytest.mark.parametrize(
    ("module", "name", "number", "code"),
    [
        (evaluation, "evaluate", signal.SIGINT, 130),
        (evaluation, "generate", signal.SIGTERM, 143),
        (saver, "_with_one_retry", signal.SIGINT, 130),
        (steps, "train", signal.SIGTERM, 143),
    ],
)
def test_a_signal_is_heard_in_everything_that_is_done(monkeypatch, text, whole, tmp_path, module, name, number, code):
    with monkeypatch.context() as patch:
        done = in_the_midst(patch, module, name, number)
        result = call("train", text, *LONGER, "--out", "run")
    assert done
    assert (result.code, result.err) == (code, "")
    assert "resume with tinygrad-gpt train --resume run" in result.out
    step = load_checkpoint(max((tmp_path / "run" / "checkpoints").iterdir())).step
    assert step == max((line["step"] for line in log(tmp_path / "run") if line["event"] == "step"), default=0)
    before = [signal.getsignal(n) for n in NUMBERS]
    assert call("train", "--resume", "run").code == 0
    assert [signal.getsignal(n) for n in NUMBERS] == before
    assert_same(tmp_path / "run", whole)


def test_an_evaluation_is_not_finished_first(monkeypatch, text, tmp_path):
    in_the_midst(monkeypatch, evaluation, "evaluate", signal.SIGINT)
    assert call("train", text, *LONGER, "--out", "run").code == 130
    assert not any(line["event"] == "evaluation" for line in log(tmp_path / "run"))


def test_a_sample_is_not_finished_first(monkeypatch, text, tmp_path):
    in_the_midst(monkeypatch, evaluation, "generate", signal.SIGINT)
    assert call("train", text, *LONGER, "--out", "run").code == 130
    assert log(tmp_path / "run")[-1]["step"] == 10  # the end of the second epoch: there is a row for two of them
    assert not any(line["event"] == "sample" for line in log(tmp_path / "run"))


def test_a_signal_after_all_is_done_changes_nothing(monkeypatch, text, whole, tmp_path):
    done = in_the_midst(monkeypatch, recorder, "plot_losses", signal.SIGTERM)
    result = call("train", text, *LONGER, "--out", "run")
    assert done
    assert (result.code, result.err) == (0, "")
    assert "resume" not in result.out
    assert_same(tmp_path / "run", whole)


def test_a_second_hang_up_does_not_end_it_before_it_has_saved(monkeypatch, text, whole, tmp_path):
    """The kernel sends one when a terminal is closed, and the shell another."""
    generate = evaluation.generate

    def hung_up(*args, **settings):
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        return generate(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "generate", hung_up)
        assert call("train", text, *LONGER, "--out", "run").code == 129
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    assert call("train", "--resume", "run").code == 0
    assert_same(tmp_path / "run", whole)


INTERRUPTED_IMPORT = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "numpy":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
runpy.run_module("tinygrad_gpt", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_while_python_imports_is_no_traceback(program):
    done = program.python("-c", INTERRUPTED_IMPORT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\n")


def test_the_second_signal_ends_it_at_once(monkeypatch, text, tmp_path):
    def slow(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    monkeypatch.setattr(evaluation, "generate", slow)
    result = call("train", text, *LONGER, "--out", "run")
    assert (result.code, result.err) == (130, "\n")
    assert not (tmp_path / "run" / "run.lock").exists()


@pytest.mark.parametrize(("number", "code"), NUMBERS.items())
def test_what_stoppable_promises(number, code):
    before = signal.getsignal(number)
    with pytest.raises(InterruptedBySignal) as caught, stop_on_signal():
        signal.raise_signal(number)  # nothing to save yet
    assert caught.value.exit_code == code
    with stop_on_signal() as stop:
        stop.at_once = False
        signal.raise_signal(number)
        assert (stop.requested, stop.exit_code) == (True, code)
        with pytest.raises(InterruptedBySignal):
            signal.raise_signal(signal.SIGTERM if number == signal.SIGHUP else number)
    assert signal.getsignal(number) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_at_a_terminal_the_first_one_is_answered(monkeypatch):
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal, stop_on_signal() as stop:
        monkeypatch.setattr(sys, "stderr", terminal)
        stop.at_once = False
        signal.raise_signal(signal.SIGINT)
    answer = os.read(ours, 1000).decode().split("\r\n")
    os.close(ours)
    assert answer == ["", "stopping after this step; once more stops at once, without saving", ""]


def test_outside_the_main_thread_and_beside_another_handler_signals_are_left_alone():
    def handler(*_):
        raise AssertionError

    before = signal.signal(signal.SIGINT, handler)
    try:
        with stop_on_signal():
            assert signal.getsignal(signal.SIGINT) is handler
        seen = []

        def elsewhere():
            with stop_on_signal() as stop:
                seen.append(isinstance(stop, StopFlag))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == [True]
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
