"""``python -m bench gpu``: all that this project asks of a GPU, in one command of at most 8 minutes.

It proves the backends on the device, measures what the device can do, holds the backends against that, and times them
next to the CPU's. Every step is a command in a separate process with a time limit. A step that fails does not stop the
next; what each printed stays in a folder, and the same command goes on where an earlier one was cut off. What the steps
said is printed at the end, what matters most last.

Tests: `tests/bench/cli/test_gpu.py`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.cli import CHECK_FAILED, SUCCESS, flags, messages

FOLDER = Path("gpu")
DONE_FILE = "steps.json"
TOTAL_S = 480.0
LEAST_S = 5.0
GRACE_S = 10.0
"""What a step has to end after its Ctrl-C: what it measured is kept."""
NEEDED = ("rich", "pandas", "scipy", "pytest_benchmark", "filelock", "psutil", "threadpoolctl")
"""What the steps import, and a machine that was made for its GPU may lack. Neither pyarrow nor a library of charts."""
FUSED = ("jax-pallas", "torch-triton")
"""Variants for a GPU, which are measured next to the backends: the run shows which is to be the default."""


class Step(NamedTuple):
    """One command, and the most seconds that it may take."""

    name: str
    arguments: tuple[str, ...]
    most_s: float


def steps(backends: tuple[str, ...], results: Path) -> tuple[Step, ...]:
    """Return what there is to do, what matters most first.

    Args:
        backends: that have the device; idioms are left out, since `torch.compile` alone would take half of the time.
        results: folder of all runs.
    """
    where = ("--results", str(results))
    cuda, names = ("--device", "cuda"), ",".join(backends)
    share = ("--targets", "--all", "--processes", "2", "--backends", names)
    return (
        Step("check", ("check", *cuda, "--quick", "--backend", names, "--within", "90s"), 105.0),
        Step("ceilings", ("ceilings", *cuda, *where), 40.0),
        Step("limits", ("limits", *cuda, *share, "--within", "150s", *where), 180.0),
        Step("run-cuda", ("run", "--quick", "--devices", "cuda", "--aa", "none", "--budget", "45s", *where), 65.0),
        Step("run-cpu", ("run", "--quick", "--devices", "cpu", "--budget", "50s", *where), 70.0),
        Step("recommend", ("recommend", "--network", "784-512-10", "--batch", "16384", *where), 20.0),
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument(
        "--out", type=Path, default=FOLDER, metavar="FOLDER", help=f"for what every step prints (default: {FOLDER})"
    )
    parser.add_argument("--within", type=flags.seconds, default=TOTAL_S, metavar="TIME", help="for all of it (8min)")
    parser.add_argument("--again", action="store_true", help="repeat steps that are already done")
    flags.add_results(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out each step that is not done yet; 1 if one failed or had no time."""
    from backends.installed import is_installed
    from bench.basics.errors import UsageError
    from bench.basics.files import make_folder
    from bench.measure import contenders
    from bench.results import results_root

    contenders.check_devices(("cuda",))
    if lacking := [name for name in NEEDED if not is_installed(name)]:
        raise UsageError(f"no step would end well without {', '.join(lacking)}: pip install {' '.join(lacking)}")
    make_folder(args.out, args.out, "choose another with --out FOLDER")
    statuses = {} if args.again else _done(args.out)
    end_s = time.monotonic() + args.within
    planned = steps(_able(), args.results or results_root())
    for step in planned:
        if statuses.get(step.name) != SUCCESS:
            statuses[step.name] = _carry_out(step, args.out, end_s - time.monotonic())
            (args.out / DONE_FILE).write_text(json.dumps(statuses, indent=1) + "\n", encoding="utf-8")
    for name in reversed([step.name for step in planned]):
        if (told := args.out / f"{name}.txt").exists():
            print(f"\n-- what {name} said\n{told.read_text(encoding='utf-8', errors='replace')}")
    for name, status in statuses.items():
        print(f"{name:16} {_told(status)}; see {args.out / name}.txt")
    return CHECK_FAILED if any(statuses.values()) else SUCCESS


def _able() -> tuple[str, ...]:
    """Return the backends and variants to ask: those written for a GPU; one that cannot be imported is told of.

    Raises:
        UsageError: there is none.
    """
    from backends import BackendUnavailable, available, find
    from bench.basics.errors import UsageError

    able = []
    for name in (*available("best"), *FUSED):
        try:
            if "cuda" in find(name).capabilities.devices:
                able.append(name)
        except BackendUnavailable as error:
            messages.note(str(error), f"without {name}: ")
    if not able:
        raise UsageError("no backend that is installed here has cuda; install JAX or PyTorch for CUDA")
    return tuple(able)


def _done(folder: Path) -> dict[str, int]:
    """Return the exit status of each step that an earlier command has made in this folder."""
    try:
        stored = json.loads((folder / DONE_FILE).read_text(encoding="utf-8"))
        return {str(name): int(status) for name, status in stored.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        messages.warn(f"{folder / DONE_FILE} cannot be read ({error}): every step is made again")
        return {}


def _carry_out(step: Step, folder: Path, left_s: float) -> int:
    """Run a step for as long as it may, and keep what it says; return its exit status, 124 without time."""
    print(f"\n== {step.name}: python -m bench {shlex.join(step.arguments)}", flush=True)
    if left_s < LEAST_S:
        print("no time is left for it: the same command again goes on here")
        return 124
    command = [sys.executable, "-m", "bench", *step.arguments]
    begun_s = time.monotonic()
    with (
        (folder / f"{step.name}.txt").open("w", encoding="utf-8") as told,
        subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT) as child,
    ):
        try:
            status = child.wait(min(step.most_s, left_s))
        except subprocess.TimeoutExpired:
            status = _interrupt(child)
        except KeyboardInterrupt:
            _interrupt(child)
            raise
    print(f"-- {step.name}: {_told(status)} after {time.monotonic() - begun_s:.0f} s", flush=True)
    return status


def _interrupt(child: subprocess.Popen[bytes]) -> int:
    """End a step as Ctrl-C does, so that it keeps what it measured; by force if that does not help. Return 124."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return 124


def _told(status: int) -> str:
    known = {SUCCESS: "done", CHECK_FAILED: "a check failed", 124: "out of time"}
    return known.get(status, f"failed with status {status}")
