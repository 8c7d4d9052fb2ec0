import re

import pytest


def test_it_shows_the_distribution_and_writes_both_files(tg, run, tmp_path):
    result = tg("sampling", run, "To be", "--top-k", 3, "--temperatures", 0, 1, "--png", "s.png", "--html", "s.html")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("next token after 'To be'; top-k 3\n\ntoken ")
    assert re.search(r"can be drawn +1 of 256 +3 of 256", result.out)
    assert re.search(r"\nwrote s\.png, \d+(\.\d+)? kB\nwrote s\.html, \d+(\.\d+)? kB\n$", result.out)
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert "<!doctype html>" in (tmp_path / "s.html").read_text("utf-8")


def test_without_files_it_writes_none(tg, run, tmp_path):
    assert tg("sampling", run, "To be").code == 0
    assert not list(tmp_path.iterdir())


def test_a_matplotlib_that_cannot_be_loaded_is_told_before_the_work(program, run, tmp_path):
    done = program("sampling", run, "To be", "--png", "s.png", MPLBACKEND="nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tinygrad-gpt sampling: matplotlib cannot be loaded (Key backend: 'nonsense' is")
    assert done.stderr.count("\n") == 1
    assert program("sampling", run, "To be", MPLBACKEND="nonsense").returncode == 0  # without --png nobody needs it
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["To be", "--temperatures", "1", "-1"], "--temperatures must be at least 0; got -1.0"),
        (["To be", "--temperatures", "nan"], "--temperatures must be a finite number, at least 0; got nan"),
        (["To be", "--temperatures"], "--temperatures needs"),
        (["To be", "--top-k", "0"], "--top-k must be at least 1; got 0"),
        (["To be", "--tokens", "61"], "--tokens must be at least 1 and at most 60; got 61"),
        (
            ["To be", "--png", "no/such/folder.png"],
            "--png must name a file in a folder that exists; got 'no/such/folder.png'",
        ),
        (["To be", "--html", "."], "--html must name a file in a folder that exists; got '.'"),
        ([""], "TEXT must not be empty"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tg, run, tmp_path, arguments, message):
    result = tg("sampling", run, *arguments)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert message in result.err
    assert not list(tmp_path.iterdir())
