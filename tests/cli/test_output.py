"""Files that commands write where they are told to."""

from tinygrad_gpt.cli.output import write_output


def test_text_is_written_in_utf8_and_its_size_is_told_in_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_output("a.html", "é \udcff")
    assert (tmp_path / "a.html").read_bytes() == b"\xc3\xa9 \\udcff"
    assert capsys.readouterr().out == "wrote a.html, 9 B\n"
