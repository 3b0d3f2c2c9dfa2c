"""``gate``: for continuous integration, fail on a proven slow-down against a baseline run, or on a lost cell."""

from __future__ import annotations

import argparse

from bench.cli import CHECK_FAILED, SUCCESS, flags

EPILOG = """\
in continuous integration, on one machine and close together in time:
  git checkout main && python -m bench run --label main
  git checkout change && python -m bench run --label change
  python -m bench gate --baseline RUN-OF-MAIN
exit status: 0 nothing is proven slower, 1 something is or was lost, 2 wrong
usage"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--baseline", required=True, metavar="RUN", help="folder or id of the run to be held against")
    parser.add_argument("--candidate", default="latest", metavar="RUN", help="folder, id or 'latest' (the default)")
    flags.add_margin(parser, "smaller slow-downs pass, such as 5%%")
    parser.add_argument("--force", action="store_true", help="judge also where conditions differ")
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Judge; return 1 where something is proven slower or was lost."""
    from bench import results
    from bench.errors import UsageError
    from bench.verdicts import conditions, gate

    baseline, candidate = results.resolve(args.baseline, args.results), results.resolve(args.candidate, args.results)
    if baseline.path.resolve() == candidate.path.resolve():
        raise UsageError(f"baseline and candidate are the same run {baseline.id}; measure again: python -m bench run")
    frames = results.load(baseline), results.load(candidate)
    conditions.refuse(conditions.unlike_speed(baseline, candidate), args.force)
    judged = gate.judge(frames[0], frames[1], args.margin, args.force)
    if args.json:
        from bench.cli import document

        summary = {"passed": judged.passed, "baseline": baseline.id, "candidate": candidate.id, **vars(judged)}
        document.show(summary)
    else:
        from bench.terminal import gating, terminal

        out = terminal.console()
        for part in gating.judgement(judged):
            out.print(part)
        for warning in filter(None, map(conditions.busy, frames)):
            out.print(warning)
        out.print(f"{baseline.id} -> {candidate.id}", style="dim")
    return SUCCESS if judged.passed else CHECK_FAILED
