"""doctor: what there is, and what of the presets it is enough for."""

import re
import shlex
import time

import numpy as np
import pytest

from tinygrad_gpt.cli import doctor
from tinygrad_gpt.cli.doctor import Speed
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.train.budget import memory_needed
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import model_config
from tinygrad_gpt.kernels import limits
from tinygrad_gpt.nn import PRESETS
from tinygrad_gpt.nn.cost import training_bytes

QUIET = Speed(1e11, 1.0)


@pytest.fixture
def on_a_machine(monkeypatch, tg):
    """What doctor says on a machine like this."""

    def said(memory=2**34, speed=QUIET):
        monkeypatch.setenv("COLUMNS", "200")  # no line is folded
        monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: memory)
        monkeypatch.setattr(doctor, "matmul_speed", lambda: speed)
        result = tg("doctor")
        assert (result.code, result.err) == (0, "")
        return result.out

    return said


def test_doctor_says_what_there_is_and_exits_0(program):
    result = program("doctor")
    assert (result.returncode, result.stderr) == (0, "")
    for word in ("python", "BLAS", "threads", "GPU", "merge table is whole", "FLOP/s", "suggestion"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("allowed", "there", "quota", "said"),
    [
        (4, 4, None, "4"),
        (2, 8, None, "2 of 8: this process may not run on the others"),
        (64, 64, 1.0, "1 of 64: the container's CPU quota is 1"),
        (64, 64, 2.5, "3 of 64: the container's CPU quota is 2.5"),
        (2, 8, 16.0, "2 of 8: this process may not run on the others"),
        (4, None, None, "4"),
    ],
)
def test_it_tells_where_the_number_of_cores_comes_from(on_a_machine, monkeypatch, allowed, there, quota, said):
    monkeypatch.setattr("os.cpu_count", lambda: there)
    for module in (doctor, limits):
        monkeypatch.setattr(module, "cores_allowed", lambda: allowed)
        monkeypatch.setattr(module, "cpu_quota", lambda: quota)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    out = on_a_machine()
    assert f"\ncores        {said}\n" in out
    assert f"\nthreads      {said.split()[0]} (one per core), each with " in out
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "\nthreads      3 (OMP_NUM_THREADS says so), each with " in on_a_machine()


def test_whatever_importing_cupy_raises_is_one_line(on_a_machine, monkeypatch):
    def broken(name):
        raise PermissionError(13, "Permission denied", "/home/me/.cupy")

    monkeypatch.setattr("tinygrad_gpt.backend.import_module", broken)
    line = (
        "none: CuPy cannot be loaded ([Errno 13] Permission denied: '/home/me/.cupy'); set CUPY_CACHE_DIR to a folder"
    )
    assert f"\nGPU          {line} that can be written\n" in on_a_machine()


def test_a_gpu_that_another_process_has_taken_is_one_line(on_a_machine, monkeypatch):
    def full(array, device):
        raise RuntimeError("cudaErrorDevicesUnavailable: the device is busy\nmore")

    monkeypatch.setattr(doctor, "why_no_cuda", lambda: None)
    monkeypatch.setattr(doctor, "to_device", full)
    said = "\nGPU          there is one, but it cannot be used: cudaErrorDevicesUnavailable: the device is busy\n"
    assert said in on_a_machine()


def test_its_lines_fit_the_terminal_but_for_the_command_to_copy(monkeypatch, tg):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: 5 * 10**9)
    monkeypatch.setattr(doctor, "matmul_speed", lambda: QUIET)
    lines = tg("doctor").out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("suggestion")) <= 80
    assert re.search(r"gpt2-124M .* with +--batch-size 2 --context-length 512", " ".join(lines))


def test_it_says_when_the_machine_is_busy(on_a_machine):
    assert "other programs are busy, this one had 22% of the time" in on_a_machine(speed=Speed(1e11, 0.22))
    assert "busy" not in on_a_machine(speed=Speed(1e11, 0.97))


def test_a_speed_is_that_of_all_threads_and_a_part_of_the_time():
    found = doctor.matmul_speed(0.05)
    assert 0 < found.share <= 1.05  # clocks tick
    assert found.flops > 0


@pytest.mark.parametrize("n", [1, 3])
def test_each_threads_best_product_counts(monkeypatch, n):
    """An interrupted product is no measure of the machine."""
    monkeypatch.setattr(doctor, "default_num_threads", lambda: n)
    monkeypatch.setattr(doctor, "multiply", lambda seconds: (1e-3, 0.5))
    assert doctor.matmul_speed() == Speed(n * 2 * doctor.MATRIX_SIDE**3 / 1e-3, 0.5)
    seen = iter([0.3, 0.001, 0.2, 0.7])
    monkeypatch.undo()
    monkeypatch.setattr(np, "matmul", lambda a, b, out: time.sleep(next(seen, 0.3)))
    best, share = doctor.multiply(0.4)
    assert 0.001 <= best < 0.2
    assert share < 0.5  # asleep, as a thread is that has to wait


def test_a_preset_that_does_not_fit_is_shown_with_what_does(on_a_machine):
    line = next(line for line in on_a_machine(memory=16 * 10**9).splitlines() if "gpt2-124M" in line)
    assert re.search(r"27\.1 GB of memory, more than there is; [\d.]+ GB with --batch-size 8$", line)
    line = next(line for line in on_a_machine(memory=5 * 10**9).splitlines() if "gpt2-124M" in line)
    assert re.search(r"with --batch-size 2 --context-length 512$", line)


@pytest.mark.parametrize("memory", [10**7, 10**8, 10**9, 4 * 10**9, 10**10, 10**11, 10**12, None])
@pytest.mark.parametrize("name", PRESETS)
def test_what_is_said_to_fit_is_what_train_takes(name, memory):
    config = PRESETS[name]
    found = doctor.largest_fitting(config, memory)
    if found is None:
        least = doctor.replace(config, context_length=min(config.context_length, doctor.SHORT_CONTEXT))
        assert training_bytes(least, doctor.SMALL_BATCH) > memory
        return
    options = parse(Train, ["--preset", name, *shlex.split(found.flags)], "train")
    assert memory_needed(model_config(options, config.vocab_size), options) == found.needed
    assert memory is None or found.needed <= memory


def test_the_command_of_the_readme_is_not_called_impossible():
    config = doctor.replace(PRESETS["gpt2-124M"], context_length=256)
    needed = training_bytes(config, 2)
    assert doctor.largest_fitting(PRESETS["gpt2-124M"], needed) is not None


@pytest.mark.parametrize("memory", [10**6, 10**8, 10**10, 10**12])
@pytest.mark.parametrize("flops", [1e9, 1e13])
def test_what_is_suggested_fits(on_a_machine, memory, flops):
    suggestion = on_a_machine(memory, Speed(flops, 1.0)).splitlines()[-1]
    found = re.fullmatch(r"suggestion   tinygrad-gpt train --preset (\S+)(.*)", suggestion)
    if found is None:
        assert suggestion == "suggestion   none of the presets fits into the memory of this machine"
        assert memory == 10**6
    else:
        options = parse(Train, ["--preset", found[1], *shlex.split(found[2])], "train")
        assert memory_needed(model_config(options, doctor.MANUAL_VOCABULARY), options) <= memory
