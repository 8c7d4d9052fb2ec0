"""Our sampler, and the reference that the laws' expectations come from, under all laws of samplers."""

import numpy as np
import pytest

from tests.mutants.zoo.draws import DRAW_MUTANTS
from tinygrad_gpt import laws, rng, sampling
from tinygrad_gpt.laws.sampling import DROPPED, reference
from tinygrad_gpt.laws.sampling.robustness import has_close_neighbours, near_the_threshold

SETTINGS = {"temperature", "top_k", "top_p", "min_p", "per_row"}

ours = laws.SamplerUnderTest(
    name="ours",
    probabilities=sampling.probabilities,
    draw=sampling.draw,
    uniforms=sampling.uniforms,
    to_unit=rng.to_uniform,
    capabilities=SETTINGS,
)
ours_all_ties = laws.SamplerUnderTest(
    name="ours-all-ties",
    probabilities=lambda logits, **settings: sampling.probabilities(logits, ties="all", **settings),
    capabilities=SETTINGS,
    ties="all",
)
by_hand = laws.SamplerUnderTest(
    name="reference",
    probabilities=reference.probabilities,
    draw=reference.draw,
    uniforms=reference.uniforms,
    to_unit=reference.to_uniform,
    capabilities=SETTINGS,
)
by_hand_all_ties = laws.SamplerUnderTest(
    name="reference-all-ties",
    probabilities=lambda logits, **settings: reference.probabilities(logits, ties="all", **settings),
    capabilities=SETTINGS,
    ties="all",
)


def highest_id_first(logits, **settings):
    """Right but for its choice among equals: the reference on the ids in reverse."""
    return reference.probabilities(logits[:, ::-1], **settings)[:, ::-1]


def error_or(probabilities):
    """The same sampler with the stricter policies: T = 0 and k > V are errors, k = 0 is off."""

    def strict(logits, temperature=1.0, top_k=None):
        if temperature == 0 or (isinstance(top_k, int) and top_k > logits.shape[-1]):
            raise ValueError(f"no T = 0, no k > V; got {temperature}, {top_k}")
        off = top_k == 0 and type(top_k) is int
        return probabilities(logits, temperature=temperature, top_k=None if off else top_k)

    return strict


any_ties = laws.SamplerUnderTest(
    name="any-ties",
    probabilities=highest_id_first,
    capabilities={"top_k", "top_p", "min_p"},
    ties="any",
)
strict = laws.SamplerUnderTest(
    name="strict",
    probabilities=error_or(reference.probabilities),
    capabilities={"temperature", "top_k"},
    zero_temperature="error",
    large_k="error",
    zero_k="off",
)


def in_float32(logits, temperature=1.0, top_k=None):
    """Right, in single precision: exp underflows at -104, and has few digits from -87 on."""
    kept = reference.probabilities(logits, temperature=temperature, top_k=top_k) > 0  # refuses what is bad, too
    if temperature == 0:
        return kept.astype(np.float32)
    x = (logits - logits.max(-1, keepdims=True, initial=-np.inf)) / temperature
    weights = np.exp(np.where(kept, x, -np.inf).astype(np.float32))
    return weights / weights.sum(-1, keepdims=True)


single = laws.SamplerUnderTest(
    name="float32", probabilities=in_float32, capabilities={"temperature", "top_k"}, rtol=1e-5
)


@laws.parametrize_with_laws([ours, ours_all_ties, by_hand, by_hand_all_ties, any_ties, strict, single])
def test_law(sut, law):
    law.check(sut)


def test_every_law_of_the_list_is_there_or_dropped_with_a_reason():
    ids = {law.id for law in laws.SAMPLER_LAWS}
    assert ids | DROPPED.keys() == {f"S{n:02}" for n in range(1, 43)}
    assert not ids & DROPPED.keys()
    assert all(DROPPED.values())


def test_all_laws_but_none_are_checked_on_our_sampler():
    assert [law.id for law in laws.SAMPLER_LAWS if not law.applies_to(ours)] == []


def test_a_sampler_that_only_shows_ids_is_judged_by_them():
    black_box = laws.SamplerUnderTest(
        name="black box",
        token_u=lambda logits, u, **settings: sampling.draw(sampling.probabilities(logits, **settings), u),
        capabilities={"temperature", "top_k"},
    )
    report = laws.check(black_box, on_fail="report")
    held = {"S05", "S24", "S25", "S26", "S27", "S28", "S38"}
    assert {r.law.id for r in report.results if r.status == "held"} == held
    assert report.ok


