"""A function that fails on its very first call is one finding about it, not one about each law."""

import json

import numpy as np
import pytest
from hypothesis import strategies as st

from tinygrad_gpt import laws
from tinygrad_gpt.laws import law as law_module
from tinygrad_gpt.laws.strategies import arrays, dyadic


def rms_norm(x, gain):
    rstd = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    xhat = x * rstd

    def vjp(dy):
        dxhat = dy * gain
        dx = rstd * (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True))
        return dx, (dy * xhat).sum(tuple(range(dy.ndim - 1)))

    return xhat * gain, vjp


def rms_norm_of(x, gain):
    return gain * x / ((x**2).sum(-1, keepdims=True) / x.shape[-1] + 1e-5) ** 0.5


def linear(x, w):
    return x @ w, lambda dy: (dy @ w.T, x.T @ dy)


def fails(*arrays, **settings):
    raise LookupError("nothing there")


OPS = {
    "RMSNorm": laws.OpUnderTest(name="RMSNorm", op=rms_norm, arity=2),
    "linear": laws.OpUnderTest(name="linear", op=linear, arity=2),
    "an arity forgotten": laws.OpUnderTest(name="linear", op=linear),
}


def check(sut, **options):
    return laws.check(sut, profile="ci", on_fail="report", **options)


@pytest.mark.parametrize("sut", OPS.values(), ids=OPS)
def test_an_op_that_is_not_for_the_default_arrays_is_one_finding_with_the_remedy(sut):
    report = check(sut)
    assert {result.status for result in report.results} <= {"skipped", "not checked", "held"}
    assert not report.ok
    assert f"\n\n{sut.name}: the op fails on the default arrays\n\n  call      sut.op(np.array(0.5)" in str(report)
    assert str(report).count("remedy    give domain=, a strategy of (arrays, settings) that it accepts; or arity=") == 1
    assert len(str(report).splitlines()) < len(report.results) + 10
    assert report.markdown().count("remedy") == 1
    with pytest.raises(AssertionError) as caught:
        laws.check(sut, profile="ci")
    assert str(caught.value).count("remedy") == 1


def test_with_a_domain_it_is_checked():
    case = st.tuples(st.tuples(arrays((3, 2), dyadic(3)), arrays((2,), dyadic(3))), st.just({}))
    assert check(laws.OpUnderTest(name="RMSNorm", op=rms_norm, reference=rms_norm_of, domain=case)).ok


def test_a_domain_whose_simplest_case_fails_is_one_finding():
    case = st.tuples(st.tuples(arrays((3, 2), dyadic(3)), arrays((3,), dyadic(3))), st.just({}))
    text = str(check(laws.OpUnderTest(name="RMSNorm", op=rms_norm, domain=case)))
    assert (
        "\n\nRMSNorm: the op fails on the simplest case of its domain\n\n  call      sut.op(np.array([[0.0, 0.0]"
        in text
    )
    assert text.count("remedy") == 1
    assert ": broken by " not in text


def steps(optimizer, gradients):
    raise LookupError("nothing there")


SIMPLE = {"init": lambda parameters, **settings: parameters, "parameters": lambda parameters: parameters}
FAILING = {
    "loss": laws.LossUnderTest(name="mine", loss=fails),
    "gradient": laws.LossUnderTest(name="mine", gradient=fails),
    "evaluate": laws.LossUnderTest(name="mine", evaluate=fails),
    "accumulate": laws.LossUnderTest(name="mine", accumulate=fails),
    "perplexity": laws.LossUnderTest(name="mine", perplexity=fails),
    "bits_per_byte": laws.LossUnderTest(name="mine", bits_per_byte=fails),
    "score": laws.LossUnderTest(name="mine", score=fails),
    "init": laws.OptimizerUnderTest(name="mine", **{**SIMPLE, "init": fails}, step=fails),
    "step": laws.OptimizerUnderTest(name="mine", **SIMPLE, step=fails),
    "parameters": laws.OptimizerUnderTest(
        name="mine", **{**SIMPLE, "parameters": fails}, step=lambda optimizer, gradients: None
    ),
    "clip": laws.OptimizerUnderTest(name="mine", clip=fails),
    "schedule": laws.OptimizerUnderTest(name="mine", schedule=fails),
    "probabilities": laws.SamplerUnderTest(name="mine", probabilities=fails),
    "warp": laws.SamplerUnderTest(name="mine", warp=fails),
    "token_u": laws.SamplerUnderTest(name="mine", token_u=fails),
    "token": laws.SamplerUnderTest(name="mine", token=fails),
    "draw": laws.SamplerUnderTest(name="mine", draw=fails),
    "uniforms": laws.SamplerUnderTest(name="mine", uniforms=fails),
    "load": laws.LoaderUnderTest(name="mine", load=fails, batch=fails, order="random"),
    "batch": laws.LoaderUnderTest(name="mine", load=lambda tokens, **sizes: tokens, batch=fails, order="random"),
    "split": laws.LoaderUnderTest(name="mine", split=fails),
    "store": laws.LoaderUnderTest(name="mine", store=fails),
    "tokenizer": laws.LoaderUnderTest(name="mine", tokenizer=fails),
}


@pytest.mark.parametrize("function", FAILING)
def test_a_function_that_fails_on_its_first_call_is_one_finding_with_its_form(function):
    report = check(FAILING[function])
    assert not report.ok
    (told,) = [finding for finding in report.findings if finding.startswith("mine: ")]
    assert told.startswith(f"mine: {function} fails on its first call\n")
    assert f"\n  call      sut.{function}(" in told
    assert "\n  observed  LookupError: nothing there\n" in told
    assert f"\n  remedy    its form is {function}(" in told


def test_json_holds_the_call(capsys):
    report = json.loads(check(FAILING["loss"], only=["L01"]).json())
    (entry,) = report["laws"]
    assert (entry["status"], entry["reason"]) == ("not checked", "loss fails on its first call")
    assert entry["replay"].splitlines()[-1].startswith("sut.loss(np.array([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]]), ")


def test_such_a_law_may_be_expected_to_fail():
    report = check(FAILING["loss"], only=["L01"], expected_failures={"L01": "not written yet"})
    assert report.ok
    with pytest.raises(laws.LawBroken, match="loss fails on its first call"):
        laws.find("L01").check(FAILING["loss"], "ci")


def test_one_that_fails_later_is_a_finding_about_laws():
    def of_few_rows(logits, targets):
        if len(logits) > 2:
            raise LookupError("too many rows")
        return np.float64(0)

    report = check(laws.LossUnderTest(name="mine", loss=of_few_rows))
    assert "broken" in {result.status for result in report.results}
    assert "not checked" not in {result.status for result in report.results}


def test_another_function_that_fails_does_not_hide_what_a_law_has_found():
    sut = laws.LossUnderTest(name="mine", loss=lambda logits, targets: np.float64(-1), score=fails)
    status = {result.law.id: result.status for result in check(sut).results}
    assert status["L01"] == "broken"
    assert status["L11"] == "not checked"


def test_the_objects_that_hold_are_never_asked_for_a_first_call(monkeypatch):
    monkeypatch.setattr(law_module, "failed_call", fails)
    same = laws.OpUnderTest(name="same", op=lambda x: (x.copy(), lambda dy: (dy.copy(),)))
    assert check(same).ok


def test_numpys_warnings_are_no_findings_and_no_noise(recwarn):
    def mean(x):
        np.zeros(0).mean()
        return x * 1, lambda dy: (dy * 1,)

    assert check(laws.OpUnderTest(name="mean", op=mean)).ok
    assert not recwarn.list
