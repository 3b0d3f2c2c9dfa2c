"""``python -m bench tutorial``: the tutorial's own numbers on every backend, its erratum, and its problem solved."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.basics.names import DEVICES
from bench.cli import flags

if TYPE_CHECKING:
    from backends import Backend
    from bench.training.tutorial import Recovery, Walk

ERRATUM_STEPS = (0, 1, 1000, 20_000)
JSON_LOSSES = 1000


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``tutorial``."""
    parser.add_argument(
        "--backend", metavar="NAME", help="only this one (default: walk on every one, train on the first)"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default cpu")
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Walk, show the erratum, train; return the exit status."""
    from bench.cli import CHECK_FAILED, SUCCESS
    from bench.cli.document import show
    from bench.training.choosing import first_available, load_backend
    from bench.training.tutorial import DTYPE, NETWORK, load_all, recover, walk
    from bench.training.tutorial_as_printed import mean_squared_errors

    missing: dict[str, str] = {}
    if args.backend:
        loaded = [load_backend(args.backend, NETWORK, DTYPE, args.device)]
        trainer = loaded[0]
    else:
        loaded, missing = load_all(args.device)
        trainer = first_available(NETWORK, DTYPE, args.device)
    walks = {backend.name: walk(backend) for backend in loaded}
    printed, mended = (mean_squared_errors(ERRATUM_STEPS, sign) for sign in (1, -1))
    recovery = recover(trainer)
    if args.json:
        show(_document(walks, missing, printed, mended, trainer, recovery))
    else:
        _show_walk(walks, missing)
        _show_erratum(printed, mended)
        _show_recovery(trainer, recovery)
    solved = recovery.step is not None
    return SUCCESS if solved and all(walk.ratio <= 1 for walk in walks.values()) else CHECK_FAILED


def _show_walk(walks: Mapping[str, Walk], missing: Mapping[str, str]) -> None:
    """Print the problem, and each stage of one iteration with every backend's numbers."""
    from bench.terminal import tutorial as text
    from bench.terminal.terminal import console, format_number
    from bench.training.tutorial import GOLDEN, NETWORK, TUTORIAL_STEP_RATE

    out = console()
    out.print("THE TUTORIAL, ONE ITERATION ON EVERY BACKEND", style="bold")
    out.print(
        "\nA function is hidden in three samples; a small network is to find it. It sees a, b, c and y, never the "
        "formula:\n"
    )
    out.print(text.samples())
    out.print(
        f"\nThe network {NETWORK} has 3 inputs, 2 hidden units and 1 output: {NETWORK.parameter_count} parameters, "
        "which start at arbitrary values (hidden weights 0.5 and 0.1, all else 1). Below is each number as calculated "
        "with 113 bits (golden), then as each backend gets it in float64."
    )
    for group in GOLDEN:
        title, explanation = text.STAGES[group]
        out.print(f"\n{title}", style="bold")
        out.print(f"{explanation}\n")
        out.print(text.side_by_side(group, walks))
    out.print(
        f"\nThe step taken is {format_number(TUTORIAL_STEP_RATE)} times this gradient. The tutorial prints its "
        "output_weights_update, -3/2 times the gradient of the output weights: "
        + " and ".join(
            f"{-1.5 * value:.7g}" for label, value in GOLDEN["gradients"].items() if label.startswith("output, hidden")
        )
        + ".\n"
    )
    out.print(
        "Are they right? No two frameworks round alike, so each number has a proven bound for its rounding error:\n"
    )
    out.print(text.verdicts(walks))
    for name, reason in missing.items():
        out.print(f"not here: {reason}" if name in reason else f"not here: {name}: {reason}")


def _show_erratum(printed: Mapping[int, float], mended: Mapping[int, float]) -> None:
    """Print what the tutorial's sign does."""
    from bench.terminal import tutorial as text
    from bench.terminal.terminal import console

    out = console()
    out.print("\nERRATUM OF THE TUTORIAL", style="bold")
    out.print(
        "\nIt takes error = y - predicted and then subtracts the update: that walks uphill. Its mean squared error, "
        "with its own code, and with the sign mended:\n"
    )
    out.print(text.erratum(printed, mended))
    out.print(
        "\nIt also drops the factor 2 / (samples * outputs) = 2/3 of the true gradient, so its learning rate of 0.001 "
        "is 0.0015 in the usual terms. Every backend here has the true sign and factor."
    )


def _show_recovery(trainer: Backend, recovery: Recovery) -> None:
    """Print how training went and what the network knows now."""
    from bench.terminal import tutorial as text
    from bench.terminal.terminal import console, format_count
    from bench.training.tutorial import TRAINING_RATE, TRAINING_STEPS

    out = console()
    out.print("\nTRAINING UNTIL THE FUNCTION IS RECOVERED", style="bold")
    out.print(
        f"\n{format_count(TRAINING_STEPS)} steps at learning rate {TRAINING_RATE:g} on {trainer.name}, in float64. "
        "(At 0.001 this problem hovers on the edge of stability: the loss jumps to and fro.)\n"
    )
    print(text.recovery_curve(recovery))
    out.print()
    out.print(text.recovered(recovery))
    out.print(
        "\nThe three samples are recovered. Elsewhere the network is free: three samples do not pin down a function of "
        "three inputs. With data of your own, hold some out and look at both:\n"
    )
    print("  python -m bench train --data FILE --target COLUMN")


def _document(
    walks: Mapping[str, Walk],
    missing: Mapping[str, str],
    printed: Mapping[int, float],
    mended: Mapping[int, float],
    trainer: Backend,
    recovery: Recovery,
) -> dict[str, object]:
    """Return everything shown, for JSON."""
    from bench.training import tutorial

    every = tutorial.TRAINING_STEPS // JSON_LOSSES
    return {
        "network": str(tutorial.NETWORK),
        "dtype": tutorial.DTYPE,
        "golden": tutorial.GOLDEN,
        "backends": {
            name: {"values": walk.values, "error_per_bound": walk.ratio, "worst_claim": walk.claim}
            for name, walk in walks.items()
        },
        "unavailable": missing,
        "erratum": {
            "iterations": list(printed),
            "as_printed": list(printed.values()),
            "sign_mended": list(mended.values()),
        },
        "training": {
            "backend": trainer.name,
            "learning_rate": tutorial.TRAINING_RATE,
            "steps": tutorial.TRAINING_STEPS,
            "recovered_below": tutorial.RECOVERED_LOSS,
            "recovered_after_steps": recovery.step,
            "last_loss": float(recovery.losses[-1]),
            "losses_every": every,
            "losses": [float(loss) for loss in recovery.losses[::every]],
            "predicted": [float(value) for value in recovery.predicted],
            "targets": [float(value) for value in tutorial.TARGETS.ravel()],
            "unseen": {"inputs": tutorial.UNSEEN[0].tolist(), "predicted": recovery.unseen},
        },
    }
