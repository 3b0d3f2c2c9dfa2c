"""What a check found: one record a claim, and the report that holds them. No checking here, and no printing.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_command.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "warn", "fail", "skip"]
SEVERITY: tuple[Status, ...] = ("skip", "pass", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    """One claim judged on one case.

    Attributes:
        claim: the claim's name.
        case: name of the case, from which it can be made again.
        ratio: error divided by proven bound, at most 1 for a correct backend; 0 or infinite for claims of equality.
        where: which layer and entry, or what differed.
        sharp_ratio: error divided by what random roundings amount to; above 1 is worth a warning, no more.
    """

    claim: str
    case: str
    ratio: float
    where: str = ""
    sharp_ratio: float = 0.0

    @property
    def badness(self) -> float:
        """The ratio, and infinity if it is not a number: comparing by it, no failure is lost."""
        return math.inf if math.isnan(self.ratio) else self.ratio

    @property
    def status(self) -> Status:
        """``"fail"`` above the bound, ``"warn"`` above what random roundings amount to."""
        if not self.ratio <= 1:
            return "fail"
        return "warn" if self.sharp_ratio > 1 else "pass"


@dataclass(frozen=True)
class Claim:
    """One claim judged on all its cases.

    Attributes:
        name: what is claimed.
        status: the worst of its cases; ``"skip"`` if no case applies.
        ratio: the worst error divided by its bound.
        case: the case that gave it.
        where: which layer and entry of it, or what differed; why, if skipped.
        cases: how many findings there are.
        warning: the case and the ratio that make it a warning; empty otherwise.
    """

    name: str
    status: Status
    ratio: float = 0.0
    case: str = ""
    where: str = ""
    cases: int = 0
    warning: str = ""


@dataclass(frozen=True)
class Report:
    """One backend judged in one dtype on one device.

    Attributes:
        backend: its name as asked for.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"cpu"`` or ``"cuda"``.
        claims: one `Claim` each.
        products: the precision of matrix products that the backend declares, and its bounds allow: ``"ieee"`` (that of
            the dtype), ``"tf32"`` or ``"bf16"``.
        seed: of the drawn cases, with which they are drawn again; ``None`` if none are.
        ranks: number of processes that it was judged on together.
        engine: what they were joined by, if there are several.
    """

    backend: str
    dtype: str
    device: str
    claims: tuple[Claim, ...]
    products: str = "ieee"
    seed: int | None = None
    ranks: int = 1
    engine: str = ""

    @property
    def passed(self) -> bool:
        """Whether no claim failed."""
        return all(claim.status != "fail" for claim in self.claims)

    @property
    def label(self) -> str:
        """Backend and dtype, and the ranks if there are several, for people."""
        ranks = f" on {self.ranks} ranks by {self.engine}" if self.ranks > 1 else ""
        return f"{self.backend} {self.dtype}{ranks}"

    @property
    def worst(self) -> Claim:
        """The claim with the largest ratio; its ``ratio`` is the report's answer in one number."""
        return max(self.claims, key=lambda claim: math.inf if math.isnan(claim.ratio) else claim.ratio)

    @property
    def failures(self) -> tuple[Claim, ...]:
        """The claims that failed."""
        return tuple(claim for claim in self.claims if claim.status == "fail")

    @property
    def warnings(self) -> tuple[Claim, ...]:
        """The claims that hold, with errors larger than random roundings amount to."""
        return tuple(claim for claim in self.claims if claim.status == "warn")

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON; ratios that are not finite become text."""
        claims = [asdict(claim) for claim in self.claims]
        for claim in claims:
            if not math.isfinite(claim["ratio"]):
                claim["ratio"] = str(claim["ratio"])
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "device": self.device,
            "products": self.products,
            "seed": self.seed,
            "ranks": self.ranks,
            "engine": self.engine,
            "passed": self.passed,
            "claims": claims,
        }


def worst_of(findings: Sequence[Finding]) -> Finding:
    """Return the first finding with the largest ratio; one that is not a number is the largest."""
    return max(findings, key=lambda finding: finding.badness)


def summarise(name: str, findings: list[Finding], skipped: str = "") -> Claim:
    """Return the claim that all ``findings`` together make; ``skipped`` says why there are none."""
    if not findings:
        return Claim(name, "skip", where=skipped or "no case applies")
    worst = worst_of(findings)
    sharpest = max(findings, key=lambda finding: finding.sharp_ratio)
    status = max((finding.status for finding in findings), key=SEVERITY.index)
    warning = f"{sharpest.case} reaches {sharpest.sharp_ratio:.3g}" if status == "warn" else ""
    return Claim(name, status, worst.ratio, worst.case, worst.where, len(findings), warning)
