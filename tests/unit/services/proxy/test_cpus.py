import os

import pytest

from vecguard.proxy.cpus import usable_cpus


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Writes the files of cgroups; eight CPUs may be used as far as the affinity goes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return usable_cpus(tmp_path / "own", tmp_path / "cgroup")

    return write


def test_without_a_quota_the_affinity_decides(cgroups):
    assert cgroups("0::/\n", {}) == 8
    assert cgroups("0::/\n", {"cpu.max": "max 100000\n"}) == 8


@pytest.mark.parametrize(
    ("quota", "cpus"), [("200000", 2), ("250000", 2), ("50000", 1), ("1600000", 8)]
)
def test_a_quota_counts_in_whole_cpus(cgroups, quota, cpus):
    assert cgroups("0::/\n", {"cpu.max": f"{quota} 100000\n"}) == cpus


def test_the_tightest_quota_on_the_way_up_binds(cgroups):
    files = {"pod/cpu.max": "300000 100000\n", "pod/container/cpu.max": "max 100000\n"}
    assert cgroups("0::/pod/container\n", files) == 3


def test_version_1_is_understood(cgroups):
    files = {"cpu,cpuacct/pod/cpu.cfs_quota_us": "300000\n"}
    files["cpu,cpuacct/pod/cpu.cfs_period_us"] = "100000\n"
    assert cgroups("4:cpu,cpuacct:/pod\n3:memory:/pod\n", files) == 3
    files["cpu,cpuacct/pod/cpu.cfs_quota_us"] = "-1\n"
    assert cgroups("4:cpu,cpuacct:/pod\n", files) == 8


def test_files_that_make_no_sense_limit_nothing(cgroups):
    assert cgroups("nonsense\n", {"cpu.max": "many few\n"}) == 8
    assert cgroups("0::/\n", {"cpu.max": "100000 0\n"}) == 8
