"""The flags that say what is trained and how: ``--activation``, ``--loss``, ``--optimizer``, ``--rows-per-step``.

What a network's own text names, such as ``3-2-1/relu/adam``, needs no flag; a flag that contradicts it is refused.

Tests: `tests/bench/cli/test_workloads.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.cli import flags

if TYPE_CHECKING:
    from backends import Network, Optimizer
    from bench.workload import Workload


def add_flags(group: argparse._ActionsContainer) -> None:
    """Declare the four flags."""
    group.add_argument("--activation", type=_known("ACTIVATIONS"), metavar="NAME", help="tanh, relu, sigmoid, identity")
    group.add_argument("--loss", type=_known("LOSSES"), metavar="NAME", help="mse, cross-entropy")
    group.add_argument(
        "--optimizer", type=_optimizer, metavar="NAME", help="descent, momentum, adam, adam:weight_decay=0.01"
    )
    group.add_argument("--rows-per-step", type=flags.positive, metavar="N", help="mini-batches (default: all rows)")


def workload(text: str) -> Workload:
    """Read ``3-2-1`` or ``3-2-1/relu/adam``."""
    from bench.workload import Workload

    try:
        return Workload.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def asked(args: argparse.Namespace, networks: Sequence[Workload | Network], flag: str = "--networks") -> list[Workload]:
    """Return workloads with what the flags say of each.

    Args:
        args: with the values of `add_flags`.
        networks: named on the command line, or the default ones.
        flag: that named them.

    Raises:
        UsageError: a flag that contradicts the text of a network, or a loss that a network cannot have.
    """
    from dataclasses import replace

    from bench.basics.errors import UsageError
    from bench.workload import Workload

    changed = []
    for named in map(Workload.of, networks):
        network, usual = named.network, Workload(named.network)
        for name, said, given, default in (
            ("--activation", network.activation, args.activation, "tanh"),
            ("--loss", network.loss, args.loss, "mse"),
            ("--optimizer", named.optimizer, args.optimizer, usual.optimizer),
            ("--rows-per-step", named.rows_per_step, args.rows_per_step, None),
        ):
            if given is not None and said not in (default, given):
                raise UsageError(f"{flag} {named} says {said}, and {name} says {given}; give one of them")
        try:
            of = replace(network, activation=args.activation or network.activation, loss=args.loss or network.loss)
        except ValueError as error:
            raise UsageError(f"{flag} {named} with --loss {args.loss}: {error}") from None
        changed.append(Workload(of, args.optimizer or named.optimizer, args.rows_per_step or named.rows_per_step))
    return changed


def fitting(args: argparse.Namespace, networks: Sequence[Network]) -> tuple[list[Network], list[str]]:
    """Return the default networks that can have the loss asked for, and a line for each that cannot."""
    few = [network for network in networks if args.loss == "cross-entropy" and network.outputs < 2]
    left_out = [f"{network}: cross-entropy needs one output a class, at least 2" for network in few]
    return [network for network in networks if network not in few], left_out


def _known(table: str) -> Callable[[str], str]:
    """Return a type that reads a name out of a table of `backends`."""

    def read(text: str) -> str:
        import backends

        names = getattr(backends, table)
        if text.strip() not in names:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(names)}, got {text.strip()!r}")
        return text.strip()

    return read


def _optimizer(text: str) -> Optimizer:
    """Read ``adam`` or ``adam:beta1=0.8,weight_decay=0.01``."""
    from backends import parse_optimizer

    try:
        return parse_optimizer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
