"""Our own side of each section, with tiny shapes on the device that is none; with -m cuda on a GPU."""

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks import __main__ as command
from benchmarks.cuda import arrays, clock, decoding, gemm, kernels, launching, ours, page, roof, training, worker
from benchmarks.ours import functions
from benchmarks.settings import CUDA_CONTENDERS, SETTINGS, Setting
from tinygrad_gpt import GPT, GPTConfig, backend
from tinygrad_gpt.kernels import cuda, kernel_for
from tinygrad_gpt.nn.initial_weights import initial_weights

CONFIG = GPTConfig(
    vocab_size=13, context_length=6, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0, qkv_bias=True, tie_weights=True
)
TINY = Setting("tiny", CONFIG, 2)
ROOF = roof.Roof(1e7, dict.fromkeys(cuda.PRECISIONS, 1e7))


class Metronome:
    """A clock by which everything takes a millisecond; from one look to the next 5 GB are taken."""

    def __init__(self):
        self.occupied, self.gigabytes = 0, 2

    def mark(self):
        return None

    def seconds(self, start, stop):
        return 1e-3

    def occupy(self):
        self.occupied += 1

    def wait(self):
        pass

    def memory(self):
        self.gigabytes += 5
        return self.gigabytes * 10**9


@pytest.fixture(autouse=True)
def cold_start(monkeypatch):
    """The device that is none need not be warmed up: it is slow anyway."""
    monkeypatch.setattr(clock, "WARM_UP", 1)


@pytest.fixture(params=cuda.PRECISIONS)
def precision(request):
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes")
    return request.param


@pytest.fixture
def without_torch(monkeypatch):
    """What is compared with PyTorch elsewhere stands alone here."""
    for module in (gemm, launching):
        monkeypatch.setattr(module, "torch_has_a_gpu", lambda: False)


