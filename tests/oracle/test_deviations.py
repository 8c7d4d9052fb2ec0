"""Every deviation that docs/deviations.md tells of is one: its block breaks the law, with the lines shown."""

import re

import pytest

from tests.test_docs import ROOT, blocks
from tinygrad_gpt.laws import LawBroken

pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to show")
pytest.importorskip("transformers", reason="transformers is not installed: there is nothing to show")

PAGE = ROOT / "docs" / "deviations.md"


def same_spaces(text):
    return re.sub(r"\s+", " ", text)


def test_the_page_of_deviations():
    (_, imports, _), *rest = blocks(PAGE)
    names = {}
    exec(imports, names)
    for (language, code, line), (shown_as, shown, _) in zip(rest[::2], rest[1::2], strict=True):
        assert (language, shown_as) == ("python", "text")
        with pytest.raises(LawBroken) as broken:
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        for expected in re.split(r"^(?=observed|expected)", shown.strip(), flags=re.MULTILINE)[1:]:
            assert same_spaces(expected.strip()) in same_spaces(str(broken.value)), f"line {line}"
