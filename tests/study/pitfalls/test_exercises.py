"""Exercises: right solutions pass, each usual mistake is known, and a broken file is told of in one line."""

import sys

import numpy as np
import pytest

from tinygrad_gpt.study.derivatives import by_differences
from tinygrad_gpt.study.pitfalls.exercises import ALL_EXERCISES, BY_NAME
from tinygrad_gpt.study.pitfalls.exercises.checking import RTOL, about_numbers, check, upstream
from tinygrad_gpt.study.pitfalls.exercises.learner import Complaint

SOLUTIONS = {  # what a learner would write in place of the raise
    "multiply": "return dy * b, dy * a",
    "add": """def home(x):
    lost = dy.ndim - x.ndim
    axes = tuple(range(lost)) + tuple(i + lost for i in range(x.ndim) if x.shape[i] == 1)
    return dy.sum(axes, keepdims=True).reshape(x.shape)
return home(a), home(b)""",
    "matmul": "return dy @ b.T, a.T @ dy",
    "embedding": """dtable = np.zeros_like(table)
np.add.at(dtable, ids, dy)
return dtable, None""",
    "gelu": "return (0.5 * dy * (1 + t + x * (1 - t**2) * C * (1 + 3 * A * x**2)),)",
    "softmax": "return (p * (dp - (dp * p).sum(-1, keepdims=True)),)",
    "cross_entropy": """dlogits = np.exp(logp)
dlogits[rows, targets] -= 1
return dlogits * (dloss / len(targets)), None""",
    "layer_norm": """dxhat = dy * gain
along = dxhat.mean(-1, keepdims=True) + xhat * (dxhat * xhat).mean(-1, keepdims=True)
rows = tuple(range(dy.ndim - 1))
return rstd * (dxhat - along), (dy * xhat).sum(rows), dy.sum(rows)""",
    "causal_attention": """dp = dy @ v.T
ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / D**0.5
return ds @ k, ds.T @ q, p.T @ dy""",
}
NUL_ERROR = "SyntaxError" if sys.version_info >= (3, 11, 4) else "ValueError"  # of a text with NUL
MISTAKES = [(exercise, mistake) for exercise in ALL_EXERCISES for mistake in exercise.mistakes]

every = pytest.mark.parametrize("exercise", ALL_EXERCISES, ids=BY_NAME)


def solved(exercise, body, **replacements):
    """The starting file with a body for its vjp, and other lines replaced."""
    indented = "\n".join(" " * 8 + line for line in body.splitlines())
    text = exercise.starting_file().replace('        raise NotImplementedError("write me")', indented)
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def judged(tmp_path):
    """Check a text as the file of an exercise."""

    def judge(exercise, text):
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return check(exercise, path)

    return judge


@every
def test_a_right_solution_is_right_by_the_laws(judged, exercise):
    verdict = judged(exercise, solved(exercise, SOLUTIONS[exercise.name]))
    assert verdict.right, verdict.text
    assert verdict.text.startswith(f"mine.py: {exercise.name} is right, by these laws:")
    for id in ("G02", "G03", "G05", "G12", "G18", "E11"):
        assert f"  {id}  " in verdict.text
    assert ("G09" in verdict.text) == (exercise.name == "embedding")
    assert ("G06" in verdict.text) == (exercise.name == "add")


@pytest.mark.slow
@every
def test_the_shipped_op_is_right(judged, exercise):
    text = f"from tinygrad_gpt.study.pitfalls.exercises import BY_NAME\n{exercise.name} = BY_NAME[{exercise.name!r}].op"
    assert judged(exercise, text).right


@every
def test_the_starting_file_says_that_it_is_unfinished(judged, exercise):
    with pytest.raises(Complaint, match=r"mine.py, line \d+: still to be written") as found:
        judged(exercise, exercise.starting_file())
    assert found.value.unfinished
    assert all(len(line) <= 80 for line in exercise.starting_file().splitlines())


def test_every_exercise_has_its_mistakes():
    assert len(ALL_EXERCISES) >= 8
    assert all(len(exercise.mistakes) >= 2 for exercise in ALL_EXERCISES)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=[f"{e.name}-{i}" for i, (e, _) in enumerate(MISTAKES)])
def test_a_usual_mistake_gets_its_hint_and_the_first_wrong_entry(judged, exercise, mistake):
    position = exercise.inputs.index(mistake.input)
    number = exercise.mistakes.index(mistake)
    verdict = judged(
        exercise,
        f"""
from tinygrad_gpt.study.pitfalls.exercises import BY_NAME
exercise = BY_NAME[{exercise.name!r}]

def {exercise.name}(*arrays):
    y, vjp = exercise.op(*arrays)

    def wrong(dy):
        gradients = list(vjp(dy))
        gradients[{position}] = exercise.mistakes[{number}].gradient(dy, *arrays)
        return tuple(gradients)

    return y, wrong
""",
    )
    assert not verdict.right
    assert f"Hint: {mistake.hint}" in " ".join(verdict.text.split())
    assert f"d{mistake.input}{first_wrong(exercise, mistake, position)}" in verdict.text


def first_wrong(exercise, mistake, position):
    """By a loop: place, got, wanted of the first entry that differs, on the first case where one does."""
    for arrays in exercise.cases:
        dy = upstream(exercise.op(*arrays)[0])
        got = mistake.gradient(dy, *arrays)
        wanted = by_differences(lambda *inputs: exercise.op(*inputs)[0], arrays, position, dy)
        for place in np.ndindex(wanted.shape):
            if abs(got[place] - wanted[place]) > 1e-7 + RTOL * abs(wanted[place]):
                return f"[{', '.join(map(str, place))}] is {got[place]:.6g}, should be {wanted[place]:.6g}"
    raise AssertionError("the mistake makes no difference")