def cells(table):
    """A table's rows, cut up."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_each_kernel_beside_its_floor(any_device, precision):
    metronome = Metronome()
    header, _, *rows = cells(kernels.table(metronome, CONFIG, 2, precision, ROOF, rounds=1))
    assert all(len(row) == len(header) for row in rows)
    names = [row[0] for row in rows]
    assert len(names) == {"float32": 20, "tf32": 10, "bfloat16": 18}[precision]
    assert len(set(names)) == len(names)
    assert metronome.occupied >= len(names)
    (row,) = (row for row in rows if row[0] == "causal_attention, backward")
    e, pairs = (2 if precision == "bfloat16" else 4), 2 * 2 * 21  # of rows and heads, queries and keys
    share = max(e * 7 * 2 * 6 * 8, 5 * 2 * 4 * pairs) / 1e7 / 1e-3
    assert row[1:3] == ["2x6x24", "1.000"]
    assert row[5] == f"{100 * share:.0f} %"


def test_what_is_timed_is_the_kernel(any_device, precision):
    with cuda.precision(precision):
        for case in kernels.cases(CONFIG, 2, precision):
            if (case.name, precision) != ("add", "float32"):  # of which CuPy's own sum is timed
                assert kernel_for(case.op, *case.arrays, **case.settings) is not case.op, case.name
            if precision == "bfloat16" and case.name not in ("layer_norm", "add"):
                assert case.arrays[0].dtype.name == "bfloat16", case.name


def test_what_the_device_can_do(any_device, monkeypatch):
    pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes")
    monkeypatch.setattr(roof, "SIDE", 16)
    monkeypatch.setattr(roof, "COPIED", 1000)
    found = roof.measured(Metronome(), rounds=1)
    assert found.bandwidth == pytest.approx(8000 / 1e-3)
    assert found.rates == pytest.approx(dict.fromkeys(cuda.PRECISIONS, 2 * 16**3 / 1e-3))
    assert str(replace(found, bandwidth=3e12)).startswith(
        "Measured here: a copy 3.00 TB/s; products of 16², TFLOP/s: 0 in"
    )


def test_numbers_differ_and_stay_small(any_device):
    x = any_device.get(arrays.numbers(70, 1000))
    assert x.dtype == np.float32
    assert abs(x).max() <= 0.5
    assert abs(np.diff(x)).min() > 0.1
    assert abs(x.mean()) < 0.01


def test_products(any_device, without_torch):
    pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes")
    header, _, *rows = cells(gemm.table(Metronome(), CONFIG, 2, rounds=1))
    assert header[2:] == ["ours, float32", "ours, tf32", "ours, bfloat16"]
    assert [row[:2] for row in rows[:3]] == [
        ["c_attn, y", "12 x 8 x 24"],
        ["c_attn, dx", "12 x 24 x 8"],
        ["c_attn, dW", "8 x 12 x 24"],
    ]
    assert [row[:2] for row in rows[-3:]] == [
        ["head, y", "12 x 8 x 13"],
        ["head, dx", "12 x 13 x 8"],
        ["head, dW", "13 x 12 x 8"],
    ]


@pytest.mark.parametrize("transposed", ["", "a", "b"])
def test_operands_are_views_of_what_is_transposed(any_device, transposed, precision):
    make, multiply = gemm.ours(precision)
    a, b, out = gemm.operands(make, transposed, 3, 4, 5)
    assert (a.shape, b.shape, out.shape) == ((3, 4), (4, 5), (3, 5))
    assert [x.flags.c_contiguous for x in (a, b)] == [transposed != "a", transposed != "b"]
    multiply(a, b, out)
    want = any_device.get(a).astype(float) @ any_device.get(b).astype(float)
    np.testing.assert_allclose(any_device.get(out).astype(float), want, atol=1e-2)


def test_products_are_in_their_precision(monkeypatch, precision):
    seen = []
    monkeypatch.setattr(cuda, "gemm", lambda a, b, out: seen.append(cuda.current_precision()))
    gemm.ours(precision)[1](None, None, None)
    assert seen == [precision]


def test_the_hosts_time_is_of_one_call(monkeypatch):
    """Of the rounds after the first: 6 and 4 seconds, of 2 calls each."""
    moments, calls = iter([0.0, 100.0, 100.0, 106.0, 200.0, 204.0]), []
    monkeypatch.setattr(launching.time, "perf_counter", lambda: next(moments))
    assert launching.host_seconds(Metronome(), lambda: calls.append(1), rounds=2, calls=2) == 2.5
    assert len(calls) == 6


def test_the_hosts_time(any_device, without_torch, monkeypatch):
    monkeypatch.setattr(launching, "CALLS", 2)
    _, _, *rows = cells(launching.table(Metronome(), CONFIG, rounds=1))
    assert [row[0] for row in rows][:2] == ["launch of a kernel", "gemm"]
    assert rows[-1][0] == "a training step of one row of 6"
    assert len(rows) == 6
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)


def test_generation(any_device, precision, monkeypatch):
    monkeypatch.setattr(decoding, "MOST_UNCACHED", 4)
    model = GPT(CONFIG, seed=0, device="cuda")
    contenders = {
        how: decoding.ours(model, [1, 2], precision, use_cache=use_cache)
        for how, use_cache in (("ours, cached", True), ("ours, without the cache", False))
    }
    rows = cells(decoding.compared(Metronome(), contenders, (3, 5), rounds=1))[2:]
    assert [row[:3] for row in rows] == [
        ["ours, cached", "3,000.0", "5,000.0"],
        ["ours, without the cache", "3,000.0", ""],
    ]
    assert rows[0][3] == "5 of 5"
    assert rows[1][3] == "3 of 3"


@pytest.mark.parametrize("built_for_cuda", [True, False])
def test_pytorch_takes_part_if_it_can(monkeypatch, built_for_cuda):
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: built_for_cuda))
    )
    assert arrays.torch_has_a_gpu() == built_for_cuda
    monkeypatch.setitem(sys.modules, "torch", None)  # not installed
    assert not arrays.torch_has_a_gpu()


def test_what_two_texts_have_in_common():
    assert decoding.in_common([1, 2, 3], [1, 2, 4, 5]) == 2
    assert decoding.in_common([1, 2], [1, 2, 4]) == 2
    assert decoding.in_common([], [1]) == 0


@pytest.fixture
def weights(tmp_path):
    """A file of them."""
    save_file(initial_weights(CONFIG, 0, "float32"), tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("name", [name for name in CUDA_CONTENDERS if name.startswith("ours")])
def test_a_training_step(any_device, name, weights, monkeypatch):
    """It begins with the loss of the CPU."""
    if name.endswith("bfloat16"):
        pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes")
    monkeypatch.setattr(worker, "IN_A_ROW", 1)
    seen, loss = [], GPT.loss
    monkeypatch.setattr(GPT, "loss", lambda *args, **more: seen.append(cuda.current_precision()) or loss(*args, **more))
    measured = worker.measure(name, TINY, weights, 1, Metronome())
    want = GPT(CONFIG, seed=0).loss(*TINY.batch()).item()
    assert measured.loss == pytest.approx(want, rel=training.AGREE[worker.precision_of(name)])
    assert (measured.seconds, measured.peak, measured.failed) == ([1e-3], 5 * 10**9, "")
    assert seen == [worker.precision_of(name)] * 3 + ["float32"]  # the loss, a step to warm up, a step; and the CPU's


def test_a_step_is_the_cpus_and_reads_nothing(device):
    weights, batch = initial_weights(CONFIG, 0, "float32"), TINY.batch()
    loss, step = ours.contender(CONFIG, weights, "float32")
    want, on_cpu = functions(GPT(CONFIG, weights=weights), contextlib.nullcontext)
    for _ in range(3):
        on_cpu(*batch)
        device.transfers.clear()
        step(*batch)
        assert {moved.kind for moved in device.transfers} == {"to device"}
    assert loss(*batch) == pytest.approx(want(*batch), rel=1e-5)


def measured(name, loss, seconds=0.01, **more):
    return worker.Measured(name, loss, [seconds, 9.0, seconds], 2 * 10**9, **more)


def test_different_losses_forbid_a_comparison():
    """How different: as the precision says."""
    exact, narrow = measured("ours, float32", 10.0), measured("torch.compile, bfloat16", 10.019)
    training.check_losses([exact, narrow, measured("PyTorch eager, float32", 0.0, failed="no memory")])
    for other in (measured("PyTorch eager, float32", 10.002), measured("torch.compile, bfloat16", 10.021)):
        with pytest.raises(ValueError, match=r"no ratio is printed: at equal weights the losses differ: .*10.0"):
            training.check_losses([exact, other])
    with pytest.raises(ValueError, match="no ratio is printed"):
        training.check_losses([exact, measured("ours, tf32", float("nan"))])
    with pytest.raises(ValueError, match="no ratio is printed"):
        training.check_losses([measured("ours, float32", float("nan"))])
    training.check_losses([])


def test_tables():
    found = [
        measured("ours, float32", 1.0),
        measured("PyTorch eager, float32", 1.0, seconds=0.04),
        measured("ours, bfloat16", 1.0, seconds=0.002),
        measured("torch.compile, bfloat16", 1.0, seconds=0.001),
        measured("torch.compile, tf32", 1.0, failed="out of memory"),
    ]
    assert training.table(TINY, found).splitlines()[2:] == [
        "| ours, float32 | 10.0 | 1,200 |  | 2.00 GB |",
        "| PyTorch eager, float32 | 40.0 | 300 | 0.25 | 2.00 GB |",
        "| ours, bfloat16 | 2.0 | 6,000 |  | 2.00 GB |",
        "| torch.compile, bfloat16 | 1.0 | 12,000 | 2.00 | 2.00 GB |",
        "| torch.compile, tf32 | out of memory | | | |",
    ]
    assert training.memory_table({8: found[:1], 16: found[-1:]}).splitlines()[2:] == [
        "| ours, float32 | 2.00 GB | out of memory |"
    ]


def test_a_contender_has_a_process_of_its_own(monkeypatch, tmp_path):
    def answered(command, **settings):
        assert command[1:5] == ["-m", "benchmarks.cuda.worker", "ours, tf32", "gpu-8"]
        line = json.dumps(asdict(measured("ours, tf32", 2.0)))
        return subprocess.CompletedProcess(command, 0, f"something else\n{line}\n", "")

    monkeypatch.setattr(subprocess, "run", answered)
    assert training.alone("ours, tf32", "gpu-8", tmp_path, 3) == measured("ours, tf32", 2.0)

    def died(command, **settings):
        return subprocess.CompletedProcess(command, 1, "", "Traceback\n  line\nOutOfMemoryError: a | b\n")

    monkeypatch.setattr(subprocess, "run", died)
    assert training.alone("ours, tf32", "gpu-8", tmp_path, 3).failed == "OutOfMemoryError: a / b"


def test_a_section_from_end_to_end(monkeypatch, capsys):
    """All contenders that are installed, the same weights for all, and no table if one computes something else."""
    monkeypatch.setitem(SETTINGS, "gpu-8", TINY)
    monkeypatch.setattr(training, "installed", lambda name: not name.startswith("torch.compile"))
    asked = []

    def alone(name, setting_name, weights, rounds):
        asked.append((name, setting_name, rounds, weights.read_bytes()))
        return measured(name, 1.0)

    monkeypatch.setattr(training, "alone", alone)
    table = page.training_tables(3, [8])
    assert table.startswith("tiny.\n\n| | ms per step |")
    assert [name for name, *_ in asked] == [
        f"{who}, {precision}" for precision in cuda.PRECISIONS for who in ("ours", "PyTorch eager")
    ]
    assert len({bytes_ for *_, bytes_ in asked}) == 1
    assert {rounds for _, _, rounds, _ in asked} == {3}
    assert "ours, float32: 10.0 ms" in capsys.readouterr().err
    assert len(page.memory(3, [8]).splitlines()) == 2 + 9
    monkeypatch.setattr(training, "alone", lambda name, *_: measured(name, len(name)))
    with pytest.raises(ValueError, match="no ratio is printed"):
        page.training_tables(3, [8])


@pytest.mark.parametrize("name", CUDA_CONTENDERS)
def test_contenders_are_known(name):
    module, _ = CUDA_CONTENDERS[name].split(":")
    assert worker.precision_of(name) in cuda.PRECISIONS
    assert module in ("benchmarks.cuda.ours", "benchmarks.cuda.rival_torch")
    assert training.installed(name) or module.endswith("rival_torch")


def test_without_a_gpu_one_line_says_why(monkeypatch):
    monkeypatch.setattr(backend, "why_no_cuda", lambda: "there is none")
    for more in ([], ["kernels"]):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "--device", "cuda", *more])
        with pytest.raises(SystemExit) as stopped:
            command.main()
        assert stopped.value.code == "python -m benchmarks: device 'cuda' is not available: there is none"


def test_sections_of_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(page, "machine", lambda: "a GPU")
    calls = []
    monkeypatch.setitem(page.SECTIONS, "memory", ("Memory", lambda rounds, sizes: calls.append((rounds, sizes)) or "|"))
    monkeypatch.setattr(
        sys, "argv", ["benchmarks", "memory", "--device", "cuda", "--rounds", "2", "--batch-sizes", "8", "32"]
    )
    command.main()
    assert calls == [(2, [8, 32])]
    assert capsys.readouterr().out == "a GPU\n\n## Memory\n\n|\n"
    monkeypatch.setitem(page.SECTIONS, "training", ("Training", lambda rounds, sizes: "-"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "memory", "training", "--device", "cuda"])
    command.main()
    assert capsys.readouterr().out == "a GPU\n\n## Training\n\n-\n\n## Memory\n\n|\n"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "book", "--device", "cuda"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no section 'book'; there are training, memory, kernels" in capsys.readouterr().err


@pytest.mark.cuda
def test_the_clock_of_a_gpu(gpu):
    timer = clock.CupyClock()
    seconds = [clock.seconds_of(timer, lambda n=n: arrays.numbers(n, 2**20), rounds=5) for n in (1, 64)]
    assert 0 < seconds[0] < seconds[1] < 1
    assert timer.memory() > 2**20
    assert "GiB, driver" in page.machine()
