"""One command asks a GPU everything: a step that fails or hangs costs itself alone, and the next call goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import CHECK_FAILED, SUCCESS, WRONG_USAGE, gpu, main
from bench.cli.gpu import Step
from bench.measure import contenders


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a GPU be seen, though there is none."""
    monkeypatch.setattr(contenders, "check_devices", lambda devices: None)


def test_without_a_gpu_nothing_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason and status 2, and no folder."""
    if contenders.accelerators() or contenders.GPU_DEVICE.exists():
        pytest.skip("there is a GPU")
    assert main(["gpu", "--out", str(tmp_path / "gpu")]) == WRONG_USAGE
    assert "no NVIDIA GPU is seen here" in capsys.readouterr().err
    assert not (tmp_path / "gpu").exists()


@pytest.mark.usefixtures("with_gpu")
def test_what_the_steps_need_is_asked_for_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library that is not here is told with the command that installs it, and nothing is started."""
    monkeypatch.setattr(gpu, "NEEDED", ("numpy", "no_such_module"))
    assert main(["gpu", "--out", str(tmp_path / "gpu")]) == WRONG_USAGE
    assert "pip install no_such_module" in capsys.readouterr().err
    assert not (tmp_path / "gpu").exists()


@pytest.mark.usefixtures("with_gpu")
def test_every_step_is_tried_and_only_what_failed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step of wrong usage and one beyond its time do not stop the third; a second call repeats these two alone."""
    monkeypatch.setattr(gpu, "GRACE_S", 2.0)
    right = ("train", "--help")
    plan = (
        Step("wrong", ("check", "--dtype", "float3"), 30.0),
        Step("long", ("ceilings", "--libraries", "numpy", "--seconds", "60", "--results", str(tmp_path)), 1.0),
        Step("right", right, 30.0),
    )
    monkeypatch.setattr(gpu, "steps", lambda backends, results: plan)
    assert main(["gpu", "--out", str(tmp_path / "gpu")]) == CHECK_FAILED
    shown = capsys.readouterr().out
    statuses = json.loads((tmp_path / "gpu" / gpu.DONE_FILE).read_text())
    assert statuses == {"wrong": WRONG_USAGE, "long": 124, "right": SUCCESS}
    assert "--data" in (tmp_path / "gpu" / "right.txt").read_text()
    assert shown.rstrip().splitlines()[-1] == f"right            done; see {tmp_path / 'gpu' / 'right.txt'}"
    monkeypatch.setattr(gpu, "steps", lambda backends, results: (*plan[2:], Step("wrong", right, 30.0)))
    main(["gpu", "--out", str(tmp_path / "gpu")])
    again = capsys.readouterr().out
    assert "== right" not in again
    assert "== wrong" in again


@pytest.mark.usefixtures("with_gpu")
def test_no_step_begins_without_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a second for all of it nothing is started, and every step is told to be open."""
    assert main(["gpu", "--out", str(tmp_path / "gpu"), "--within", "1s"]) == CHECK_FAILED
    statuses = json.loads((tmp_path / "gpu" / gpu.DONE_FILE).read_text())
    assert list(statuses) == [step.name for step in gpu.steps(("jax", "torch"), tmp_path)]
    assert set(statuses.values()) == {124}
    assert "no time is left" in capsys.readouterr().out


@pytest.mark.usefixtures("with_gpu")
def test_a_spoilt_record_of_steps_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file holds, the steps are made."""
    monkeypatch.setattr(gpu, "steps", lambda backends, results: (Step("right", ("train", "--help"), 30.0),))
    (tmp_path / gpu.DONE_FILE).write_text("[1")
    assert main(["gpu", "--out", str(tmp_path)]) == SUCCESS


def test_the_steps_fit_into_their_time_and_are_commands_that_exist() -> None:
    """Each step's flags are understood by its command, and all together take at most eight minutes."""
    from bench.cli import parsed

    planned = gpu.steps(("jax", "torch"), Path("results"))
    for step in planned:
        assert parsed(list(step.arguments)).command == step.arguments[0]
    assert sum(step.most_s for step in planned) <= 1.05 * gpu.TOTAL_S
