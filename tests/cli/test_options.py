"""Options from flags and TOML: the same values by either way."""

import tomllib
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tyro.conf import Positional

from tinygrad_gpt.cli.config_file import read_config, to_toml, toml_value
from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.options import Range, check_ranges, options_of, value_of, with_values
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.terminal import human_number, one_line


@dataclass(frozen=True)
class Group:
    """Some."""

    width: Annotated[int | None, Range(1)] = None
    """A width."""
    share: Annotated[float, Range(0, 1, below_high=True)] = 0.5
    """A share."""
    limit: Annotated[float | Literal["none"], Range(0, above_low=True)] = 1.0
    """A limit."""


@dataclass(frozen=True)
class Sample:
    """All kinds of options."""

    names: Annotated[tuple[str, ...], Positional] = ()
    """Names."""
    mode: Literal["a", "b"] | None = None
    """A mode."""
    loud: bool = False
    """Loud."""
    title: str | None = None
    """A title."""
    group: Group = field(default_factory=Group)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
samples = st.builds(
    Sample,
    names=st.lists(words, max_size=3).map(tuple),
    mode=st.sampled_from([None, "a", "b"]),
    loud=st.booleans(),
    title=st.none() | words,
    group=st.builds(
        Group,
        width=st.none() | st.integers(1, 2**64 - 1),
        share=st.floats(0, 1, exclude_max=True),
        limit=st.just("none") | st.floats(0, 1e300, exclude_min=True),
    ),
)


@given(samples)
@example(Sample(title='"\\\x7f\x00\r\n\u2028 🙂', names=("=", "#", "'''")))
def test_toml_gives_back_what_was_written(tmp_path_factory, options):
    path = tmp_path_factory.mktemp("toml") / "config.toml"
    path.write_text(to_toml(options), "utf-8", newline="")
    assert with_values(Sample(), read_config(str(path), Sample)) == options


@given(st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_every_value_is_toml(text, flag, whole, number):
    for value in (text, flag, whole, number, [text, text]):
        read = tomllib.loads(f"x = {toml_value(value)}")["x"]
        if value in (flag, whole, number):
            assert read == value
            assert type(read) is type(value)


@given(samples)
def test_flags_give_what_toml_gives(options):
    argv = ["--share", str(options.group.share), "--loud" if options.loud else "--no-loud"]
    argv += ["--limit", str(options.group.limit)]
    argv += [] if options.group.width is None else ["--width", str(options.group.width)]
    argv += [] if options.mode is None else ["--mode", options.mode]
    argv += [] if options.title is None else [f"--title={options.title}"]
    assert parse(Sample, [*argv, "--", *options.names], "sample") == options


@given(samples, samples)
def test_what_no_flag_gives_comes_from_the_default(options, default):
    argv = ["--share", str(options.group.share)]
    parsed = parse(Sample, argv, "sample", default)
    assert parsed == with_values(default, {"share": options.group.share})


@given(st.floats(), st.floats(-5, 5), st.floats(-5, 5), st.booleans(), st.booleans())
def test_a_range_holds_what_it_says(value, low, high, above_low, below_high):
    allowed = Range(low, high, above_low, below_high)
    assert allowed.holds(value) == (
        (low < value or (low == value and not above_low)) and (value < high or (value == high and not below_high))
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_range_holds_what_is_not_finite(value):
    assert not Range().holds(value)
    with pytest.raises(UserError, match="--share must be a finite number, at least 0 and below 1; got"):
        check_ranges(with_values(Sample(), {"share": value}))


def test_every_option_has_its_value():
    values = {option.name: value_of(Sample(), option) for option in options_of(Sample)}
    assert values == {
        "names": (),
        "mode": None,
        "loud": False,
        "title": None,
        "width": None,
        "share": 0.5,
        "limit": 1.0,
    }


@given(st.text())
def test_one_line_is_one_line(text):
    assert one_line(text).isprintable()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.7, "1 k"), (1817600, "1.82 M"), (25.3e9, "25.3 G"), (5e15, "5,000 T")],
)
def test_numbers_for_people_have_three_digits(number, text):
    assert human_number(number) == text
