"""What a process may use: the least of what the system and its control groups say, whichever version they are of."""

import math
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.kernels import default_num_threads, limits

FIXTURE_IS_FINE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example writes it anew
V2 = {"cpu.max": "{quota} {period}\n"}
V1 = {"cpu.cfs_quota_us": "{quota}\n", "cpu.cfs_period_us": "{period}\n"}


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Make a tree of control groups, from file names and contents, and this process's place in it."""
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "OURS", tmp_path / "self")
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def make(place, files):
        (tmp_path / "self").write_text(place)
        for name, content in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    return make


@FIXTURE_IS_FINE
@given(st.integers(1_000, 3_200_000), st.integers(1_000, 1_000_000), st.booleans())
@example(100_000, 100_000, True)
@example(150_000, 100_000, False)
@example(1_000, 100_000, True)
def test_a_quota_is_a_number_of_cores_rounded_up(groups, quota, period, v2):
    folder = "" if v2 else "cpu/"
    files = {folder + name: text.format(quota=quota, period=period) for name, text in (V2 if v2 else V1).items()}
    other = {"cpu.max": "max 100000\n"} if not v2 else {"cpu/cpu.cfs_quota_us": "-1\n"}
    groups("", {**other, **files})
    assert limits.cpu_quota() == quota / period
    assert limits.core_count() == default_num_threads() == min(limits.cores_allowed(), math.ceil(quota / period))
    assert limits.core_count() >= 1


@pytest.mark.parametrize(
    ("place", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        (
            "0::/user.slice/job\n",
            {"user.slice/cpu.max": "200000 100000\n", "user.slice/job/cpu.max": "max 100000\n"},
            2,
        ),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 1),
        ("0::/other\n", {"a/cpu.max": "100000 100000\n"}, None),
        ("0::/of/the/host\n", {"cpu.max": "100000 100000\n"}, 1),
        (
            "4:cpu,cpuacct:/docker/x\n",
            {"cpu/docker/x/cpu.cfs_quota_us": "250000", "cpu/docker/x/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        ("4:cpu,cpuacct:/docker/x\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, 2),
        ("4:cpuset:/docker/x\n", {"cpu/docker/x/cpu.cfs_quota_us": "1", "cpu/docker/x/cpu.cfs_period_us": "1"}, None),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("nonsense\n", {}, None),
        ("", {}, None),
    ],
)
def test_the_least_quota_of_all_groups_around_counts(groups, place, files, quota):
    groups(place, files)
    assert limits.cpu_quota() == quota


def test_without_control_groups_every_core_that_is_allowed_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "none")
    monkeypatch.setattr(limits, "OURS", tmp_path / "none")
    assert limits.cpu_quota() is None
    assert limits.core_count() == limits.cores_allowed() <= os.cpu_count()


def test_fewer_cores_allowed_than_the_quota_grants(groups, monkeypatch):
    groups("", {"cpu.max": "800000 100000\n"})
    monkeypatch.setattr(limits, "cores_allowed", lambda: 3)
    assert limits.core_count() == 3


@pytest.mark.parametrize("limit", ["4096\n", "max\n", None])
@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("0::/\n", "memory.max"),
        ("0::/service\n", "service/memory.max"),
        ("9:memory:/docker/x\n", "memory/docker/x/memory.limit_in_bytes"),
        ("9:memory:/docker/x\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_a_container_has_the_memory_it_may_use(groups, limit, place, file):
    groups(place, {} if limit is None else {file: limit})
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.memory_limit_bytes() == (4096 if limit == "4096\n" else physical)