def test_a_sampler_that_only_shows_tokens_is_judged_by_them():
    def token(logits, seed, n, **settings):
        u = np.random.Generator(np.random.Philox(key=seed)).random(n)
        return sampling.draw(sampling.probabilities(logits, **settings), u)

    black_box = laws.SamplerUnderTest(name="black box", token=token, capabilities={"temperature", "top_k"})
    report = laws.check(black_box, on_fail="report")
    assert {r.law.id for r in report.results if r.status == "held"} == {"S05", "S24", "S25", "S31", "S32", "S41"}
    assert report.ok


def through_logits(draw, precision=np.float64):
    """A sampler of which only token_u is to be seen, and behind it this draw."""

    def token_u(logits, u):
        weights = np.exp((logits - logits.max()).astype(precision))
        return draw(weights / weights.sum(), u)

    return token_u


@pytest.mark.parametrize("mutant", [mutant for mutant in DRAW_MUTANTS if mutant.sut.draw and not mutant.sut.uniforms])
def test_a_broken_draw_is_found_through_token_u_too(mutant):
    if mutant.name == "draws-with-float32-u":
        pytest.skip("what it misses is too rare to be asked for through the rounding of a logarithm")
    hidden = laws.SamplerUnderTest(name=mutant.name, token_u=through_logits(mutant.sut.draw))
    report = laws.check(hidden, profile="mutants", on_fail="report", only=["S26", "S27", "S28"])
    assert report.bad


def test_a_right_draw_in_float32_is_right_to_its_rtol():
    single = laws.SamplerUnderTest(name="float32", token_u=through_logits(reference.draw, np.float32), rtol=1e-5)
    laws.check(single, profile="ci", only=["S26", "S27", "S28", "S38"])


@pytest.mark.parametrize("window", ["token_u", "token"])
@pytest.mark.parametrize(("id", "setting"), [("S05", "temperature"), ("S25", "temperature"), ("S25", "top_k")])
def test_bad_answers_are_seen_through_every_window(window, id, setting):
    def wrong(logits, *where, **settings):
        clean = {name: value for name, value in settings.items() if name != setting}  # takes the setting, ignores it
        p = reference.probabilities(logits, **clean)
        return reference.draw(p, where[0] if window == "token_u" else np.random.default_rng(where[0]).random(where[1]))

    sut = laws.SamplerUnderTest(name="wrong", **{window: wrong}, capabilities={setting})
    assert laws.check(sut, profile="ci", on_fail="report", only=[id]).bad


def test_the_support_has_to_be_the_same_in_float32():
    def drops_rare(logits, **settings):
        p = reference.probabilities(logits, **settings)
        return np.where((p < 1e-6) & (logits.dtype == np.float32), 0, p)

    sut = laws.SamplerUnderTest(name="drops", probabilities=drops_rare)
    with pytest.raises(laws.LawBroken) as caught:
        laws.find("S34").replay(sut, logits=np.array([[0.0, 1.0], [0.0, -15.0]]), settings={})
    assert (caught.value.observed, caught.value.expected) == ("row 1: kept [0] for float32", "[0, 1], as for float64")


def test_what_rounding_decides_is_no_other_support():
    near = np.nextafter(np.float32(1), np.float32(2))
    assert has_close_neighbours(np.array([0, 1, near, 1], np.float32))
    assert not has_close_neighbours(np.array([0, 1, 1, -np.inf], np.float32))
    row = np.array([0.0, np.log(0.25), -9.0], np.float32)
    assert near_the_threshold(row, min_p=0.25)
    assert near_the_threshold(2 * row, min_p=0.25, temperature=2.0)
    assert not near_the_threshold(row, min_p=0.3)
    assert not near_the_threshold(row, top_k=2)

    def coarse_in_float32(logits, top_k=None, min_p=None):
        if logits.dtype == np.float32 and top_k:
            return reference.probabilities(np.floor(logits * 1000) / 1000, top_k=top_k)
        if logits.dtype == np.float32 and min_p:
            return reference.probabilities(logits, min_p=min_p * (1 + 1e-6))
        return reference.probabilities(logits, top_k=top_k, min_p=min_p)

    sut = laws.SamplerUnderTest(name="coarse", probabilities=coarse_in_float32, capabilities={"top_k", "min_p"})
    for logits, settings in [([1.0, near, -9.0], {"top_k": 1}), ([0.0, np.log(0.25), -9.0], {"min_p": 0.25})]:
        x = np.array([logits])
        narrow, wide = (sut.p(x.astype(dtype), **settings) > 0 for dtype in (np.float32, np.float64))
        assert (narrow != wide).any()
        laws.find("S34").replay(sut, logits=x, settings=settings)


