"""What ``train`` says to a machine: facts for ``--json`` and for the saved parameters.

Tests: `tests/bench/cli/test_train.py`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.training.prediction import ClassScore, Score
    from bench.training.prepare import Prepared
    from bench.training.training import Training

JSON_LOSSES = 1000


def facts(
    args: argparse.Namespace,
    prepared: Prepared,
    trained: Training,
    seen: Score | ClassScore,
    held: Score | ClassScore | None,
) -> dict[str, Any]:
    """Return what was done and what came of it, for JSON and for the saved file."""
    return {
        "data": args.data,
        "network": str(prepared.network),
        "backend": prepared.backend.name,
        "why": prepared.why,
        "dtype": args.dtype,
        "device": args.device,
        "seed": args.seed,
        "optimizer": str(prepared.backend.optimizer),
        "rows_per_step": prepared.rows_per_step,
        "kept_in_memory": prepared.stream.keep and not args.chunks if prepared.stream else True,
        "chunks": len(prepared.stream.sizes) if prepared.stream and args.chunks else None,
        "patience": prepared.patience,
        "best_step": trained.best_step,
        "learning_rate": prepared.learning_rate,
        "steps_asked_for": prepared.steps,
        "steps": len(trained.losses),
        "seconds": trained.seconds,
        "rows_trained_on": prepared.rows,
        "rows_held_out": len(prepared.parts.held_x),
        "rows_dropped": prepared.rows_dropped,
        "inputs": list(prepared.parts.inputs.columns),
        "constant_inputs": list(prepared.parts.inputs.constant),
        "targets": [prepared.classes.column] if prepared.classes else list(prepared.parts.targets.columns),
        "classes": list(prepared.parts.targets.columns) if prepared.classes else None,
        "trained_on": _score(seen),
        "held_out": _score(held) if held else None,
    }


def _score(score: Score | ClassScore) -> dict[str, Any]:
    from bench.training.prediction import ClassScore

    if isinstance(score, ClassScore):
        return {"loss": score.loss, "accuracy": score.accuracy, "confusion": score.confusion.tolist()}
    return {"loss": score.loss, "r2": score.r2, "rmse": score.rmse}


def losses(trained: Training) -> dict[str, Any]:
    """Return the losses, evenly thinned, with the distance between them in steps."""
    every = -(-len(trained.losses) // JSON_LOSSES)
    return {"losses_every": every, "losses": [float(loss) for loss in trained.losses[::every]]}
