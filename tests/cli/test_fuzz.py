"""Any command line ends with 0, with 2 and one line and nothing written, or, where it says why, with 1.  No traceback.

The flags are those of the commands' dataclasses, so a new one is drawn here without being named.
"""

import io
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import TEXT, listing
from tinygrad_gpt.cli import COMMANDS, command_module
from tinygrad_gpt.cli.doctor import Speed
from tinygrad_gpt.cli.options import options_of
from tinygrad_gpt.cli.train.options import Train

pytestmark = pytest.mark.usefixtures("plain_plots", "quick")
DRAWN = settings(suppress_health_check=[*HealthCheck])
MANY = settings(DRAWN, max_examples=1000)

OPTIONS = {
    name: [*options_of(getattr(command_module(name), name.capitalize()))]
    for name in COMMANDS
    if name != "laws"  # has a parser of its own
}
NUMBERS = ["-1", "0", "1", "2", "3", "0.5", "1.5", "-0", "nan", "inf", "-inf", "1e-320", "1e300", "1e400", "1_0", "0x1"]
NUMBERS += ["99999999999999999999", "18446744073709551615", "-9" * 20, "9" * 400, "9" * 5000, "٣", "²", "½"]
WORDS = ["", " ", "-", "--", "None", "True", "[]", "a\nb", "\x00", "\udcff", "é", "$(ls)", "%s", "{0}", "╭─", "────"]
WORDS += [
    "x" * 5000,
    "['a']",
    "cpu",
    "bytes",
    "tiny",
    "softmax",
    "exercise",
    "json:loads",
    "wte.weight[0,0]",
    "a" * 250,
]
PATHS = ["folder", "empty.txt", "text.txt", "missing", "missing/there", "text.txt/x", "closed.txt", "loop", "dangling"]
PATHS += ["latin1.txt", "nul.txt", "run", "cut", "run/config.toml", ".", "..", "../up", "/dev/null", "new", "new.py"]
HOSTILE = st.sampled_from(NUMBERS) | st.sampled_from(WORDS) | st.sampled_from(PATHS)
HOSTILE |= st.text(st.characters(exclude_characters="/"), max_size=5)  # "/x" would be outside of the test's folder

FIRST = {  # what the command needs to get anywhere, and to be quick; what is drawn comes after it, and counts more
    "train": "--preset tiny --tokenizer bytes --emb-dim 8 --n-heads 2 --n-layers 1 --context-length 8 --batch-size 2",
    "trace": "--n-layers 1 --emb-dim 8 --n-heads 2 --context-length 4 --batch-size 1 --checks 1",
}
INPUT = {"train": "text.txt", "generate": "run To", "evaluate": "run text.txt", "sampling": "run To"}
LAST = {  # it counts most: no command line takes long
    "train": "--steps 2 --sample-tokens 2 --no-progress",
    "generate": "--max-new-tokens 3",
}
MAY_FAIL = {  # exit code 1, and what it says then
    "train": ["not finite", "could not save everything"],
    "generate": ["not finite"],
    "sampling": ["not finite"],
    "evaluate": ["has diverged"],
}


def value_of_type(option):
    """What the option's type allows, more often than not."""
    if get_origin(option.type) is Literal:
        return st.sampled_from(get_args(option.type))
    if option.type in (int, float) and option.range:
        low, high = option.range.low, option.range.high
        near = [low - 1, low, low + 1, high, high + 1]
        return st.sampled_from([f"{n:g}" for n in near if abs(n) < 4] + ["2", "3", "0.5", f"{high}0"])
    if option.type in (int, float, tuple[float, ...]):
        return st.sampled_from(NUMBERS)
    return st.sampled_from(PATHS)


def words_for(option):
    """The words that give an option, or should not."""
    value = value_of_type(option) | HOSTILE
    if option.positional:
        return value.map(lambda v: [v])
    if option.type is bool:
        no = f"--no-{option.name.replace('_', '-')}"
        return st.sampled_from([[option.flag], [no], [f"{option.flag}=True"]]) | value.map(lambda v: [option.flag, v])
    several = st.lists(value, max_size=3).map(lambda vs: [option.flag, *vs])
    return value.map(lambda v: [option.flag, v]) | value.map(lambda v: [f"{option.flag}={v}"]) | several


def command_lines(command):
    """Whether the input comes first, and some words."""
    if command == "laws":
        flags = st.sampled_from(["--profile", "--format", "--only"])
        options = st.tuples(flags, HOSTILE).map(list) | flags.map(lambda flag: [flag]) | HOSTILE.map(lambda v: [v])
    else:
        options = st.sampled_from(OPTIONS[command]).flatmap(words_for) if OPTIONS[command] else st.nothing()
    strange = HOSTILE.map(lambda v: [v]) | st.sampled_from([["--"], ["--x"], ["-h"], ["--no-x"], ["--help=x"]])
    parts = st.lists(options | options | options | strange, max_size=4)
    return st.booleans(), parts.map(lambda parts: [word for words in parts for word in words])


def toml_values():
    """Values as TOML writes them."""
    plain = ["-1", "0", "1", "2", "0.5", "nan", "-inf", "1e400", "9" * 20, "9" * 400, "true", "''", "'bytes'", "'new'"]
    other = ["[]", "['text.txt']", "[1, 'a']", "{}", "{a = 1}", "1979-05-27", "07:32:00", '"\\u0000"', "'\x00'", "x"]
    return st.sampled_from(plain + other)


