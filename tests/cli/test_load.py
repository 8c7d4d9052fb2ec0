"""A long run: memory, open files and threads at its end are what they were early on."""

import json
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # a minute on a machine of one's own
    pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process holds"),
]

WATCHED = """
import gc, json, os, sys, threading, tracemalloc
from tinygrad_gpt.cli import main
from tinygrad_gpt.cli.train import session

steps, traced, flags = int(sys.argv[1]), sys.argv[2] == "traced", sys.argv[3:]
if traced:
    tracemalloc.start()
seen, after_step = [], session.Session.after_step

def watched(run):
    after_step(run)
    if run.step % (steps // 50) == 0:
        gc.collect()  # garbage that waits for its collection is not kept
        pages = int(open("/proc/self/statm").read().split()[1])
        held = tracemalloc.get_traced_memory()[0] if traced else pages * os.sysconf("SC_PAGE_SIZE")
        seen.append([run.step, held, len(os.listdir("/proc/self/fd")), threading.active_count()])

session.Session.after_step = watched
code = main(["train", *flags, "--steps", str(steps)])
print("\\n" + json.dumps([code, seen]))
"""
MEGABYTE = 2**20
OFTEN = ["--eval-every", "200", "--checkpoint-every", "100"]


def watch(program, text, kind, steps, tiny, *, since):
    """What a run of so many steps holds, once it is warm: bytes, files, threads."""
    done = program.python("-c", WATCHED, steps, kind, text, *tiny, *OFTEN, "--out", "run", "--no-progress")
    assert (done.returncode, done.stderr) == (0, "")
    code, seen = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert [row[0] for row in seen] == list(range(0, steps + 1, steps // 50))
    return zip(*(row[1:] for row in seen if row[0] >= since), strict=True)


def test_twenty_thousand_steps_take_no_more_memory_than_four_thousand(program, text_file, tiny):
    held, files, threads = watch(program, text_file, "plain", 20_000, tiny, since=4_000)
    assert held[-1] - held[0] < 2 * MEGABYTE
    assert len(set(files)) == len(set(threads)) == 1


def test_nothing_of_a_step_is_kept(program, text_file, tiny):
    held, files, threads = watch(program, text_file, "traced", 2_000, tiny, since=800)
    per_step = (held[-1] - held[0]) / 1_200
    assert per_step < 40  # bytes: the smallest dict has 64
    assert len(set(files)) == len(set(threads)) == 1
