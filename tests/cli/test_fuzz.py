"""Any command line ends with 0, with 2 and one line, or with 1 and one line; never with a traceback."""

from importlib import import_module

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.cli import COMMANDS
from tinygrad_gpt.cli.options import options_of

HOSTILE = [
    *("", " ", "-", "--", "-1", "0", "1", "2", "3", "1.5", "-0", "1e400", "nan", "inf", "-inf", "1_0", "0x10", "٣"),
    *("None", "True", "[]", "a\nb", "\x00", "\udcff", "é", "$(ls)", "../..", "/dev/null", "cpu", "bytes", "%s", "{0}"),
    *("tiny", "99999999999999999999", "18446744073709551616", "1e-320", "1e300", "x" * 5000, "╭─", "────", "['a']"),
]
FLAGS = {
    name: [
        option.flag
        for option in options_of(getattr(import_module(f"tinygrad_gpt.cli.{name}"), name.capitalize()))
        if not option.positional and option.name not in ("out", "overwrite", "page")
    ]
    for name in COMMANDS
}
QUICK = "--steps 2 --batch-size 2 --sample-tokens 2 --eval-tokens 20 --no-progress --out run --overwrite"
BOUND = {  # given last, so they count: no command line takes long
    "train": QUICK.split(),
    "generate": ["--max-new-tokens", "3"],
    "evaluate": ["--batch-size", "8"],
    "doctor": [],
    "laws": [],
}


@st.composite
def command_lines(draw):
    command = draw(st.sampled_from(["train", "train", "generate", "evaluate", "laws"]))
    value = st.sampled_from(HOSTILE) | st.text(max_size=5)
    flag = st.sampled_from(FLAGS[command]) | st.sampled_from(["--", "--x", "-h", "--no-x", "-"])
    pair = st.tuples(flag, value).map(list) | flag.map(lambda f: [f]) | value.map(lambda v: [v])
    joined = st.tuples(flag, value).map(lambda pair: [f"{pair[0]}={pair[1]}"])
    return command, draw(st.booleans()), [word for words in draw(st.lists(pair | joined, max_size=4)) for word in words]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(command_lines())
@example(("train", True, ["--lr", "1e300"]))
@example(("train", True, ["--eps", "0", "--clip-norm", "1e-320"]))
@example(("train", True, ["--sample-prompt", "\udcff"]))
@example(("train", True, ["--context-length", "1048576"]))
@example(("train", True, ["--errors", "ignore", "--encoding", "rot13"]))
@example(("train", False, ["--config", "/dev/null"]))
@example(("train", True, ["--out", "\x00"]))
@example(("generate", True, ["--temperature", "1e-320", "--top-k", "99999999999999999999"]))
@example(("generate", True, ["--stop", "\udcff", "--show-probabilities", "99999999999999999999"]))
@example(("generate", False, ["\x00", "a"]))
@example(("evaluate", True, ["\x00"]))
@example(("laws", False, ["x:y", "--only", ","]))
def test_no_command_line_gives_a_traceback(tg, tiny, run, text_file, tmp_path, case):
    command, with_input, given_flags = case
    inputs = {"train": [text_file, *tiny], "generate": [run, "To be"], "evaluate": [run, text_file]}
    before = inputs.get(command, []) if with_input else []
    after = [] if "--" in given_flags else BOUND[command]
    if command == "train" and not (with_input and after):
        after = ["--steps", "0"]  # would train for minutes on the reference manual
    result = tg(command, *before, *given_flags, *after)
    if result.code == 0:
        assert "Traceback" not in result.err
    elif result.code == 1:
        assert command == "train"
        assert "not finite" in result.err
    else:
        assert result.code == 2
        assert len([line for line in result.err.splitlines() if not line.startswith("note: ")]) == 1
