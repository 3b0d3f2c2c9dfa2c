"""``python -m bench ceilings``: measure what this machine can do at best, keep it, show it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.basics.names import DEVICES
from bench.cli import document, flags, messages

if TYPE_CHECKING:
    from bench.limits.ceilings import Ceiling, Ceilings


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument(
        "--threads", type=flags.several(flags.positive), metavar="LIST", help="default: 1 and all cores"
    )
    parser.add_argument("--seconds", type=flags.seconds, metavar="TIME", help="to repeat each probe (0.2 s)")
    parser.add_argument(
        "--libraries", type=flags.several(flags.name), metavar="LIST", help="some of numpy,numba,torch,jax"
    )
    parser.add_argument(
        "--device", type=flags.several(flags.one_of(*DEVICES)), default=("cpu",), metavar="LIST", help="cpu,cuda (cpu)"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was measured on this machine before")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what is stored")
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, store, print."""
    from dataclasses import asdict

    from bench import machine, results
    from bench.basics.errors import UsageError
    from bench.limits import ceilings
    from bench.terminal import terminal

    root = args.results or results.results_root()
    path = root / machine.machine_id() / ceilings.FILE
    if not args.show:
        _check_place(root)
        known, path = measured(args, None if args.fresh else _known(root), root)
    elif (stored := ceilings.load(machine.machine_id(), root)) is None:
        raise UsageError(f"no ceilings are stored in {path}; measure them: {ceilings.MEASURE}")
    else:
        known = stored
    if args.json:
        document.show({"path": str(path), **asdict(known)})
        return 0
    out = terminal.console()
    out.print(table(known))
    model = known.fingerprint.get("cpu_model", "this machine")
    out.print(f"\nmeasured {known.created[:16].replace('T', ' ')} UTC on {model}")
    out.print(f"kept in {os.path.relpath(path)}\nnext: python -m bench limits")
    return 0


def measured(args: argparse.Namespace, known: Ceilings | None, root: Path) -> tuple[Ceilings, Path]:
    """Return ceilings measured now, the better of them and what was known, and where they are kept."""
    from bench.limits import ceilings, probes
    from bench.measure import contenders, neighbours
    from bench.terminal import terminal

    contenders.check_devices(args.device)
    with neighbours.announced(f"ceilings {os.getpid()}") as others, terminal.progress("ceilings") as bar:
        if names := others.now():
            messages.warn(neighbours.warning(names))
        best = probes.measure(
            args.threads, args.seconds or probes.SECONDS, args.libraries, bar.update, known, args.device
        )
    return best, ceilings.save(best, root)


def _known(root: Path) -> Ceilings | None:
    """Return what was measured on this machine before; a file that does not hold it is warned of, to be replaced."""
    from bench.basics.errors import UsageError
    from bench.limits import ceilings
    from bench.machine import machine_id

    try:
        return ceilings.load(machine_id(), root)
    except UsageError as error:
        messages.warn(str(error).rpartition("; ")[0])
        return None


def _check_place(root: Path) -> None:
    """Make sure that what is measured can be kept, before half a minute of measuring rather than after.

    Raises:
        UsageError: it cannot.
    """
    from bench.basics.files import check_output, make_folder
    from bench.limits import ceilings
    from bench.machine import machine_id

    path = root / machine_id() / ceilings.FILE
    make_folder(path.parent, root)
    check_output(path, "--results")


def table(known: Ceilings) -> object:
    """Return a table with a row for each kind of work, a column for each number of threads."""
    from bench.basics.formats import counted
    from bench.terminal import terminal

    rates: dict[tuple[str, str, str], dict[int, str]] = {}
    for ceiling in known.measured:
        rates.setdefault((ceiling.kind, ceiling.dtype, _on(ceiling)), {})[ceiling.threads] = _rate(ceiling)
    columns = [*known.threads, *([0] if known.of("cuda").measured else [])]  # 0 threads: the GPU
    heads = [(counted(threads, "thread") if threads else "GPU", "right") for threads in columns]
    rows = [(*work, *(by.get(threads, "-") for threads in columns)) for work, by in rates.items()]
    return terminal.table([("work", "left"), ("dtype", "left"), ("on", "left"), *heads], rows, title="at best")


def _on(ceiling: Ceiling) -> str:
    """Return the shape of a product, the size of memory; nothing for tanh."""
    from bench.terminal import terminal

    if ceiling.working_set_bytes:
        return terminal.format_bytes(ceiling.working_set_bytes)
    return ceiling.shape if ceiling.shape != ceiling.kind else ""


def _rate(ceiling: Ceiling) -> str:
    from bench.limits.ceilings import UNITS
    from bench.terminal import terminal

    return terminal.format_rate(ceiling.per_second, UNITS[ceiling.kind])
