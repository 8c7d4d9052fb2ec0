"""What is true of one kernel alone: rows longer than a warp, storage in bfloat16, targets and ids that are nobody's."""

import sys

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cuda, kernel_for
from tinygrad_gpt.kernels.cuda import columns, precision
from tinygrad_gpt.kernels.cuda.columns import column_sums
from tinygrad_gpt.kernels.cuda.elementwise import cast
from tinygrad_gpt.laws.strategies import normal
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.sampling import generate, probabilities

SCHEDULES = range(6)


def single(seed, *shape):
    return normal(seed, shape).astype(np.float32)


@pytest.fixture
def bfloat16():
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def same_bits(device, run):
    """What run() answers, as NumPy's, if it is the same under every schedule."""
    found = []
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            found.append([device.get(x) for x in run()])
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            assert a.tobytes() == b.tobytes(), "other bits under another schedule: a race"
    return found[0]


# ---- sums over rows and columns


def test_softmax_of_long_rows_with_masked_entries(device):
    x = 30 * single(0, 3, 133)
    x[0, :100] = -np.inf  # three whole warps have nothing
    x[1] = -np.inf
    x[1, 77] = 1e30
    p, logp = same_bits(device, lambda: (cuda.softmax(device.asarray(x))[0], cuda.log_softmax(device.asarray(x))[0]))
    np.testing.assert_allclose(p, ops.softmax(x)[0], rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(logp, ops.log_softmax(x)[0], rtol=2e-6, atol=2e-5)


def test_nan_spreads_over_its_row_and_no_further(device):
    x = single(0, 3, 70)
    x[1, 65] = np.nan
    p = device.get(cuda.softmax(device.asarray(x))[0])
    assert np.isnan(p).tolist() == [[False] * 70, [True] * 70, [False] * 70]


def test_layer_norm_with_more_rows_than_warps(device, monkeypatch):
    monkeypatch.setattr(sys.modules["tinygrad_gpt.kernels.cuda.layer_norm"], "MAX_BLOCKS", 2)
    x, gain, bias, dy = single(0, 37, 9), single(1, 9), single(2, 9), single(3, 37, 9)
    arrays = [device.asarray(array) for array in (x, gain, bias)]
    got = same_bits(device, lambda: cuda.layer_norm(*arrays)[1](device.asarray(dy)))
    for a, b in zip(got, ops.layer_norm(x, gain, bias)[1](dy), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("C", [768, 1600, 6145])
def test_layer_norm_of_wide_rows(C, device):
    arrays = single(0, 2, C), single(1, C), single(2, C)
    there = [*map(device.asarray, arrays)]
    y, vjp = kernel_for(ops.layer_norm, *there)(*there)
    wanted_y, wanted_vjp = ops.layer_norm(*arrays)
    np.testing.assert_allclose(device.get(y), wanted_y, rtol=1e-5, atol=1e-5)
    dy = single(3, 2, C)
    for a, b in zip(vjp(device.asarray(dy)), wanted_vjp(dy), strict=True):
        np.testing.assert_allclose(device.get(a), b, rtol=1e-4, atol=1e-5)


def test_columns_are_summed_in_pieces(device, monkeypatch):
    monkeypatch.setattr("tinygrad_gpt.kernels.cuda.columns.MIN_ROWS", 5)
    x = single(0, 83, 35)
    (got,) = same_bits(device, lambda: [column_sums(device.asarray(x))])
    np.testing.assert_allclose(got, x.sum(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 128, 129, 16_384, 16_385, 2_000_000])
def test_columns_are_summed_in_two_launches_at_most(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(columns, "launch", lambda *args, **options: seen.append(options["grid"][1]))
    column_sums(np.broadcast_to(np.float32(0), (rows, 1)))
    assert seen[-1] == 1
    assert len(seen) <= 2
    assert max(seen) <= columns.MAX_BLOCKS


# ---- storage in bfloat16


def test_casts_round_to_the_nearest(device, bfloat16):
    x = np.concatenate([single(0, 50), np.float32([np.inf, -np.inf, np.nan, 0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 3e38])])
    there = cast(device.asarray(x), bfloat16)
    np.testing.assert_array_equal(device.get(there).astype(np.float32), x.astype(bfloat16).astype(np.float32))
    assert device.get(cast(there, np.dtype("float32"))).dtype == np.float32
    assert cast(there, bfloat16) is there


def test_a_stream_of_float32_takes_up_bfloat16(device, bfloat16):
    a, b, dy = single(0, 3, 7), single(1, 3, 7).astype(bfloat16), single(2, 3, 7)
    y, vjp = cuda.add(device.asarray(a), device.asarray(b))
    da, db = vjp(device.asarray(dy))
    assert device.get(y).tobytes() == (a + b.astype(np.float32)).tobytes()
    assert (device.get(da) == dy).all()
    assert device.get(db).tobytes() == dy.astype(bfloat16).tobytes()


def test_parameters_and_their_gradients_stay_float32(device, bfloat16):
    x, weight, bias = single(0, 5, 6), single(1, 6, 4), single(2, 4)
    gain, shift = single(3, 6), single(4, 6)
    with precision("bfloat16"):
        normal_x, norm_vjp = cuda.layer_norm(*map(device.asarray, (x, gain, shift)))
        y, linear_vjp = cuda.linear(normal_x, *map(device.asarray, (weight, bias)))
        dx, dweight, dbias = linear_vjp(y)
        dstream, dgain, dshift = norm_vjp(dx)
        loss, loss_vjp = cuda.linear_cross_entropy(y, device.asarray(weight), device.asarray(np.arange(5)))
        dy, dhead, _ = loss_vjp(loss)
    assert {a.dtype for a in (normal_x, y, dx, dy)} == {bfloat16}
    assert {a.dtype.name for a in (dweight, dbias, dstream, dgain, dshift, loss, dhead)} == {"float32"}


def test_a_token_can_be_drawn_from_logits_in_bfloat16(device, bfloat16):
    logits = (5 * single(0, 2, 11)).astype(bfloat16)
    got = device.get(probabilities(device.asarray(logits), temperature=0.7, top_k=4))
    np.testing.assert_allclose(got, probabilities(logits.astype(np.float32), temperature=0.7, top_k=4), rtol=1e-12)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_model_writes_in_bfloat16(use_cache, device, bfloat16):
    config = GPTConfig(vocab_size=11, context_length=9, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0)
    model = GPT(config, seed=1, device="cuda")
    with precision("bfloat16"):
        steps = list(generate(model, [[1, 2, 3], [4]], 4, use_cache=use_cache, return_probabilities=True))
    for n, step in enumerate(steps):
        assert step.logits.dtype == bfloat16
        if n == 0:
            exact = [device.get(model(np.array([prompt])).data)[0, -1] for prompt in ([1, 2, 3], [4])]
            np.testing.assert_allclose(device.get(step.logits).astype(np.float32), exact, rtol=0.02, atol=0.01)


# ---- targets and ids


@pytest.mark.parametrize("target", [-1, 7, 2**40])
def test_a_target_outside_the_vocabulary_makes_the_loss_nan(target, device):
    x, weight, targets = single(0, 3, 4), single(1, 7, 4), np.array([0, target, 2])
    logits = device.asarray(x @ weight.T)
    assert np.isnan(device.get(cuda.cross_entropy(logits, device.asarray(targets))[0]))
    arrays = map(device.asarray, (x, weight, targets))
    assert np.isnan(device.get(cuda.linear_cross_entropy(*arrays)[0]))


def test_ignored_rows_are_not_looked_at(device):
    logits, targets = single(0, 3, 40), np.array([3, -100, 39])
    logits[1] = np.nan
    loss, vjp = cuda.cross_entropy(device.asarray(logits), device.asarray(targets), ignore_index=-100)
    wanted, wanted_vjp = ops.cross_entropy(logits, targets, ignore_index=-100)
    np.testing.assert_allclose(device.get(loss), wanted, rtol=1e-6)
    got = device.get(vjp(device.asarray(np.float32(2)))[0])
    np.testing.assert_allclose(got, wanted_vjp(np.float32(2))[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("chunk", [1, 30, 61])
def test_chunks_of_logits_add_up(chunk, device, monkeypatch):
    x, weight, targets = single(0, 7, 4), single(1, 15, 4), np.arange(7)
    chosen = {"ignore_index": 3, "reduction": "sum"}
    loss, vjp = ops.linear_cross_entropy(x, weight, targets, **chosen)
    monkeypatch.setattr(sys.modules["tinygrad_gpt.kernels.cuda.linear_cross_entropy"], "_LOGITS_PER_CHUNK", chunk)
    fast, fast_vjp = cuda.linear_cross_entropy(*map(device.asarray, (x, weight, targets)), **chosen)
    np.testing.assert_allclose(device.get(fast), loss, rtol=1e-5)
    for dloss in (np.float32(1), np.float32(-0.3)):  # what is kept serves more than once
        for got, want in zip(fast_vjp(device.asarray(dloss))[:2], vjp(dloss)[:2], strict=True):
            np.testing.assert_allclose(device.get(got), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "sizes"), [(10, [5, 5]), (19, [7, 7, 5]), (9, [9]), (1, [1])])
def test_chunks_of_logits_are_alike(rows, sizes, device, monkeypatch):
    """As few as there can be, and the last, which is kept for the way back, is no leftover."""
    module, seen = sys.modules["tinygrad_gpt.kernels.cuda.linear_cross_entropy"], []
    monkeypatch.setattr(module, "_LOGITS_PER_CHUNK", 9 * 15)
    monkeypatch.setattr(module, "gemm", lambda a, b, out, **how: seen.append(len(out)) or cuda.gemm(a, b, out, **how))
    arrays = single(0, rows, 4), single(1, 15, 4), np.arange(rows) % 15
    cuda.linear_cross_entropy(*map(device.asarray, arrays))
    assert seen == sizes


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_where_no_row_counts_it_is_as_the_op_has_it(reduction, device):
    """The mean of nothing is nan, and so is its gradient; the sum is 0."""
    x, weight, targets = single(0, 3, 4), single(1, 7, 4), np.full(3, 5)
    chosen = {"ignore_index": 5, "reduction": reduction}
    for name, arrays in {
        "cross_entropy": (x @ weight.T, targets),
        "linear_cross_entropy": (x, weight, targets),
    }.items():
        got, vjp = getattr(cuda, name)(*map(device.asarray, arrays), **chosen)
        with np.errstate(invalid="ignore", divide="ignore"):
            want, want_vjp = getattr(ops, name)(*arrays, **chosen)
            slopes = zip(vjp(device.asarray(np.float32(1))), want_vjp(np.float32(1)), strict=True)
            slopes = [(device.get(a), b) for a, b in slopes if b is not None]
        np.testing.assert_array_equal(device.get(got), want)
        for a, b in slopes:
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_long_rows_of_logits_under_every_schedule(device):
    x, weight, targets = single(0, 3, 2), 5 * single(1, 301, 2), np.array([300, 0, 17])

    def run():
        loss, vjp = cuda.linear_cross_entropy(*map(device.asarray, (x, weight, targets)))
        return [loss, *vjp(loss)[:2]]

    loss, vjp = ops.linear_cross_entropy(x, weight, targets)
    for got, want in zip(same_bits(device, run), [loss, *vjp(loss)[:2]], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_rows_of_repeated_ids_are_summed_in_the_order_they_came(device):
    ids = np.arange(600) ** 2 % 7 - 7 * (np.arange(600) % 2)  # some count from the end
    table, dy = single(0, 7, 3), 1000 * single(1, 600, 3)
    y, vjp = cuda.embedding(device.asarray(table), device.asarray(ids))
    (got,) = same_bits(device, lambda: vjp(device.asarray(dy))[:1])
    want = np.zeros_like(table)
    for i, row in zip(ids, dy, strict=True):
        want[i] += row
    assert got.tobytes() == want.tobytes()
    assert device.get(y).tobytes() == table[ids].tobytes()


def test_an_id_outside_the_table_gives_nan_and_takes_nothing(device):
    table = single(0, 4, 3)
    y, vjp = cuda.embedding(device.asarray(table), device.asarray(np.array([4, 1, -5, 1])))
    assert np.isnan(device.get(y)).all(-1).tolist() == [True, False, True, False]
    dtable = device.get(vjp(device.asarray(np.ones((4, 3), np.float32)))[0])
    assert dtable.tolist() == [[0] * 3, [2] * 3, [0] * 3, [0] * 3]
