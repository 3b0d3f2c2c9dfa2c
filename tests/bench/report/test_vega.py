"""The scripts that draw: bundled once, kept, and never a reason for a report to fail."""

import subprocess

import pytest

from bench.report import vega


@pytest.fixture(autouse=True)
def cheap(tmp_path, monkeypatch):
    """A cache folder of its own, and a bundle that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(vega, "BUNDLE", "print('draw()</script>', end='')")
    return tmp_path


def test_scripts_are_kept_for_the_next_report(monkeypatch):
    """The second time no process is started, and the text is the same; nothing in it ends its element."""
    first = vega.scripts()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert vega.scripts() == first == "draw()<\\/script>"


def test_scripts_of_another_version_are_bundled_again(monkeypatch):
    """What an older package made is not used."""
    vega.scripts()
    monkeypatch.setattr(vega, "version", lambda name: "99")
    monkeypatch.setattr(vega, "BUNDLE", "print('newer()', end='')")
    assert vega.scripts() == "newer()"


def test_folder_that_cannot_be_written_costs_only_time(cheap):
    """A cache folder that is a file leaves the report whole."""
    (cheap / "backprop-bench").write_text("")
    assert vega.scripts() == "draw()<\\/script>"


def test_failed_bundle_is_an_error_and_is_not_kept(monkeypatch):
    """A package that cannot bundle raises, and nothing is kept of it."""
    monkeypatch.setattr(vega, "BUNDLE", "print('half'); raise SystemExit(1)")
    with pytest.raises(RuntimeError, match="bundle"):
        vega.scripts()
    assert not vega.kept_at().exists()


def test_scripts_that_nobody_awaits_end_with_their_context():
    """A report that fails while they are bundled leaves no process behind."""
    with vega.Vega() as begun:
        process = begun._process
    assert process.returncode is not None


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: "", lambda text: text + "x"])
def test_scripts_that_lost_a_part_are_made_again(tmp_path, monkeypatch, damage):
    """What is kept is used only if it is whole: half a script would draw nothing, without a word."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vega._keep("draw();")
    assert vega._read() == "draw();"
    path = vega.kept_at()
    path.write_text(damage(path.read_text()))
    assert vega._read() == ""
