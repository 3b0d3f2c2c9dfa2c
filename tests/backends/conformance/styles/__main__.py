"""``python -m tests.backends.conformance.styles CASES [SEED]``: so many drawn cases on each style in each dtype."""

import sys
import time

from backends import DTYPES
from tests.backends.conformance.styles import STYLES, judge_drawn

MOST_WORK = 1 << 17


def main(cases: int, seed: int = 0) -> int:
    """Print the worst ratio of each style; return 1 if any finding is a failure."""
    total = failures = 0
    for style in STYLES:
        if reason := style.missing():
            print(f"{style.__name__}: skipped, {reason}", flush=True)
            continue
        for dtype in DTYPES:
            begun_s, worst = time.monotonic(), None
            for findings in judge_drawn(style, dtype, seed, max(1, round(cases * style.share)), MOST_WORK):
                total += 1
                failures += sum(finding.status == "fail" for finding in findings)
                worst = max((worst, *findings) if worst else findings, key=lambda finding: finding.badness)
            assert worst
            seconds = time.monotonic() - begun_s
            where = f"{worst.claim} of {worst.case}: {worst.where}"
            print(f"{style.__name__:16} {dtype} {worst.ratio:.3f}  {where}  ({seconds:.0f} s)", flush=True)
    print(f"{total:,} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
