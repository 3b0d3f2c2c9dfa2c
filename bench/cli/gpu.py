"""``python -m bench gpu``: all that this project asks of a GPU, in one command of at most 8 minutes.

It proves the backends on the device, measures what the device can do, holds the backends against that, and times them
next to the CPU's. Every step is a command in a separate process with a time limit. A step that fails does not stop the
next; what each printed stays in a folder, and the same command goes on where an earlier one was cut off.
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


class Step(NamedTuple):
    """One command, and the most seconds that it may take."""

    name: str
    arguments: tuple[str, ...]
    most_s: float


def steps(backends: tuple[str, ...], results: Path) -> tuple[Step, ...]:
    """Return what there is to do, what matters most first."""
    where = ("--results", str(results))
    proofs = tuple(
        Step(f"check-{name}", ("check", "--backend", name, "--device", "cuda", "--quick"), 75.0) for name in backends
    )
    return (
        *proofs,
        Step("ceilings", ("ceilings", "--device", "cuda", *where), 45.0),
        Step("limits", ("limits", "--device", "cuda", "--targets", "--processes", "2", *where), 180.0),
        Step("run", ("run", "--quick", "--devices", "cpu,cuda", "--label", "gpu", *where), 100.0),
        Step("recommend", ("recommend", "--network", "784-512-10", "--batch", "65536", *where), 20.0),
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
    from backends import available, find
    from bench.measure import contenders
    from bench.results import results_root

    contenders.check_devices(("cuda",))
    args.out.mkdir(parents=True, exist_ok=True)
    able = tuple(name for name in available("best") if "cuda" in find(name).capabilities.devices)
    statuses = {} if args.again else _done(args.out)
    end_s = time.monotonic() + args.within
    for step in steps(able, args.results or results_root()):
        if statuses.get(step.name) != SUCCESS:
            statuses[step.name] = _carry_out(step, args.out, end_s - time.monotonic())
            (args.out / DONE_FILE).write_text(json.dumps(statuses, indent=1) + "\n", encoding="utf-8")
    print()
    for name, status in statuses.items():
        print(f"{name:16} {'done' if status == SUCCESS else _told(status)}; see {args.out / name}.txt")
    return CHECK_FAILED if any(statuses.values()) else SUCCESS


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
    """Run a step for as long as it may, print and keep what it says; return its exit status, 124 without time."""
    print(f"\n== {step.name}: python -m bench {shlex.join(step.arguments)}", flush=True)
    if left_s < LEAST_S:
        print("no time is left for it: the same command again goes on here")
        return 124
    command = [sys.executable, "-m", "bench", *step.arguments]
    begun_s = time.monotonic()
    with (folder / f"{step.name}.txt").open("w+", encoding="utf-8") as told:
        with subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT) as child:
            try:
                status = child.wait(min(step.most_s, left_s))
            except subprocess.TimeoutExpired:
                status = _interrupt(child)
            except KeyboardInterrupt:
                _interrupt(child)
                raise
        told.seek(0)
        sys.stdout.write(told.read())
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
