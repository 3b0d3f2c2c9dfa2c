"""Judge one problem: each stage from the backend's own previous public output, and the fused step from the inputs.

    outputs             of every layer, from the layer before as the backend computed it
    loss                from its own predictions
    weights gradients   from its own tape, or from the inputs
    biases gradients    from its own tape, or from the inputs
    update              from its own gradients
    step, train         from the inputs and parameters alone, errors carried along

No cases here.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Array, Backend, State, TrainingDiverged
from backends.conformance import bounds
from backends.conformance.bounds import Ball, BallLayer, Precision
from backends.conformance.composed import (
    Totals,
    Trajectory,
    ball_of_gradients,
    balls_of_steps,
    blocks,
    exact_params,
    exact_state,
    hidden_of,
)
from backends.conformance.judge import Tally
from backends.conformance.oracle import SMALL_WORK, round_to
from backends.conformance.subject import Problem, precision_of
from backends.conformance.updates import BallState, updated


def judge_stages(backend: Backend, problem: Problem, given: Problem | None = None) -> Tally:
    """Run forward, backward and update once, and judge outputs, loss, both gradients and the update.

    ``given`` is what the backend is given, if that is the same numbers in another form.
    """
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    given = given or problem
    params = given.placed_on(backend)
    batch = backend.place_batch(given.inputs, given.targets)
    tape = backend.forward(params, batch)
    outputs = backend.outputs(tape)
    loss, gradients = backend.backward(params, batch, tape)
    got_loss = np.asarray(float(loss))
    got_gradients = backend.fetch(gradients)
    new = backend.update(params, gradients, problem.learning_rate)
    got_new, got_state = backend.fetch(new), fetched_state(backend, new)
    rows = len(problem.inputs)
    shapes = [(rows, size) for size in problem.network.sizes[1:]]
    if len(outputs) != len(shapes) or not all(
        tally.require("outputs", f"output of layer {k}", h, shape)
        for k, (h, shape) in enumerate(zip(outputs, shapes, strict=True), start=1)
    ):
        tally.refute("outputs", f"{len(outputs)} outputs, expected {len(shapes)}")
        return tally
    with np.errstate(all="ignore"):
        _judge_outputs(tally, problem, outputs, p)
        _judge_backward(tally, problem, outputs, got_loss, got_gradients, p)
        few = precision_of(backend, problem.network.parameter_count)
        judge_update(tally, problem, got_gradients, got_new, got_state, few)
    return tally


def judge_step(backend: Backend, problem: Problem, trajectory: Trajectory | None = None) -> Tally:
    """Run the fused `step` once, and judge the loss and the new parameters from the inputs alone."""
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, loss = backend.step(problem.placed_on(backend), batch, problem.learning_rate)
    (state, expected), *_ = trajectory or balls_of_steps(problem, 1, p)
    tally.judge("step", "loss", float(loss), expected)
    judge_params(tally, "step", backend.fetch(params), state.params)
    judge_state(tally, "step", problem, fetched_state(backend, params), state)
    return tally


def judge_train(backend: Backend, problem: Problem, trajectory: Trajectory) -> Tally:
    """Run `train` for as many steps as ``trajectory`` has, and judge every loss and the last parameters."""
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, losses = train_to_the_end(tally, backend, problem, problem.placed_on(backend), batch, len(trajectory))
    if tally.require("train", "losses", losses, (len(trajectory),)):
        for k, (_, expected) in enumerate(trajectory):
            tally.judge("train", f"loss of step {k}", losses[k], expected)
    judge_params(tally, "train", backend.fetch(params), trajectory[-1][0].params)
    judge_state(tally, "train", problem, fetched_state(backend, params), trajectory[-1][0])
    return tally


def train_to_the_end(
    tally: Tally, backend: Backend, problem: Problem, params: Any, batch: Any, steps: int
) -> tuple[Any, Array]:
    """Return what `train` returns, or what its `TrainingDiverged` carries; it must raise just where values overflow."""
    try:
        params, losses = backend.train(params, batch, problem.learning_rate, steps)
        raised = None
    except TrainingDiverged as error:
        params, losses, raised = error.params, error.losses, error
    finite = np.isfinite(losses)
    diverged = not finite.all() or not all(np.isfinite(a).all() for layer in backend.fetch(params) for a in layer)
    if diverged != (raised is not None):
        said = f"said that it diverged at step {raised.step}" if raised else "did not say that it diverged"
        tally.refute("train", f"{steps} steps {said}, and the values are {'not ' if diverged else ''}finite")
    elif raised is not None and raised.step != (len(losses) if finite.all() else int(finite.argmin())):
        tally.refute("train", f"said that it diverged at step {raised.step}, losses are {losses}")
    return params, losses


def judge_params(tally: Tally, claim: str, got: Any, expected: list[BallLayer], what: str = "") -> None:
    """Judge parameters, or gradients, layer by layer; ``what`` says of what they are."""
    if len(got) != len(expected):
        tally.refute(claim, f"{len(got)} layers, expected {len(expected)}")
        return
    for k, (layer, (weights, biases)) in enumerate(zip(got, expected, strict=True), start=1):
        for label, values, ball in (("weights", layer[0], weights), ("biases", layer[1], biases)):
            if tally.require(claim, f"{what}{label} of layer {k}", values, ball.exact.shape):
                tally.judge(claim, f"{what}{label} of layer {k}", values, ball)


def judge_one_step(
    tally: Tally, claim: str, backend: Backend, problem: Problem, batch: Any, right: tuple[Ball, list[BallLayer]]
) -> None:
    """Judge `step`, and one step of `train`, on a placed batch, from the loss and the new parameters that are right."""
    loss, new = right
    stepped, got_loss = backend.step(backend.place_params(problem.params), batch, problem.learning_rate)
    tally.judge(claim, "loss of step", float(got_loss), loss)
    judge_params(tally, claim, backend.fetch(stepped), new, "step of ")
    try:
        trained, losses = backend.train(backend.place_params(problem.params), batch, problem.learning_rate, 1)
    except TrainingDiverged as error:
        tally.refute(claim, f"one step of train: {error}")
        return
    tally.judge(claim, "loss of train", np.asarray(losses, np.float64).reshape(-1)[0], loss)
    judge_params(tally, claim, backend.fetch(trained), new, "one step of train of ")


def fetched_state(backend: Backend, params: Any) -> State:
    """Return the optimiser's state; of an optimiser that keeps none the empty one, without asking."""
    return backend.fetch_state(params) if backend.optimizer.moments else State(0, {})


