"""Who made the processor is read from the system, and asked of Python where there is no ``/proc``."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from backends import processor

TWO_CORES = """processor\t: 0
vendor_id\t: {vendor}
model name\t: A  processor

processor\t: 1
vendor_id\t: another
"""


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets what the system says, or that it says nothing."""

    def pretend(text: str | None, python: str = "") -> None:
        file = tmp_path / "cpuinfo"
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", file)
        monkeypatch.setattr(platform, "processor", lambda: python)
        processor.facts.cache_clear()

    yield pretend
    processor.facts.cache_clear()


@pytest.mark.parametrize(("vendor", "intel"), [("GenuineIntel", True), ("AuthenticAMD", False)])
def test_linux_says_who_made_it(pretend, vendor: str, intel: bool) -> None:
    """The first core's entries count, with their spaces made one."""
    pretend(TWO_CORES.format(vendor=vendor))
    assert processor.facts() == {"processor": "0", "vendor_id": vendor, "model name": "A processor"}
    assert processor.is_intel() is intel


@pytest.mark.parametrize(
    ("python", "intel"),
    [("Intel64 Family 6 Model 143, GenuineIntel", True), ("AMD64 Family 25, AuthenticAMD", False), ("", False)],
)
def test_python_says_it_where_there_is_no_proc(pretend, python: str, intel: bool) -> None:
    """As on Windows; where nobody says it, it is not Intel's."""
    pretend(None, python)
    assert processor.facts() == {}
    assert processor.is_intel() is intel


def test_an_arm_processor_has_no_vendor(pretend) -> None:
    """Its entries have other names."""
    pretend("processor\t: 0\nCPU implementer\t: 0x41\n", "aarch64")
    assert not processor.is_intel()
