"""``python -m bench.measure.judge``: judge one backend in one dtype, as the record on stdin says.

What is found goes to the parent as one JSON record a line, on what was stdout; whatever a backend prints goes to
stderr. The process ends when the parent closes its stdin.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, TextIO

SIGN_OF_LIFE_S = 0.5


def main() -> None:
    """Judge, whatever the backend does, and say so; a backend that ends the process cannot be helped here."""
    records = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()
    spec = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _judge(records, spec)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a backend too
        _send(records, "lost", reason=f"raised {type(error).__name__}: {error}"[:2000])
    records.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a backend left running would keep the process


def _judge(records: TextIO, spec: dict[str, Any]) -> None:
    from backends import BackendUnavailable, Network, find
    from backends.conformance.cases import Case
    from backends.conformance.checks import check
    from backends.conformance.report import Claim

    try:
        kind = find(spec["backend"])
    except BackendUnavailable as error:
        return _send(records, "unavailable", reason=str(error))
    except (ValueError, TypeError) as error:
        return _send(records, "refused", reason=f"{error}; python -m bench backends lists them")
    capabilities, device = kind.capabilities, spec["device"]
    asked = spec.get("dtypes") or capabilities.dtypes
    for what, got, offered in (("dtype", asked, capabilities.dtypes), ("device", (device,), capabilities.devices)):
        if unknown := [value for value in got if value not in offered]:
            reason = f"backend {spec['backend']!r} has no {what} {unknown[0]!r}; it offers {', '.join(offered)}"
            return _send(records, "refused", reason=reason)
    dtype = spec["dtype"] or asked[0]
    _send(records, "begins", dtype=dtype, others=[] if spec["dtype"] else list(asked[1:]))
    told_s, told = 0.0, ""

    def tell(fraction: float, claim: str) -> None:
        nonlocal told_s, told
        now_s = time.monotonic()
        if claim != told or now_s - told_s > SIGN_OF_LIFE_S:
            told_s, told = now_s, claim
            _send(records, "judges", claim=claim, fraction=fraction)

    def keep(claim: Claim) -> None:
        _send(records, "judged", claim=asdict(claim))

    try:
        report = check(
            spec["backend"],
            Network.parse(spec["network"]) if spec.get("network") else None,
            dtype,
            device,
            spec.get("quick", False),
            tuple(map(Case.parse, spec["cases"])) if spec.get("cases") else None,
            tuple(spec["claims"]) if spec.get("claims") else None,
            progress=tell,
            draws=spec.get("draws"),
            seed=spec.get("seed"),
            judged=keep,
            deep=spec.get("deep", False),
        )
    except BackendUnavailable as error:
        return _send(records, "unavailable", reason=str(error))
    _send(records, "end", products=report.products)
    return None


def _send(records: TextIO, event: str, **fields: Any) -> None:
    """Send one record, at once."""
    records.write(json.dumps({"event": event, **fields}) + "\n")
    records.flush()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
