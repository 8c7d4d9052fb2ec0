"""No fault loses a checkpoint, and no file does harm.  Every campaign in short here, and in full where time allows."""

import re

import pytest

from tests.reliability.__main__ import FIGURES, PAGE
from tests.reliability.campaigns import CAMPAIGNS, in_a_new_folder
from tests.reliability.damage import allowed_memory, cost, written
from tests.reliability.faults import versions_without_fsync
from tests.reliability.hostile import HOSTILE, MISLEADING
from tinygrad_gpt.checkpoints import load_checkpoint

FULL = pytest.mark.parametrize("full", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])


@FULL
@pytest.mark.parametrize("campaign", CAMPAIGNS.values(), ids=lambda campaign: campaign.__name__)
def test_nothing_is_lost(campaign, full):
    tally = in_a_new_folder(campaign, full)
    assert not tally.lost, f"{len(tally.lost)} of {tally.tried}, the first: {tally.lost[0]}"
    assert tally.tried >= 5


@FULL
def test_versions_without_fsync_are_found_out(full):
    for of, tally in in_a_new_folder(versions_without_fsync, full).items():
        assert tally.lost, f"{tally.tried} power cuts, and none tells that {of} are not fsynced"


def test_a_whole_file_is_cheap_too(tmp_path):
    content = written(tmp_path / "x", seed=1)
    seconds, memory, problem = cost(tmp_path / "x", load_checkpoint)
    assert problem == "it is loaded"
    assert seconds < 1
    assert memory <= allowed_memory(content)


def test_the_page_shows_a_full_run():
    figures = FIGURES.search(PAGE.read_text(encoding="utf-8"))[0]
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| (\d+) \|$", figures, re.MULTILINE)
    assert [row[0] for row in rows] == list(CAMPAIGNS)
    for _, tried, loaded, refused, lost in rows:
        tried, loaded, refused, lost = (int(number.replace(",", "")) for number in (tried, loaded, refused, lost))
        assert tried == loaded + refused
        assert lost == 0
    killed = next(row for row in rows if "SIGKILL" in row[0])
    assert int(killed[1]) >= 50
    assert next(row for row in rows if "made to harm" in row[0])[1] == str(3 * len(HOSTILE) + 2 * len(MISLEADING))
