"""All campaigns, and the table of what they came to."""

import platform
import tempfile
from pathlib import Path

import numpy as np

from tests.reliability import damage, faults

CAMPAIGNS = {
    "a file operation of a save fails: each in turn, once, from then on, or by a short write; EIO, ENOSPC, EDQUOT": (
        faults.failing_operations
    ),
    "the power fails after each operation of a save": faults.power_cuts,
    "an operation of a save fails, and then the power": faults.power_cuts_after_failures,
    "the process is killed after each operation of a save, or within a write": faults.kills_at_operations,
    "a real process is killed (SIGKILL) at a random moment": faults.killed_processes,
    "the disk is full: at every byte of the file": faults.full_disks,
    "a file is cut short: at every byte": damage.truncations,
    "a byte is another one: every byte, each of its bits and 15 other values": damage.changed_bytes,
    "two checkpoints are mixed, or stretches are lost, doubled, moved, zeroed: at every byte": damage.splices,
    "a file is made to harm: lengths, JSON, shapes, offsets, other formats": damage.hostile_files,
}


def in_a_new_folder(campaign, full):
    """What a campaign comes to."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        return campaign(Path(folder), full)


def table(full):
    """Run everything: the table in Markdown, and all that was lost."""
    rows, lost = [], []
    for what, campaign in CAMPAIGNS.items():
        tally = in_a_new_folder(campaign, full)
        rows.append(f"| {what} | {tally.tried:,} | {tally.loaded:,} | {tally.refused:,} | {len(tally.lost)} |")
        lost += [f"{what}: {point}" for point in tally.lost]
    control = in_a_new_folder(faults.versions_without_fsync, full)
    lost += [f"control: {of} without fsync lose nothing" for of, tally in control.items() if not tally.lost]
    cases = [f"{len(tally.lost)} of {tally.tried} do if {of} are not fsynced" for of, tally in control.items()]
    lines = [
        f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.system()}.",
        "",
        "| fault | points tried | right one loaded | refused | lost |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Control: power cuts do lose checkpoints where they should. {'; '.join(cases)}.",
    ]
    return "\n".join(lines), lost
