"""Every command explains itself, and says nothing that is not so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_gpt
from tinygrad_gpt.cli import COMMANDS, command_module
from tinygrad_gpt.cli.options import options_of
from tinygrad_gpt.laws.command import parser as laws_parser
from tinygrad_gpt.nn import PRESETS

OPTIONS = {
    name: getattr(command_module(name), name.capitalize())
    for name in COMMANDS
    if name != "laws"  # has a parser of its own
}


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_the_program_lists_its_commands(tg, argv):
    result = tg(*argv)
    assert (result.code, result.err) == (0, "")
    assert all(f"  {name}" in result.out for name in COMMANDS)


def test_help_before_a_command_is_help_after_it(tg):
    assert tg("help", "doctor") == tg("doctor", "--help")
    assert tg("help", "trian").err == "tinygrad-gpt: unknown command 'trian'; did you mean train?\n"


def test_the_version_is_the_packages(tg):
    assert tg("--version").out == f"tinygrad-gpt {tinygrad_gpt.__version__}\n"


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_is_in_the_help_with_a_sentence(tg, command):
    result = tg(command, "--help")
    assert (result.code, result.err) == (0, "")
    words = " ".join(result.out.replace("│", " ").split())
    for option in options_of(OPTIONS[command]):
        if not option.positional:
            after = words.split(option.flag + " ", 1)[-1] if f"{option.flag} " in words else words.split(option.flag)[1]
            assert len(after) > 20, option.flag
    assert max(map(len, result.out.splitlines())) <= 120
    assert "None" not in result.out


@pytest.mark.parametrize("command", OPTIONS)
def test_names_of_options_are_unique_across_groups(command):
    names = [option.name for option in options_of(OPTIONS[command])]
    assert len(names) == len(set(names))


def test_the_presets_offered_are_the_presets_there_are():
    (preset,) = [option for option in options_of(OPTIONS["train"]) if option.name == "preset"]
    assert preset.allowed == f"one of {', '.join(PRESETS)}"


def test_help_is_quick_since_it_imports_nothing_heavy():
    code = """
import sys
from tinygrad_gpt.cli import main
main(["--help"])
print([name for name in sys.argv[1:] if name in sys.modules])
"""
    command = [sys.executable, "-c", code, "matplotlib", "hypothesis", "cupy", "tyro", "tqdm"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_gpt.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_laws_offers_only_what_checks(tg):
    result = tg("laws", "--help")
    assert (result.code, result.err) == (0, "")
    assert all(f"  {flag} " in result.out for flag in ("--profile", "--format", "--only"))
    assert result.out == laws_parser("tinygrad-gpt laws").format_help()