def judge_state(tally: Tally, claim: str, problem: Problem, got: State, expected: BallState) -> None:
    """Judge an optimiser's state: the number of updates, and each moment as parameters are."""
    if got.updates != expected.updates:
        tally.refute(claim, f"{got.updates} updates in the state, expected {expected.updates}")
    if tuple(got.moments) != problem.optimizer.moments:
        tally.refute(claim, f"a state of {', '.join(got.moments)}, expected {', '.join(problem.optimizer.moments)}")
        return
    for name, balls in zip(problem.optimizer.moments, expected.moments, strict=True):
        judge_params(tally, claim, got.moments[name], balls, f"{name} of ")


def _judge_outputs(tally: Tally, problem: Problem, outputs: tuple[Array, ...], p: Precision) -> None:
    """Each layer from the output of the layer before, as the backend computed it."""
    params = exact_params(problem, p)
    tiers = _tiers(problem, p)
    for start, x, _ in blocks(problem, p):
        h = Ball(x)
        for k, (w, b) in enumerate(params, start=1):
            expected = []
            for tier in tiers:
                z = bounds.ball_of_layer(h, w, b, tier)
                expected.append(z if k == len(params) else hidden_of(problem).value(z, tier))
            got = np.asfortranarray(outputs[k - 1][start : start + len(x)])
            tally.judge("outputs", f"output of layer {k}", got, *expected, first_row=start)
            h = Ball(p.arithmetic.array(got))


def _judge_backward(
    tally: Tally, problem: Problem, outputs: tuple[Array, ...], got_loss: Array, got: Any, p: Precision
) -> None:
    """Loss and gradients from the backend's own tape; failing that, from the inputs, since a tape that is kept wider
    than `outputs` shows it, or computed again in `backward`, is right as well.
    """
    params = exact_params(problem, p)
    own_tape, expected_by_tier = Tally(tally.case, p, tally.dtype), []
    for tier in _tiers(problem, p):
        total = Totals(problem, params, tier)
        for start, x, y in blocks(problem, tier):
            rows = slice(start, start + len(x))
            hs = [Ball(x), *(Ball(np.asfortranarray(p.arithmetic.array(h[rows]))) for h in outputs)]
            total.add(hs, [hidden_of(problem).slope(h, tier, None) for h in hs[1:-1]], y)
        expected_by_tier.append((total.gradients, total.loss))
    _judge_loss_and_gradients(own_tape, got_loss, got, *expected_by_tier)
    if any(finding.status == "fail" for finding in own_tape.findings):
        again = Tally(tally.case, p, tally.dtype)
        _judge_loss_and_gradients(again, got_loss, got, ball_of_gradients(problem, params, p))
        tally.take_better(own_tape, again)
    else:
        tally.take_better(own_tape)


def _judge_loss_and_gradients(tally: Tally, got_loss: Array, got: Any, *tiers: tuple[list[BallLayer], Ball]) -> None:
    """Judge a loss and gradients by their balls, the proven ones first."""
    tally.judge("loss", "loss", got_loss, *(loss for _, loss in tiers))
    layers = len(tiers[0][0])
    if len(got) != layers:
        tally.refute("weights gradients", f"{len(got)} layers, expected {layers}")
        return
    for k in range(layers):
        for part, name in ((0, "weights"), (1, "biases")):
            expected = [gradients[k][part] for gradients, _ in tiers]
            label = f"{name} gradient of layer {k + 1}"
            if tally.require(f"{name} gradients", label, got[k][part], expected[0].exact.shape):
                tally.judge(f"{name} gradients", label, got[k][part], *expected)


def judge_update(
    tally: Tally,
    problem: Problem,
    own_gradients: Any,
    new: Any,
    new_state: State,
    p: Precision,
    claim: str = "update",
) -> None:
    """Judge an update from the backend's own gradients, and the state that it leaves."""
    state = exact_state(problem, p)
    gradients = [(Ball(p.arithmetic.array(dw)), Ball(p.arithmetic.array(db))) for dw, db in own_gradients]
    shapes = [[(w.exact.shape, b.exact.shape) for w, b in layers] for layers in (state.params, gradients)]
    if shapes[0] != shapes[1]:
        tally.refute(claim, "the gradients do not have the shapes of the parameters")
        return
    expected = updated(problem.optimizer, state, gradients, round_to(problem.learning_rate, p.dtype), p)
    judge_params(tally, claim, new, expected.params)
    judge_state(tally, claim, problem, new_state, expected)


def _tiers(problem: Problem, p: Precision) -> tuple[Precision, ...]:
    """Return the proven tier and, if it costs little, the quality tier."""
    return (p, replace(p, sharp=True)) if problem.work <= SMALL_WORK else (p,)