SOFTMAX, GELU, ADD, EMBEDDING = (BY_NAME[name] for name in ("softmax", "gelu", "add", "embedding"))


@pytest.mark.parametrize(
    ("exercise", "body", "said"),
    [
        (SOFTMAX, "return (np.zeros_like(dp),)", "Hint: it is 0 everywhere."),
        (SOFTMAX, "return (-p * (dp - (dp * p).sum(-1, keepdims=True)),)", "Hint: the sign is wrong."),
        (SOFTMAX, "return (3 * p * (dp - (dp * p).sum(-1, keepdims=True)),)", "Hint: it is 3 times what it should be"),
        (SOFTMAX, "return (p * (dp - (dp * p).sum(-1, keepdims=True)) + dp.sum(-1, keepdims=True),)", "one number per"),
        (SOFTMAX, "return (p / 0,)", "Hint: it is not finite"),
        (SOFTMAX, "return p", "vjp must return a tuple of 1: (dx,), one gradient per array; got ndarray"),
        (SOFTMAX, "dp *= p; return (dp - p * dp.sum(-1, keepdims=True),)", "vjp changed dp in place: others still"),
        (SOFTMAX, "x[:] = 2; return (p * (dp - (dp * p).sum(-1, keepdims=True)),)", "an input array was changed"),
        (SOFTMAX, "return None", "vjp must return a tuple of 1: (dx,), one gradient per array; got NoneType"),
        (SOFTMAX, "return p, p", "vjp must return a tuple of 1: (dx,), one gradient per array; got 2 of them"),
        (SOFTMAX, "return (None,)", "dx must be an array; got None"),
        (SOFTMAX, "return ('p',)", "dx must be an array of numbers; got <U1"),
        (SOFTMAX, "return (p.sum(),)", "dx must have shape (1, 3); got ()"),
        (SOFTMAX, "return (p.T,)", "dx must have shape (1, 3); got (3, 1) Hint: it is transposed."),
        (SOFTMAX, "return (dp @ p,)", "mine.py, line 17: ValueError: matmul"),
        (SOFTMAX, "return (q,)", "mine.py, line 17: NameError: name 'q' is not defined"),
        (SOFTMAX, "raise SystemExit", "mine.py, line 17: SystemExit"),
        (ADD, "return dy, dy", "Hint: b was repeated to that shape: sum over the repeated axes."),
        (EMBEDDING, "return table * 0, ids", "dtable[0, 0] is 0"),
        (EMBEDDING, SOLUTIONS["embedding"].replace("None", "ids"), "dids must be None: whole numbers have no gradient"),
    ],
)
def test_other_answers_are_told_what_is_wrong_with_them(judged, exercise, body, said):
    verdict = judged(exercise, solved(exercise, body))
    assert not verdict.right
    assert said in " ".join(verdict.text.split())
    assert "Traceback" not in verdict.text


def test_the_laws_see_what_numbers_in_float64_cannot(judged):
    body = "dx = p * (dp - (dp * p).sum(-1, keepdims=True))\nreturn (dx.astype(np.float64),)"
    verdict = judged(SOFTMAX, solved(SOFTMAX, body))
    assert not verdict.right
    assert "G10, dtypes are kept" in verdict.text


def test_a_forward_pass_that_was_changed_is_noticed(judged):
    text = solved(GELU, SOLUTIONS["gelu"], **{"0.044715": "0.44715"})
    assert judged(GELU, text).text.startswith("The forward pass has changed: y[0] is ")
    text = solved(GELU, SOLUTIONS["gelu"], **{"return y, vjp": "return y"})
    assert judged(GELU, text).text.startswith("gelu must return (y, vjp)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.py has no function gelu"),
        ("gelu = 3", "mine.py has no function gelu"),
        ("def gelu(x):\n    return x +", "mine.py, line 2: SyntaxError: invalid syntax"),
        ("import nonsense_module", "mine.py, line 1: ModuleNotFoundError: No module named 'nonsense_module'"),
        ("x = 1\n\x00", f"mine.py: {NUL_ERROR}: source code string cannot contain null bytes"),
        ("raise NotImplementedError", "mine.py, line 1: still to be written"),
        ("open('/nowhere/x')", "mine.py, line 1: FileNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_judged_is_told_of_in_a_line(judged, text, said):
    with pytest.raises(Complaint) as found:
        judged(GELU, text)
    assert str(found.value).startswith(said)
    assert "\n" not in str(found.value)


def test_a_file_that_is_no_utf_8_is_told_of_in_a_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes(b"x = '\xff'")
    with pytest.raises(Complaint, match=r"mine\.py.*SyntaxError"):
        check(GELU, path)


def test_numbers_without_a_known_mistake_still_get_a_hint():
    wanted = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert about_numbers(wanted.T, wanted) == "it is transposed."
    assert "most entries are right" in about_numbers(wanted + np.eye(2) * [1, 0], wanted)
    assert "work out one entry" in about_numbers(np.array([[2.0, 1.0], [7.0, 9.0]]), wanted)


def test_what_is_tried_tells_the_right_answer_from_ones_and_from_a_sum():
    dy = upstream(np.zeros((2, 4)))
    assert len(np.unique(dy)) == dy.size
    assert 0 not in dy
    assert 1 not in dy