def test_a_declared_policy_decides():
    keeps_all = laws.SamplerUnderTest(
        name="book", probabilities=ours_all_ties.probabilities, capabilities={"top_k"}, ties="exact"
    )
    with pytest.raises(laws.LawBroken) as caught:
        laws.find("S13").replay(keeps_all, logits=np.array([[0.0, 0.0]]), top_k=1)
    assert (caught.value.observed, caught.value.expected) == ("row 0: kept [0, 1]", "kept [0]")
    assert caught.value.policy == "ties='exact'"


@pytest.mark.parametrize("dropped", [lambda x, k: x < np.sort(x)[-k - 1], lambda x, k: x >= x.max()])
def test_even_any_tie_rule_keeps_what_is_above_and_only_k(dropped):
    def probabilities(logits, top_k):
        x = np.where(dropped(logits[0], top_k), -np.inf, logits[0])
        return reference.probabilities(x[None])

    sut = laws.SamplerUnderTest(name="wrong", probabilities=probabilities, capabilities={"top_k"}, ties="any")
    with pytest.raises(laws.LawBroken, match="ties='any'"):
        laws.find("S13").replay(sut, logits=np.array([[0.0, 1.0, 2.0, 3.0]]), top_k=2)


@pytest.mark.parametrize("policy", [{"zero_temperature": "error"}, {"large_k": "error"}, {"zero_k": "off"}])
def test_a_policy_that_is_not_kept_breaks_a_law(policy):
    sut = laws.SamplerUnderTest(
        name="ours", probabilities=sampling.probabilities, capabilities={"temperature", "top_k"}, **policy
    )
    with pytest.raises(AssertionError, match="broken by ours"):
        laws.check(sut, profile="ci", only=["S05", "S15", "S25"])


def test_digits_that_float32_does_not_have_are_not_asked_for_twice():
    """exp(-97) is 6e-43, of which float32 knows three digits: its logarithm, divided by 10, is off by 1e-4."""
    lost, kept = [0.0, 1.71484375, -8.0], [0.0, 1.71484375, -4.0]
    laws.find("S09").replay(single, logits=np.array([lost, kept]), first=0.1, second=10.0)
    floored = laws.SamplerUnderTest(
        name="has a floor",
        probabilities=lambda x, temperature=1.0: in_float32(x, max(temperature, 0.2)),
        capabilities={"temperature"},
        rtol=1e-5,
    )
    with pytest.raises(laws.LawBroken):
        laws.find("S09").replay(floored, logits=np.array([lost, kept]), first=0.1, second=10.0)


def test_a_sampler_in_float32_may_underflow_but_not_lose_what_is_likely():
    logits = np.array([[0.0, -90.0, -176.0]])  # 0, 8e-40 and 4e-77: no float32 has the digits of the last two
    for id, case in {"S06": {}, "S10": {"temperature": 1.0}}.items():
        laws.find(id).replay(single, logits=logits, **case)
        loses = laws.SamplerUnderTest(
            name="loses",
            probabilities=lambda x, temperature=1.0: np.eye(3)[[0]],
            capabilities={"temperature"},
            rtol=1e-5,
        )
        with pytest.raises(laws.LawBroken):
            laws.find(id).replay(loses, logits=np.array([[0.0, -80.0, -9.0]]), **case)


@pytest.mark.parametrize(("setting", "value"), [("temperature", np.float32(0.5)), ("top_k", np.int64(2))])
def test_a_replayed_scalar_of_numpys_is_judged_as_the_drawn_one_was(setting, value):
    laws.find("S25").replay(ours, logits=np.array([[0.0, 1.0, 2.0]]), setting=setting, value=value)


def test_temperature_last_is_another_right_order():
    def temperature_last(logits, temperature=1.0, **filters):
        left = sampling.probabilities(logits, **filters)
        return sampling.probabilities(np.log(left), temperature=temperature)

    fields = {"probabilities": temperature_last, "capabilities": {"temperature", "top_p", "min_p"}}
    last = laws.SamplerUnderTest(name="last", order="temperature last", **fields)
    laws.check(last, only=["S14", "S20", "S21"])
    first = laws.SamplerUnderTest(name="first", **fields)
    with pytest.raises(AssertionError, match="order='temperature first'"):
        laws.check(first, profile="ci", only=["S20"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"draw": None}, "needs probabilities, warp, token_u, token, draw or uniforms"),
        ({"draw": reference.draw, "capabilities": {"beam"}}, "capabilities of a sampler are among .*; got 'beam'"),
    ],
)
def test_an_adapter_says_what_is_wrong_with_it(fields, message):
    with pytest.raises(ValueError, match=message):
        laws.SamplerUnderTest(name="wrong", **fields)
