"""The log of a run: no line is lost or half read, and a long run's log takes no memory."""

import os
import tracemalloc

import pytest

from tinygrad_gpt.runs import RunError, read_log
from tinygrad_gpt.runs.log import RunLog


def test_lines_wait_until_they_can_be_written(monkeypatch, tmp_path):
    run_log = RunLog(tmp_path / "log.jsonl", [{"event": "step", "step": 1}])
    write, broken = os.write, [True]

    def short(file, data):
        if broken[0]:
            raise OSError(28, "No space left on device")
        return write(file, data[:3])

    with monkeypatch.context() as patch:
        patch.setattr("tinygrad_gpt.runs.log.os.write", short)
        with pytest.raises(OSError, match="No space"):
            run_log.write(event="step", step=2)
        assert read_log(tmp_path) == [{"event": "step", "step": 1}]
        broken[0] = False
        run_log.write(event="step", step=3)
    run_log.close()
    assert read_log(tmp_path) == [{"event": "step", "step": n} for n in (1, 2, 3)]


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_log_is_read_as_far_as_it_is_whole(tmp_path, cut):
    lines = b'{"event": "step", "step": 1}\n{"event": "step", "step": 2}\n'
    (tmp_path / "log.jsonl").write_bytes(lines[:-cut])
    kept = 2 if cut == 1 else 1  # only the line's end is missing
    assert [record["step"] for record in read_log(tmp_path)] == [1, 2][:kept]


def test_a_run_that_has_no_log_yet_has_no_records(tmp_path):
    assert read_log(tmp_path) == []


def test_the_log_of_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"'.*missing' is not a folder: give the one that train has made"):
        read_log(tmp_path / "missing")


def test_the_log_of_many_steps_takes_no_memory(tmp_path):
    run_log = RunLog(tmp_path / "log.jsonl", [])
    tracemalloc.start()
    try:
        for step in range(20_000):
            run_log.write(event="step", step=step, loss=1.0, **({"skipped": "why"} if step % 4 == 0 else {}))
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
        run_log.close()
    assert run_log.n_skipped == 5_000
    assert len(read_log(tmp_path)) == 20_000
