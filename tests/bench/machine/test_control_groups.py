"""Quota and memory limit of the control groups, wherever they are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.machine import control_groups


def mounts(root: Path, version: int, shown: str = "/") -> str:
    """Return a ``mountinfo`` of one version."""
    if version == 2:
        return f"31 23 0:28 {shown} {root}/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    return "".join(
        f"31 23 0:28 {shown} {root}/sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n" for name in ("cpu", "memory")
    )


@pytest.mark.parametrize("level", ["", "slice/", "slice/job/"])
def test_limits_of_every_level_count_in_version_2(pretend, tmp_path, level):
    """A quota or a limit set on the process's group or any above it is the one that holds."""
    pretend(
        {
            "proc/self/mountinfo": mounts(tmp_path, 2),
            "proc/self/cgroup": "0::/slice/job\n",
            "sys/fs/cgroup/slice/job/cpu.max": "max 100000\n",
            "sys/fs/cgroup/slice/job/memory.max": "max\n",
        }
    )
    assert (control_groups.cpu_quota(), control_groups.memory_limit(), control_groups.memory_free()) == (None,) * 3
    pretend(
        {
            f"sys/fs/cgroup/{level}cpu.max": "150000 100000\n",
            f"sys/fs/cgroup/{level}memory.max": "1000\n",
            f"sys/fs/cgroup/{level}memory.current": "700\n",
            f"sys/fs/cgroup/{level}memory.stat": "anon 500\ninactive_file 200\n",
            f"sys/fs/cgroup/{level}cpu.stat": "nr_periods 80\nnr_throttled 65\n",
        }
    )
    assert control_groups.cpu_quota() == 1.5
    assert (control_groups.memory_limit(), control_groups.memory_free()) == (1000, 500)
    assert control_groups.throttled_periods() == 65


@pytest.mark.parametrize("level", ["", "slice/", "slice/job/"])
def test_limits_of_every_level_count_in_version_1(pretend, tmp_path, level):
    """Version 1 has a hierarchy for each controller, and writes a huge number for no limit."""
    pretend(
        {
            "proc/self/mountinfo": mounts(tmp_path, 1),
            "proc/self/cgroup": "4:memory:/slice/job\n1:cpu,cpuacct:/slice/job\n0::/\n",
            "sys/fs/cgroup/cpu/slice/job/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/slice/job/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )
    assert (control_groups.cpu_quota(), control_groups.memory_limit()) == (None, None)
    pretend(
        {
            f"sys/fs/cgroup/cpu/{level}cpu.cfs_quota_us": "50000\n",
            f"sys/fs/cgroup/cpu/{level}cpu.cfs_period_us": "100000\n",
            f"sys/fs/cgroup/memory/{level}memory.limit_in_bytes": "1000\n",
            f"sys/fs/cgroup/memory/{level}memory.usage_in_bytes": "400\n",
        }
    )
    assert control_groups.cpu_quota() == 0.5
    assert (control_groups.memory_limit(), control_groups.memory_free()) == (1000, 600)


def test_a_container_that_is_told_its_path_on_the_host_finds_its_limit(pretend, tmp_path):
    """The path of the group begins with the root of the mount, and is left out of it."""
    pretend(
        {
            "proc/self/mountinfo": mounts(tmp_path, 2, shown="/docker/abc"),
            "proc/self/cgroup": "0::/docker/abc\n",
            "sys/fs/cgroup/cpu.max": "300000 100000\n",
        }
    )
    assert control_groups.cpu_quota() == 3.0


@pytest.mark.parametrize("text", ["", "rubbish", "0::\n", "0::/../..\n", "a:b\n\n"])
def test_what_cannot_be_read_is_no_limit(pretend, text):
    """Empty or odd files of the system mean no limit, and raise nothing."""
    pretend({"proc/self/cgroup": text, "proc/self/mountinfo": text, "sys/fs/cgroup/cpu.max": text})
    assert (control_groups.cpu_quota(), control_groups.memory_limit(), control_groups.memory_free()) == (None,) * 3
    assert control_groups.throttled_periods() == 0