def toml_files():
    """The bytes of a file that may be TOML, with keys that are options'."""
    names = st.sampled_from([option.name for option in options_of(Train)] + ["x", "texts.a", "'a b'", ""])
    line = st.tuples(names, toml_values()).map(" = ".join) | st.sampled_from(["[text]", "[[x]]", "# é", "="])
    return st.lists(line, max_size=4).map(lambda lines: "\n".join(lines).encode()) | st.binary(max_size=8)


@pytest.fixture
def quick(monkeypatch):
    """What would take a second, in a blink; nobody types anything; nothing leaves the test's folder."""
    monkeypatch.setattr("tinygrad_gpt.cli.doctor.matmul_speed", lambda: Speed(1e12, 1.0))
    monkeypatch.setattr("tinygrad_gpt.cli.train.corpus.reference_manual", lambda: TEXT[:600])
    monkeypatch.setattr("tinygrad_gpt.study.pitfalls.lesson.catch", lambda pitfall: "caught")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    replace = os.replace

    def guarded(draft, target, **settings):
        assert stat.S_ISREG(os.lstat(target).st_mode) if os.path.lexists(target) else True, target
        return replace(draft, target, **settings)

    monkeypatch.setattr(os, "replace", guarded)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def furnish(folder, run):
    """Files and folders of all kinds."""
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.doc").write_text("years of work")
    (folder / "text.txt").write_text(TEXT[:600])
    (folder / "empty.txt").touch()
    (folder / "closed.txt").touch(mode=0)
    (folder / "latin1.txt").write_bytes("café, crème".encode("latin-1") * 20)
    (folder / "nul.txt").write_bytes(bytes(200))
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    shutil.copytree(run, folder / "run")
    shutil.copytree(run, folder / "cut")
    os.truncate(folder / "cut" / "model.safetensors", 100)


@pytest.fixture
def check(tg, run, tmp_path, monkeypatch):
    """Call a command in a furnished folder, and hold it to what every command line is held to."""

    def check(command, with_input, words, config=None):
        folder = tmp_path / "folder"
        furnish(folder, run)
        monkeypatch.chdir(folder)
        if config is not None:
            Path("config.toml").write_bytes(config)
        first, last = (place.get(command, "").split() for place in (FIRST, LAST))
        given = INPUT.get(command, "").split() if with_input else []
        end = words.index("--") if "--" in words else len(words)
        before = listing(tmp_path)
        try:
            result = tg(command, *first, *given, *words[:end], *last, *words[end:])
            judge(command, result)
            if result.code == 2:
                after = listing(tmp_path)
                assert not {path for path in before | after if before.get(path) != after.get(path)}
            assert result.code != 1 or any(words in result.err for words in MAY_FAIL.get(command, []))
        finally:
            monkeypatch.chdir(tmp_path)
            for path in tmp_path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return check


def judge(command, result):
    """The exit code, and what it goes with."""
    assert result.code in (0, 1, 2)
    assert "Traceback" not in result.err
    told = [line for line in result.err.splitlines() if not line.startswith(("note: ", "WARNING: "))]
    assert len(told) == (0 if result.code == 0 else 1)
    if result.code == 2:
        assert told[0].startswith(f"tinygrad-gpt {command}: ")
        assert len(told[0]) > len(f"tinygrad-gpt {command}: ") + 5
        assert result.out == ""


@pytest.mark.parametrize("command", COMMANDS)
@DRAWN
@given(st.data())
def test_no_command_line_gives_a_traceback(check, command, data):
    check(command, *(data.draw(part) for part in command_lines(command)))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@MANY
@given(st.data())
def test_not_one_in_a_thousand_gives_a_traceback(check, command, data):
    check(command, *(data.draw(part) for part in command_lines(command)))


@DRAWN
@given(toml_files())
@example(b"val_fraction = 1e400")
def test_no_configuration_file_gives_a_traceback(check, config):
    check("train", False, ["--config", "config.toml"], config)


@pytest.mark.slow
@MANY
@given(toml_files())
def test_not_one_configuration_file_in_a_thousand_gives_a_traceback(check, config):
    check("train", False, ["--config", "config.toml"], config)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["--lr", "1e300"]),
        ("train", ["--eps", "0", "--clip-norm", "1e-320"]),
        ("train", ["--sample-prompt", "\udcff"]),
        ("train", ["--context-length", "1048576"]),
        ("train", ["--errors", "ignore", "--encoding", "rot13"]),
        ("train", ["--out", "new", "--warmup-steps", "9"]),
        ("train", ["--config", "/dev/null"]),
        ("train", ["--out", "\x00"]),
        ("train", ["--out", "/dev/null", "--overwrite"]),
        ("generate", ["--temperature", "1e-320", "--top-k", "99999999999999999999"]),
        ("generate", ["--stop", "\udcff", "--show-probabilities", "99999999999999999999"]),
        ("evaluate", ["\x00"]),
        ("laws", ["x:y", "--only", ","]),
        ("trace", ["--json", "/dev/null"]),
        ("sampling", ["--html", "/dev/null"]),
        ("pitfalls", ["exercise", "gelu", "--file", "/dev/null"]),
    ],
)
def test_what_once_gave_one(check, command, words):
    check(command, True, words)
