"""The command line: flags in, text out. Only modules of this package print or exit.

One module a command, with ``add_flags(parser)`` and ``run(args) -> exit status``; it is imported when its command is
asked for, and imports what is heavy inside ``run``, so that ``--help`` stays instant.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

PROGRAM = "python -m bench"
SUCCESS, CHECK_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "backends": "which backends are here, and what the others need",
    "check": "prove that backends compute the same thing",
    "tutorial": "walk through the tutorial's numbers on every backend",
    "train": "train a network on a CSV or Parquet file",
    "predict": "apply trained parameters to a CSV or Parquet file",
    "run": "time backends in isolated processes, kept under results/",
    "scale": "time training on numbers of ranks, here or under a launcher",
    "compare": "backends side by side, or one run against another",
    "recommend": "the backend for a network, a batch and a number of steps",
    "gate": "fail on a proven slow-down of a change against its base",
    "history": "the stored runs in order, and the cells whose time stepped",
    "certify": "try the verdicts on noise recorded on this machine",
    "validate": "measure how often the recommended backend is the best",
    "report": "one offline HTML file with the pictures",
    "export": "stored rows as Parquet or CSV",
    "ceilings": "measure this machine's bandwidth, products and tanh",
    "limits": "time, limit and share of it, next to the idiom",
    "tune": "try the backends' constants on this machine",
    "gpu": "prove and time the backends on this machine's GPU",
}

NOT_THERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.ENOTDIR)
PLACES = dict.fromkeys((*NOT_THERE, errno.EISDIR), WRONG_USAGE)
PLACES |= dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE), CHECK_FAILED)
"""Errors of the operating system that a person can mend, and the exit status that each gives."""


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with what was expected and the next command, not with its whole usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._given: list[str] = []
        super().__init__(*args, **kwargs | {"allow_abbrev": False})  # "--rows" must not be taken as "--rows-per-step"
        # No flag begins with a digit: "-1s" is a value, which its own type refuses, and no flag that is not known.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and keep the arguments for `error`."""
        self._given = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments and exit with status 2; a flag that is missing may be misspelt."""
        from bench.cli import messages

        misspelt = next((word for word in self._given if _meant(word, self)), "")
        if misspelt and "are required" in message:
            message += f"; got {misspelt}{_meant(misspelt, self)}"
        command = self.prog.removeprefix(PROGRAM)
        messages.error(f"{message.removeprefix('argument ')}\nsee: python -m bench{command} --help")
        raise SystemExit(WRONG_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 success, 1 a check failed or the disk did, 2 wrong usage, 130 interrupted.
    """
    from bench.cli import interrupts, streams

    streams.prepare()
    try:
        os.getcwd()
    except OSError:
        from bench.cli import messages

        messages.error("the current folder was removed; change to one that is there, such as: cd ~")
        return WRONG_USAGE
    _search_here_last()
    try:
        with interrupts.ended_like_ctrl_c():
            status = _run(parsed(list(sys.argv[1:] if argv is None else argv)))
            streams.finish()
            return status
    except KeyboardInterrupt as interrupt:  # wherever it comes, even while a module is imported
        interrupts.forget_timers()
        print("\n".join(["interrupted", *getattr(interrupt, "__notes__", ())]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout went away, as `head` does
        streams.discard_output()
        return SUCCESS
    except ModuleNotFoundError as error:
        if error.name != "resource":
            raise
        from bench.cli import messages

        messages.error("measuring stops processes and lets them go on, as Linux and macOS can; on Windows, use WSL")
        return WRONG_USAGE
    except OSError as error:
        if error.errno not in PLACES:
            raise
        from bench.cli import messages

        where = "choose a place that you may write to: --results DIR, --out FILE, --save FILE"
        remedy = where if PLACES[error.errno] == WRONG_USAGE else "make room, or choose another place"
        messages.error(f"{error.filename or 'output'}: {error.strerror}; {remedy}")
        return PLACES[error.errno]


def _search_here_last() -> None:
    """Look for modules in the current folder last: it may hold a backend, and its ``statistics.py`` hides no other."""
    here = os.getcwd() if os.path.isdir(".") else None
    if here is None or os.path.realpath(here) == os.path.realpath(f"{__file__}/../../.."):
        return  # in a checkout, where `backends` has to come from the same place as `bench`
    if sys.path and sys.path[0] in ("", here) and not _from_environment(here):
        del sys.path[0]
    if here not in sys.path:
        sys.path.append(here)


def _from_environment(folder: str) -> bool:
    return folder in os.environ.get("PYTHONPATH", "").split(os.pathsep)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return what the arguments ask for; only the module of the command asked for is imported."""
    parser = Parser(
        prog=PROGRAM,
        description="The same small network on every array framework: proven equal, timed honestly, the right one "
        "picked.",
        epilog="Start with: python -m bench recommend --network 3-2-1 --batch 5000 --steps 1000 --measure. Exit "
        "status: 0 success, 1 a check failed, 2 wrong usage, 130 interrupted.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == asked:
            module = importlib.import_module(f"bench.cli.{name}")
            module.add_flags(command)
            command.set_defaults(run=module.run)
    if asked is not None and asked not in COMMANDS:
        parser.error(f"no command {asked!r}{_nearest(asked, COMMANDS)}\nthere are {', '.join(COMMANDS)}")
    args: argparse.Namespace
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        of_command = commands.choices[args.command]
        of_command.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], of_command)}")
    return args


def _meant(unknown: str, command: argparse.ArgumentParser) -> str:
    """Return the flag of a command that is most like an unknown one, as words; '' if none is."""
    flag = unknown.partition("=")[0]
    known = [flag for action in command._actions for flag in action.option_strings]
    if not flag.startswith("-") or flag in known:
        return ""
    begun = [name for name in known if name.startswith(flag) and flag.startswith("--")]
    return f"; did you mean {begun[0]}?" if begun else _nearest(flag, known)


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like another, as words; '' if none is."""
    import difflib

    close = difflib.get_close_matches(word, known, 1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def _run(args: argparse.Namespace) -> int:
    """Run a parsed command; turn the errors that a person can mend into one line and a status."""
    from backends import BackendUnavailable
    from bench.basics.errors import UsageError
    from bench.cli import messages
    from bench.results.journal import JournalFull

    messages.warn_of_logged()
    try:
        return int(args.run(args))
    except (UsageError, BackendUnavailable) as error:
        messages.error(messages.in_folder(str(error), getattr(args, "results", None)))
        return WRONG_USAGE
    except SystemExit as error:  # no command raises it: a backend did, and must not make this look well
        messages.error(f"a backend ended this command (SystemExit: {error.code}); see: python -m bench check --backend")
        return CHECK_FAILED
    except JournalFull as error:
        messages.error(f"{error.strerror}; what was measured is kept: make room and try again")
        return CHECK_FAILED
