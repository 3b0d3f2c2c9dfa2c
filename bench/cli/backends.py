"""``bench backends``: which backends are here, what the others need, and what each can do.

Tests: `tests/test_project.py`.
"""

from __future__ import annotations

import argparse
from typing import Any

from bench.cli import flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Describe the flags of the command."""
    parser.add_argument("--all", action="store_true", help="idioms and variants as well")
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the backends; return the exit status."""
    import backends
    from bench.cli.document import show

    entries = backends.catalogue() if args.all else backends.catalogue("best", "plugin")
    rows = [_describe(entry) for entry in entries]
    if args.json:
        show(rows)
    else:
        _print(rows)
    return 0


def _describe(entry: Any) -> dict[str, Any]:
    """Return what there is to know of one backend; loads its framework."""
    import backends
    from backends import tuned

    row: dict[str, Any] = {"name": entry.name, "role": entry.role, "summary": entry.summary, "available": False}
    try:
        kind = backends.find(entry.name)
        facts = kind(backends.Network((3, 2, 1)), kind.capabilities.dtypes[0], kind.capabilities.devices[0]).describe()
    except backends.BackendUnavailable as error:
        return row | {"reason": str(error)}
    held = {key: value for key, value in tuned.in_force().items() if key.startswith(f"{entry.name}-")}
    devices = {device: _missing_device(kind, device) for device in kind.capabilities.devices}
    return row | {
        "available": True,
        "framework": facts.get("framework", ""),
        "threads": facts.get("threads"),
        "dtypes": list(kind.capabilities.dtypes),
        "devices": [device for device, reason in devices.items() if reason is None],
        "missing_devices": {device: reason for device, reason in devices.items() if reason is not None},
        "products": kind.capabilities.products,
        "deterministic": sorted(kind.capabilities.deterministic),
        "compiles": kind.capabilities.compiles,
        "tuned": held,
    }


def _missing_device(kind: Any, device: str) -> str | None:
    """Return why a device cannot be used here, ``None`` when it can."""
    import backends

    try:
        kind(backends.Network((3, 2, 1)), kind.capabilities.dtypes[0], device)
    except backends.BackendUnavailable as error:
        return str(error)
    return None


def _print(rows: list[dict[str, Any]]) -> None:
    from bench.terminal.terminal import console, table

    here = [row for row in rows if row["available"]]
    out = console()
    out.print(
        table(
            ["backend", "framework", ("threads", "right"), "dtypes", "devices"],
            [
                (
                    row["name"],
                    row["framework"] or "-",
                    "-" if row["threads"] is None else str(row["threads"]),
                    " ".join(row["dtypes"]),
                    " ".join(row["devices"]),
                )
                for row in here
            ],
            caption="threads: what it would use now; -: not told",
        )
    )
    for row in rows:
        if not row["available"]:
            out.print(f"not here: {row['reason']}", markup=False)
    without: dict[str, list[str]] = {}
    for row in here:
        for reason in row["missing_devices"].values():
            without.setdefault(reason.removeprefix(f"backend {row['name']!r} "), []).append(row["name"])
    for reason, names in without.items():
        out.print(f"{', '.join(names)}: {reason}", markup=False)
    if held := [f"{name}={value}" for row in here for name, value in row["tuned"].items()]:
        out.print(f"tuned for this machine: {', '.join(held)}; undo: python -m bench tune --reset", markup=False)
