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
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from backends import Capabilities

SIGN_OF_LIFE_S = 0.5


def main() -> None:
    """Judge and send what was found, also if the backend raises; if it ends the process, the parent sees that."""
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
    """Send what the backend is, each claim as it is judged, and at the end which products it makes."""
    from backends import BackendUnavailable, Network, find
    from backends.conformance.cases import Case
    from backends.conformance.checks import check

    try:
        kind = find(spec["backend"])
    except BackendUnavailable as error:
        return _send(records, "unavailable", reason=str(error))
    except (ValueError, TypeError) as error:
        return _send(records, "refused", reason=f"{error}; python -m bench backends lists them")
    asked = spec.get("dtypes") or kind.capabilities.dtypes
    if reason := _lacks(kind.capabilities, spec, asked):
        return _send(records, "refused", reason=reason)
    dtype = spec["dtype"] or asked[0]
    _send(records, "begins", dtype=dtype, others=[] if spec["dtype"] else list(asked[1:]))
    try:
        report = check(
            spec["backend"],
            Network.parse(spec["network"]) if spec.get("network") else None,
            dtype,
            spec["device"],
            spec.get("quick", False),
            tuple(map(Case.parse, spec["cases"])) if spec.get("cases") else None,
            tuple(spec["claims"]) if spec.get("claims") else None,
            progress=_SignsOfLife(records).tell,
            draws=spec.get("draws"),
            seed=spec.get("seed"),
            judged=lambda claim: _send(records, "judged", claim=asdict(claim)),
            deep=spec.get("deep", False),
        )
    except BackendUnavailable as error:
        return _send(records, "unavailable", reason=str(error))
    return _send(records, "end", products=report.products)


def _lacks(capabilities: Capabilities, spec: dict[str, Any], dtypes: Sequence[str]) -> str:
    """Return which dtype or device the backend does not have, '' if it has all."""
    for what, asked, offered in (
        ("dtype", dtypes, capabilities.dtypes),
        ("device", (spec["device"],), capabilities.devices),
    ):
        if unknown := [value for value in asked if value not in offered]:
            return f"backend {spec['backend']!r} has no {what} {unknown[0]!r}; it offers {', '.join(offered)}"
    return ""


class _SignsOfLife:
    """Sends which claim is being judged: each new claim at once, the same one every `SIGN_OF_LIFE_S`."""

    def __init__(self, records: TextIO) -> None:
        self._records, self._claim, self._sent_s = records, "", 0.0

    def tell(self, fraction: float, claim: str) -> None:
        now_s = time.monotonic()
        if claim != self._claim or now_s - self._sent_s > SIGN_OF_LIFE_S:
            self._sent_s, self._claim = now_s, claim
            _send(self._records, "judges", claim=claim, fraction=fraction)


def _send(records: TextIO, event: str, **fields: Any) -> None:
    """Send one record, at once."""
    records.write(json.dumps({"event": event, **fields}) + "\n")
    records.flush()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
