"""docs/gradients: current, right, and refused when it is not."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_gpt.study.explain.examples import EXAMPLES
from tinygrad_gpt.study.explain.explanation import OPS, explain
from tinygrad_gpt.study.explain.gradients import escaped, findings, main, pages
from tinygrad_gpt.study.explain.worked_example import work_through

FOLDER = Path(__file__).parents[3] / "docs" / "gradients"


@pytest.fixture(scope="module")
def explanations():
    return [explain(name) for name in OPS]


@pytest.fixture(scope="module")
def wanted(explanations):
    return pages(explanations)


def test_the_pages_are_current(wanted, explanations):
    found = list(findings(FOLDER, wanted, explanations))
    assert not found, "python -m tinygrad_gpt.study.explain.gradients writes them: " + "; ".join(found)


def test_every_op_has_a_page_that_the_index_leads_to(wanted):
    assert set(wanted) == {"README.md", *(f"{name}.md" for name in OPS)}
    assert set(re.findall(r"\]\((\w+)\.md\)", wanted["README.md"])) == set(OPS)


def anchors(file):
    headings = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(wanted):
    for name, text in wanted.items():
        for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"(?ms)^```.*?^```$", "", text)):
            file, _, heading = target.partition("#")
            assert (FOLDER / file).exists(), f"{name}: {target}"
            assert not heading or heading in anchors(FOLDER / file), f"{name}: {target}"


def test_writing_and_then_checking(tmp_path, capsys):
    assert main([str(tmp_path / "pages")]) == 0
    assert main([str(tmp_path / "pages"), "--check"]) == 0
    page = tmp_path / "pages" / "gelu.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("0.5", "0.6", 1), encoding="utf-8")
    (tmp_path / "pages" / "tanh.md").unlink()
    (tmp_path / "pages" / "nonsense.md").write_text("")
    assert main([str(tmp_path / "pages"), "--check"]) == 1
    said = capsys.readouterr().err
    for name, what in (
        ("gelu", "is not what would be written"),
        ("tanh", "is missing"),
        ("nonsense", "is not about an op"),
    ):
        assert f"{name}.md {what}" in said
    assert page.read_text(encoding="utf-8") != text  # a check writes nothing


def test_a_wrong_gradient_is_found(tmp_path, explanations):
    def broken(x):
        y = np.tanh(x)
        return y, lambda dy: (-dy * (1 - y * y),)

    wrong = dataclasses.replace(explain("tanh"), examples=(work_through(broken, EXAMPLES["tanh"][0]),))
    found = list(findings(tmp_path, {}, [*explanations, wrong]))
    assert found == ["tanh: the vjp is not what the complex step and differences give"]


def test_what_markdown_would_set_is_escaped_but_not_in_backticks():
    assert escaped("x_i * [i = k] | `dx[key] += dy_i` <b>") == r"x\_i \* \[i = k\] \| `dx[key] += dy_i` \<b\>"
