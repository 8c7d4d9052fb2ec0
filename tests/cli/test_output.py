"""Files that commands write where they are told to."""

import pytest

from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.output import check_outputs, write_output


def test_text_is_written_in_utf8_and_its_size_is_told_in_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_output("a.html", "é \udcff")
    assert (tmp_path / "a.html").read_bytes() == b"\xc3\xa9 \\udcff"
    assert capsys.readouterr().out == "wrote a.html, 9 B\n"


@pytest.mark.parametrize("other", ["a", "./a", "link"])
def test_one_file_for_two_outputs_is_refused(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("a")
    check_outputs(png="a", html=None)
    check_outputs(png="a", html="b")
    with pytest.raises(UserError, match=r"^--png and --html must name different files; got '.*' for both$"):
        check_outputs(png="a", html=other)


@pytest.mark.parametrize("line", ["sampling RUN TEXT --png a --html a", "trace --json a --html a"])
def test_commands_refuse_one_file_for_two_outputs(tg, tmp_path, line):
    result = tg(*line.split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "must name different files; got 'a' for both" in result.err
    assert not list(tmp_path.iterdir())
