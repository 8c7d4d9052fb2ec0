"""The stand-in refuses what CuPy refuses, notes what CuPy waits for, and knows the installed CuPy's names."""

import json

import numpy as np
import pytest

from tests.cuda.names import FILE, offered
from tests.cuda.standin import Memory, Transfer, check_guards
from tinygrad_gpt.backend import array_module, synchronize, to_device, to_host

HOST = np.ones(3, np.float32)
REFUSED = {
    "device + numpy": lambda xp, a: a + HOST,
    "numpy + device": lambda xp, a: HOST + a,
    "np.exp(device)": lambda xp, a: np.exp(a),
    "np.asarray(device)": lambda xp, a: np.asarray(a),
    "xp.exp(numpy)": lambda xp, a: xp.exp(HOST),
    "xp.where(mask, numpy, 0)": lambda xp, a: xp.where(a > 0, HOST, 0),
    "a[numpy index]": lambda xp, a: a[np.array([0])],
    "a[0] = numpy": lambda xp, a: a.__setitem__(0, HOST),
    "out= of numpy": lambda xp, a: xp.exp(a, out=HOST),
    "sum(where=)": lambda xp, a: xp.sum(a, where=a > 1),
    "a.sum(where=)": lambda xp, a: a.sum(where=a > 1),
    "a.max(initial=)": lambda xp, a: a.max(initial=0),
    "take(mode=)": lambda xp, a: xp.take(a, xp.zeros(1, dtype=np.int64), mode="clip"),
    "argsort(stable=)": lambda xp, a: xp.argsort(a, stable=True),
    "reshape(shape=)": lambda xp, a: xp.reshape(a, shape=(6,)),
    "exp(where=)": lambda xp, a: xp.exp(a, where=a > 1),
    "errstate": lambda xp, a: xp.errstate,
    "vecdot": lambda xp, a: xp.vecdot,
    "fromfunc": lambda xp, a: xp.frompyfunc,
    "a.resize": lambda xp, a: a.resize,
    "add.identity": lambda xp, a: xp.add.identity,
    "a device number as an index": lambda xp, a: [1, 2, 3][xp.asarray(1)],
}


@pytest.fixture
def a(device):
    return device.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what, device, a):
    with pytest.raises((TypeError, AttributeError, ValueError)):
        REFUSED[what](device.xp, a)


WAIT, READ, SENT = Transfer("wait", 0), Transfer("to host", 4), Transfer("to device", 4)
NOTED = {
    "float": (lambda xp, a: float(a[0, 0]), [READ]),
    "if": (lambda xp, a: bool(a[0, 0]), [READ]),
    "item": (lambda xp, a: a.sum().item(), [READ]),
    "get": (lambda xp, a: a[0, :1].get(), [READ]),
    "f-string": (lambda xp, a: f"{a[0, 0]:.1f}", [READ]),
    "a[mask]": (lambda xp, a: a[a > 1], [WAIT]),
    "a[mask] = 0": (lambda xp, a: a.__setitem__(a > 1, 0), [WAIT, SENT]),
    "a[ids] = 0": (lambda xp, a: a.__setitem__(xp.zeros(2, int), 0), [SENT]),
    "nonzero": (lambda xp, a: xp.nonzero(a), [WAIT]),
    "flatnonzero": (lambda xp, a: xp.flatnonzero(a), [WAIT]),
    "asarray": (lambda xp, a: xp.asarray(HOST[:1]), [SENT]),
    "array of a list": (lambda xp, a: xp.array([1.0], np.float32), [SENT]),
    "set": (lambda xp, a: a[0, :1].set(HOST[:1]), [SENT]),
    "all that stays": (lambda xp, a: xp.where(a > 1, a * 2, 0).sum(axis=0)[::2].reshape(-1, 1) @ xp.ones((1, 2)), []),
    "copyto with a mask": (lambda xp, a: xp.copyto(a, 0, where=a > 1), []),
    "a slice set": (lambda xp, a: a.__setitem__((slice(None), 0), 7), []),
    "full, arange": (lambda xp, a: (xp.full((), 2.5), xp.arange(3)), []),
}


@pytest.mark.parametrize("what", NOTED)
def test_it_notes_what_waits(what, device, a):
    attempt, noted = NOTED[what]
    device.transfers.clear()
    attempt(device.xp, a)
    assert device.transfers == noted


def test_results_have_cupys_form(device, a):
    xp = device.xp
    assert isinstance(a.sum(), xp.ndarray)
    assert a.sum().shape == ()
    product = square = xp.ones((2, 2))
    product @= square  # there is no __imatmul__: a new array
    assert product is not square
    assert device.get(square).tolist() == [[1, 1], [1, 1]]
    assert array_module(a) is array_module(1, a) is xp
    assert array_module(HOST) is np
    assert xp.__name__ == "cupy"
    synchronize()


def test_views_share_memory_and_results_do_not(device, a):
    a.T[0] = 9
    assert device.get(a).tolist() == [[9, 1, 2], [9, 4, 5]]
    assert a.T.data.ptr == a.data.ptr
    assert (a + 0).data.ptr != a.data.ptr
    assert a.data.ptr % 512 == 0
    assert (a[1].flags.c_contiguous, a.T.flags.c_contiguous, a[:, 1].strides) == (True, False, (12,))


def test_what_nobody_wrote_is_nan(device):
    assert np.isnan(device.get(device.xp.empty((2, 3)))).all()
    assert np.isnan(device.get(device.xp.empty_like(device.xp.zeros(3, np.float32)))).all()


@pytest.mark.parametrize("place", [-1, 24])
def test_guards_are_watched(place, device, a):
    memory = a._memory
    memory.root[memory.start + place] ^= 1
    with pytest.raises(AssertionError, match=r"^it wrote outside of an array of 24 bytes$"):
        check_guards("it")
    memory.root[memory.start + place] ^= 1
    assert memory in Memory.live


def test_bfloat16_is_for_kernels(device):
    x = device.asarray(np.ones((2, 3), pytest.importorskip("ml_dtypes").bfloat16))
    for attempt in (lambda: x + 1, lambda: x @ x.T, lambda: device.xp.exp(x), lambda: x.sum()):
        with pytest.raises(TypeError, match="bfloat16 is for kernels alone"):
            attempt()
    assert device.get(x.reshape(3, 2).T[:1].astype(np.float32)).tolist() == [[1, 1, 1]]


def test_arrays_move_by_name(device):
    there = to_device(HOST, "cuda")
    assert device.transfers == [Transfer("to device", 12)]
    assert to_device(there, "cuda") is there
    assert to_device(there, "auto") is there
    assert to_host(there).tolist() == to_device(there, "cpu").tolist() == [1, 1, 1]
    assert [kind for kind, _ in device.transfers] == ["to device", "to host", "to host"]


def test_the_names_are_those_of_the_installed_cupy():
    cupy = pytest.importorskip("cupy")
    known, found = json.loads(FILE.read_text()), offered(cupy)
    if known.pop("version") != found.pop("version"):
        pytest.skip(f"the names are those of another CuPy than {cupy.__version__}")
    assert known == found
