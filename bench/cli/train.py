"""``python -m bench train``: a network for a person's own table, from the file to scored, saved parameters.

Tests: `tests/bench/cli/test_train.py`.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.names import DEVICES, DTYPES
from bench.cli import flags, train_facts, train_text

if TYPE_CHECKING:
    from backends import Params
    from bench.training.prepare import Prepared
    from bench.training.request import Request
    from bench.training.training import Keep, Training

    Outcome = tuple[Prepared, Training, str]

KEPT_EVERY_S = 5.0
"""Between two savings while several ranks train."""

ASKED = (
    *("data", "drop_missing", "holdout", "network", "activation", "loss", "optimizer", "learning_rate", "steps"),
    *("rows_per_step", "epochs", "patience", "seed", "backend", "dtype", "device", "chunks"),
)
"""Flags that become fields of a `Request` as they are."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``train``."""
    parser.epilog = "Ctrl-C stops early and keeps the parameters reached."
    _add_data_flags(parser)
    _add_training_flags(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--save", metavar="FILE", help="keep the parameters, for example params.safetensors")
    flags.add_json(output)


def _add_data_flags(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--data", required=True, metavar="FILE", help="CSV with a header line, or Parquet")
    data.add_argument(
        "--target", required=True, nargs="+", action="extend", metavar="COLUMN", help="what to predict; several allowed"
    )
    data.add_argument("--ignore", nargs="+", action="extend", default=[], metavar="COLUMN", help="columns to leave out")
    data.add_argument("--drop-missing", action="store_true", help="leave rows with missing values out")
    data.add_argument("--holdout", type=float, default=0.2, metavar="F", help="fraction kept for scoring (default 0.2)")
    flags.add_table_form(parser)


def _add_training_flags(parser: argparse.ArgumentParser) -> None:
    training = parser.add_argument_group("network and training")
    training.add_argument("--network", metavar="8-32-1", help="layer sizes (default: inputs-32-targets)")
    training.add_argument("--activation", metavar="NAME", help="tanh, relu, sigmoid or identity (default tanh)")
    training.add_argument(
        "--loss", choices=("mse", "cross-entropy"), help="default: cross-entropy for a target of text, else mse"
    )
    training.add_argument(
        "--optimizer",
        default="descent",
        metavar="NAME",
        help="descent, momentum, adam, adam:weight_decay=0.01",
    )
    training.add_argument("--learning-rate", type=float, metavar="R", help="default: by optimizer and network")
    training.add_argument("--steps", type=flags.count, metavar="N", help="default 3000")
    training.add_argument(
        "--rows-per-step",
        type=flags.count,
        metavar="N",
        help="mini-batches; the table may be larger than memory. Rows are shuffled in chunks of up to 65,536; the "
        "chunks are visited in a drawn order, but those of a CSV file that is compressed or not in UTF-8 as they come",
    )
    training.add_argument(
        "--chunks",
        action="store_true",
        help="all rows at each step, read from disk in chunks; the table may be larger than memory",
    )
    training.add_argument(
        "--epochs", type=flags.count, metavar="N", help="passes over the table (default 20 of mini-batches)"
    )
    training.add_argument(
        "--patience",
        type=flags.count,
        metavar="N",
        help="stop after N checks without a better held-out loss; keep the best",
    )
    training.add_argument("--seed", type=int, default=0, metavar="N", help="of split and first parameters (default 0)")
    training.add_argument("--backend", metavar="NAME", help="default: chosen, with the reason shown")
    training.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32")
    training.add_argument("--device", choices=DEVICES, default="cpu", help="default cpu")


def run(args: argparse.Namespace) -> int:
    """Read, split, train, score, save; return the exit status. Under a launcher, its ranks share the rows."""
    from backends import RanksError
    from backends.ranks import launched
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output
    from bench.training.prepare import prepare
    from bench.training.request import Request

    save_to = check_output(args.save, "--save", {"--data": args.data}) if args.save else None
    chosen = {name: getattr(args, name) for name in ASKED}
    request = Request(targets=tuple(args.target), ignore=tuple(args.ignore), form=flags.table_form(args), **chosen)
    try:
        outcome = _on_ranks(args, request, save_to) if launched().size > 1 else _trained(args, prepare(request))
    except RanksError as error:
        raise UsageError(str(error)) from None
    return outcome if isinstance(outcome, int) else _finish(args, save_to, *outcome)


def _on_ranks(args: argparse.Namespace, request: Request, save_to: Path | None) -> int | Outcome:
    """Train on the ranks that a launcher started; only rank 0 has something to say, to score and to save."""
    from backends import BackendUnavailable, join
    from bench.basics.errors import UsageError
    from bench.cli import SUCCESS, WRONG_USAGE, messages
    from bench.training.dividing import divided
    from bench.training.prepare import prepare

    with join() as ranks:
        prepared, problem = None, ""
        try:
            if args.rows_per_step or args.chunks:
                flag = "--chunks" if args.chunks else "--rows-per-step"
                raise UsageError(f"{flag} reads the table in one process: leave it out, or start one rank")
            prepared = prepare(request)
        except (UsageError, BackendUnavailable) as error:
            problem = str(error)
        problems = ranks.gather(problem)
        if any(problems) or prepared is None:
            if ranks.rank == 0:
                first = next(rank for rank, text in enumerate(problems) if text)
                messages.error(problems[first] if all(problems) else f"rank {first}: {problems[first]}")
            return WRONG_USAGE
        prepared = divided(prepared, ranks)
        outcome = _trained(args, prepared, _Keeper(args, prepared, save_to) if save_to else None, ranks.rank > 0)
    if ranks.rank > 0:
        return outcome if isinstance(outcome, int) else SUCCESS
    return outcome


def _trained(
    args: argparse.Namespace, prepared: Prepared, keep: Keep | None = None, silent: bool = False
) -> int | Outcome:
    """Train and say so; return what came of it, or the exit status if it diverged."""
    from backends import TrainingDiverged
    from bench.cli import CHECK_FAILED
    from bench.cli.streams import going_on
    from bench.terminal.terminal import console
    from bench.training.training import default_learning_rate

    if not (args.json or silent):
        with going_on():
            train_text.introduce(args, prepared)
    try:
        if silent:
            return prepared, prepared.train(args.seed, lambda done, loss: True), ""
        return prepared, *_train(prepared, args.seed, keep)
    except TrainingDiverged as error:
        usual = default_learning_rate(prepared.network, prepared.backend.optimizer, prepared.rows_per_step is not None)
        lower = f"{min(prepared.learning_rate / 4, usual):.2g}"
        if not silent:
            console(stderr=True).print(f"error: {error}.\nTry again with --learning-rate {lower}. Nothing was saved.")
        return CHECK_FAILED


def _finish(
    args: argparse.Namespace, save_to: Path | None, prepared: Prepared, trained: Training, stopped_by: str
) -> int:
    """Score, save, show; return the exit status."""
    from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS
    from bench.cli.document import show
    from bench.terminal.terminal import console
    from bench.training.over_ranks import alone
    from bench.training.prediction import score_standardised

    parts, backend = prepared.parts, alone(prepared.backend)
    seen = score_standardised(backend, trained.params, parts.targets, parts.x, parts.y)
    held = None
    if len(parts.held_x):
        held = score_standardised(backend, trained.params, parts.targets, parts.held_x, parts.held_y)
    facts = train_facts.facts(args, prepared, trained, seen, held)
    kept = not save_to or _save(save_to, args.dtype, prepared, trained, facts)
    if args.json:
        show(facts | {"saved": args.save} | train_facts.losses(trained))
    else:
        train_text.conclude(console(), prepared, trained, stopped_by, seen, held)
        train_text.say_where(console(), save_to if kept else None, ask=not (trained.complete or save_to))
    if not kept:
        return CHECK_FAILED
    return SUCCESS if trained.complete else INTERRUPTED


class _Keeper:
    """Saves the parameters now and then while several ranks train: one that is lost may end this one at any moment."""

    def __init__(self, args: argparse.Namespace, prepared: Prepared, path: Path) -> None:
        self.args, self.prepared, self.path = args, prepared, path
        self.saved_s = 0.0

    def __call__(self, done: int, params: Params) -> None:
        """Save what was reached, if the last time is long enough ago."""
        import time

        from bench.training.trained_model import TrainedModel, save_model

        if time.monotonic() - self.saved_s < KEPT_EVERY_S:
            return
        prepared, args = self.prepared, self.args
        facts = {"data": args.data, "network": str(prepared.network), "seed": args.seed, "steps": done}
        facts |= {"backend": prepared.backend.name, "dtype": args.dtype, "complete": False}
        column = prepared.classes.column if prepared.classes else None
        parts = prepared.parts
        save_model(
            TrainedModel(prepared.network, args.dtype, params, parts.inputs, parts.targets, facts, column), self.path
        )
        self.saved_s = time.monotonic()


def _train(prepared: Prepared, seed: int, keep: Keep | None = None) -> tuple[Training, str]:
    """Train with progress on stderr; Ctrl-C ends it after the current chunk of steps. Return as well what ended it."""
    from bench.cli.interrupts import ask_before_stopping
    from bench.terminal.terminal import format_number, progress

    with ask_before_stopping() as stop, progress("training") as shown:

        def notice(done: int, loss: float) -> bool:
            shown.update(done / prepared.steps, f"loss {format_number(loss)}")
            return not stop.asked

        return prepared.train(seed, notice, keep), stop.by


def _save(path: Path, dtype: str, prepared: Prepared, trained: Training, facts: dict[str, Any]) -> bool:
    """Save the parameters, elsewhere if the disk of ``path`` is full or fails; return whether they are where asked."""
    from bench.basics.formats import printable
    from bench.cli import messages
    from bench.training.trained_model import TrainedModel, save_elsewhere, save_model

    column = prepared.classes.column if prepared.classes else None
    model = TrainedModel(
        prepared.network, dtype, trained.params, prepared.parts.inputs, prepared.parts.targets, facts, column
    )
    try:
        save_model(model, path)
    except OSError as error:
        if (elsewhere := save_elsewhere(model)) is None:
            raise
        shown = shlex.quote(printable(str(elsewhere)))
        messages.error(f"{path}: {error.strerror}; the parameters are kept in {shown}: move them from there")
        return False
    return True
