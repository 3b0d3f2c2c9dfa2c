"""Judge one network, one batch and one set of parameters on a loaded backend: what runs before and after timing.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Backend, Layer
from backends.conformance import exact, minibatches, spikes
from backends.conformance.composed import balls_of_steps
from backends.conformance.exact import judge_exact
from backends.conformance.minibatches import judge_parts
from backends.conformance.report import Report, summarise
from backends.conformance.spikes import judge_spikes
from backends.conformance.stages import judge_stages, judge_step, judge_train
from backends.conformance.subject import Problem, precision_of

CLAIMS = (
    "outputs",
    "loss",
    "weights gradients",
    "biases gradients",
    "update",
    "step",
    "train",
    spikes.CLAIM,
    exact.CLAIM,
)
MOST_STEPS = 20
"""In a pass of mini-batches that is judged to its end."""


def check_cell(
    backend: Backend,
    params: Sequence[Layer],
    inputs: ArrayLike,
    targets: ArrayLike,
    learning_rate: float,
    rows: int | None = None,
    rows_per_step: int | None = None,
) -> Report:
    """Judge exactly this problem, every row and every entry of it, against the proven bounds; and its shape.

    What is checked, each entry against its own bound: the output of every layer, from the output of the layer before as
    the backend computed it; the loss and every gradient, from the backend's own tape; the update, from its own
    gradients; one fused `step` and two steps of `train`, losses, parameters and the optimiser's state, from the inputs
    alone with all errors carried along. A batch of its shape with spikes, and one of exact sums, show what such bounds
    are too wide for in a large batch; both are of the mean squared error. What is not checked: layouts, special values,
    state, determinism; `check` does those.

    Up to 262,144 rows times parameters the oracle calculates in extended precision, beyond that in doubles whose own
    error is added to the bound, in blocks of 8,192 rows. It places its own copies of params and batch. Seconds: about
    0.01 for a small batch, about 1 for a million rows of 3-2-1; first calls of a compiling backend come on top.

    Args:
        backend: already loaded, for this network, dtype and device.
        params: host parameters, ``[out, in]`` and ``[out]`` a layer.
        inputs: host ``[n, inputs]``.
        targets: host ``[n, outputs]``.
        learning_rate: of the step.
        rows: of the batch whose shape is judged, if ``inputs`` are only its first rows; 0 leaves the shape out.
        rows_per_step: of mini-batches, whose first steps are judged as well, and the end of a pass unless it is far.

    Returns:
        A report of nine claims; ``report.worst.ratio`` is the number to keep.
    """
    x, y = backend.host_batch(inputs, targets)
    name = f"{backend.network}, {len(x)} rows"
    network = backend.network
    problem = Problem(
        name,
        backend.host_params(params),
        x,
        y,
        learning_rate,
        network.activation,
        network.loss,
        backend.optimizer,
    )
    shape = len(x) if rows is None else rows
    with np.errstate(all="ignore"):
        trajectory = balls_of_steps(problem, 2, precision_of(backend, problem.work))
        tallies = [judge_stages(backend, problem)]
        tallies += [judge_step(backend, problem, trajectory), judge_train(backend, problem, trajectory)]
        if rows_per_step and rows_per_step < len(x):
            in_a_pass = -(-len(x) // rows_per_step)
            steps = (0, 1) if in_a_pass > MOST_STEPS else (0, in_a_pass - 1, in_a_pass)
            tallies.append(judge_parts(backend, problem, rows_per_step, steps))
        if shape and network.loss == "mse":
            tallies += [judge_spikes(backend, shape, name), judge_exact(backend, shape, name)]
    findings = [finding for tally in tallies for finding in tally.findings]
    findings = [replace(f, claim="train") if f.claim == minibatches.CLAIM else f for f in findings]
    claims = (summarise(claim, [finding for finding in findings if finding.claim == claim]) for claim in CLAIMS)
    return Report(backend.name, backend.dtype, backend.device, tuple(claims))
