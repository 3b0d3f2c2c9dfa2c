"""Calls in any order: two instances, several params and batches, each result judged from the results before it.

A `Walk` holds what a backend returned and, for each, the ball that a correct value lies in. Every call computes the
ball of what it returns from the balls of what it was given, whatever else was called in between. What is fetched must
lie in its ball, and stays the same bits. Values may be fetched at once, late, or twice; the caller's arrays are filled
anew after they were placed, and placed again; fetched arrays are overwritten, or kept and looked at later.

A seed decides the order, so a walk can be repeated. No claims here.

Tests: `tests/backends/conformance/test_stateful.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Backend, Network, TrainingDiverged
from backends.conformance.caller import Caller
from backends.conformance.composed import ball_of_gradients, balls_of_outputs, balls_of_steps_from
from backends.conformance.held import HeldBatch, HeldLoss, HeldParams, HeldTape, Owner, Wrong
from backends.conformance.looks import Looks, tally_of
from backends.conformance.oracle import round_to
from backends.conformance.placing import Placing
from backends.conformance.subject import DESCENT, Problem, precision_of
from backends.conformance.updates import BallState, updated

RATES: tuple[Any, ...] = (0.05, 0.25, 2.0**-7, 0.0, 0.1, np.float32(0.125), 1e-3, np.float64(0.2), 0.5, -0.1)
DIVERGING_RATE = {"float32": 1e30, "float64": 1e200}
MOST_HELD = 3
LARGEST = 1e3
"""Params that have grown beyond it are placed anew: rounding errors, not state, would decide what follows."""
DEEPEST = 2
"""Updates in a row that are not fetched in between; the ball grows with each."""


class Walk:
    """One walk: calls in an order that a seed decides, or that a caller of its methods does.

    Args:
        make: returns a fresh instance for a network.
        networks: one for each instance; the first two are commonly the same.
        rows: of the batches.
        seed: decides order and values.
        choose: decides the order instead.
    """

    def __init__(
        self,
        make: Callable[[Network], Backend],
        networks: Sequence[Network],
        rows: Sequence[int],
        seed: int,
        choose: random.Random | None = None,
    ) -> None:
        self.rows = rows
        self.trace: list[str] = []
        self.choose = choose or random.Random(seed)
        self._caller = Caller(self.choose)
        self._placing = Placing(self._caller, self.choose, seed)
        self._looks = Looks(self._caller)
        self.owners = []
        for k, network in enumerate(networks):
            backend = make(network)
            precision = precision_of(backend, max(rows) * network.parameter_count)
            self.owners.append(Owner(backend, "abcdefgh"[k], precision))

    @property
    def worst(self) -> float:
        """The largest error over its bound of all that was looked at."""
        return self._looks.worst

    def run(self, calls: int, kinds: Sequence[str] = ()) -> str:
        """Make some calls, of some kinds or of all; return what was wrong first, and nothing if all was right."""
        order: list[str] = []
        try:
            for _ in range(calls):
                if not order:
                    order = list(kinds or CALLS)
                    self.choose.shuffle(order)
                getattr(self, order.pop())(self.choose.choice(self.owners))
            self.look_at_everything()
        except Wrong as wrong:
            self._looks.worst = max(self._looks.worst, wrong.ratio)
            return f"{wrong}, after {len(self.trace)} calls: .. {'; '.join(self.trace[-6:])}"
        except Exception as error:  # whatever a stranger's backend raises
            self._looks.worst = math.inf
            return f"raised {type(error).__name__}: {error}, after {len(self.trace)} calls: .. {self.trace[-1:]}"
        return ""

    # What can be called, with what is held

    def place_params(self, owner: Owner) -> HeldParams:
        """Hold new params."""
        label = self._placing.label(owner, "params")
        self.trace.append(f"place {label}")
        placed = self._placing.params(owner, label)
        self._hold(owner.params, placed)
        return placed

    def place_batch(self, owner: Owner) -> HeldBatch:
        """Hold a new batch."""
        label, rows = self._placing.label(owner, "batch"), self.choose.choice(list(self.rows))
        self.trace.append(f"place {label}")
        placed = self._placing.batch(owner, label, rows)
        self._hold(owner.batches, placed)
        return placed

    def forward(self, owner: Owner) -> None:
        """Keep a tape."""
        params, batch = self._params(owner), self._batch(owner)
        self.trace.append(f"forward({params.label}, {batch.label})")
        value = owner.backend.forward(params.value, batch.value)
        with np.errstate(all="ignore"):
            x = np.asfortranarray(owner.precision.arithmetic.array(batch.inputs))
            (_, *balls), _ = balls_of_outputs(x, params.balls, owner.precision)
        tape = HeldTape(value, params, batch, balls, f"the tape of {params.label} and {batch.label}")
        self._hold(owner.tapes, tape)

    def backward(self, owner: Owner) -> None:
        """Keep a loss and gradients, from a tape that need not be the last, and may have been used before."""
        if not owner.tapes:
            self.forward(owner)
        tape = self.choose.choice(owner.tapes)
        self.trace.append(f"backward of {tape.label}")
        loss, value = owner.backend.backward(tape.params.value, tape.batch.value, tape.value)
        balls, ball = ball_of_gradients(self._problem(tape.batch), tape.params.balls, owner.precision)
        self._hold_loss(owner, HeldLoss(loss, ball, f"the loss of {tape.label}"))
        summed = [(replace(w, of=None), replace(b, of=None)) for w, b in balls]  # each is one number from now on
        self._hold(owner.gradients, HeldParams(value, summed, f"gradients of {tape.label}"))

    def update(self, owner: Owner) -> None:
        """Replace params by updated ones, with gradients that may come from other params, and stay."""
        if not owner.gradients:
            self.backward(owner)
        params, gradients, rate = self._params(owner), self.choose.choice(owner.gradients), self.choose.choice(RATES)
        self.trace.append(f"update({params.label}, {gradients.label}, {rate!r})")
        self._give_up(owner, params)
        value = owner.backend.update(params.value, gradients.value, rate)
        rounded = round_to(float(rate), owner.backend.dtype)
        state = updated(owner.backend.optimizer, _state(params), gradients.balls, rounded, owner.precision)
        self._go_on(owner, params, value, state)

    def step(self, owner: Owner) -> None:
        """Replace params by one step on a batch; keep the loss."""
        params, batch, rate = self._params(owner), self._batch(owner), self.choose.choice(RATES)
        self.trace.append(f"step({params.label}, {batch.label}, {rate!r})")
        self._give_up(owner, params)
        value, loss = owner.backend.step(params.value, batch.value, rate)
        ((state, ball),) = balls_of_steps_from(self._problem(batch, rate, owner), _state(params), 1, owner.precision)
        self._hold_loss(owner, HeldLoss(loss, ball, f"the loss of step({params.label}, {batch.label})"))
        self._go_on(owner, params, value, state)

    def train(self, owner: Owner) -> None:
        """Replace params by a few steps; keep the losses, or overwrite them."""
        params, batch, rate = self._params(owner), self._batch(owner), self.choose.choice(RATES)
        steps = self.choose.choice((0, 1, 1, 2, 3))
        rows = self._rows_of_a_step(owner, batch)
        self.trace.append(f"train({params.label}, {batch.label}, {rate!r}, {steps}, {rows})")
        self._give_up(owner, params)
        taken = {} if rows is None else {"rows_per_step": rows}
        value, losses = owner.backend.train(params.value, batch.value, rate, steps, **taken)
        problem = self._problem(batch, rate, owner)
        trajectory = balls_of_steps_from(problem, _state(params), steps, owner.precision, rows)
        label = f"losses of train({params.label}, {batch.label})"
        tally = tally_of(owner)
        if tally.require("state", label, losses, (steps,)):
            for k, (_, ball) in enumerate(trajectory):
                tally.judge("state", f"{label}, step {k}", losses[k], ball)
        self._looks.raise_wrong(tally)
        self._caller.keep_or_overwrite(label, [losses])
        self._go_on(owner, params, value, trajectory[-1][0] if steps else _state(params))

    def diverge(self, owner: Owner) -> None:
        """Train at a rate at which everything overflows, as documented; what follows must not feel it."""
        params, batch = self.place_params(owner), self._batch(owner)
        self.trace.append(f"train({params.label}, {batch.label}, until it diverges)")
        self._give_up(owner, params)
        try:
            owner.backend.train(params.value, batch.value, DIVERGING_RATE[owner.backend.dtype], 4)
        except TrainingDiverged as error:
            if len(error.losses) != 4 or np.isfinite(error.losses).all():
                raise Wrong(f"{len(error.losses)} losses of 4 steps that diverged: {error.losses}") from None
            self._caller.keep_or_overwrite("losses that diverged", [error.losses])
        else:
            raise Wrong("training that overflows did not raise TrainingDiverged")

    def refuse(self, owner: Owner) -> None:
        """Place what must be refused; what follows must not feel it."""
        batch = self._batch(owner)
        self.trace.append("place inputs that lack a row")
        try:
            owner.backend.place_batch(batch.inputs[:-1].copy(), batch.targets.copy())
        except ValueError:
            return
        raise Wrong("inputs of fewer rows than targets were accepted")

    def fetch(self, owner: Owner) -> None:
        """Look at params or gradients, perhaps again."""
        held = self.choose.choice([self._params(owner), *owner.params, *owner.gradients])
        self.trace.append(f"fetch {held.label}")
        self._looks.at_params(owner, held)

    def outputs(self, owner: Owner) -> None:
        """Look at a tape, perhaps again."""
        if not owner.tapes:
            self.forward(owner)
        tape = self.choose.choice(owner.tapes)
        self.trace.append(f"outputs of {tape.label}")
        self._looks.at_tape(owner, tape)

    def read_loss(self, owner: Owner) -> None:
        """Look at a loss, perhaps again."""
        if owner.losses:
            self._looks.at_loss(owner, self.choose.choice(owner.losses))

    def look_at_everything(self, owner: Owner | None = None) -> None:
        """Look at all that is held, all arrays that were fetched and kept, and the caller's own arrays."""
        for holder in self.owners:
            for held in (*holder.params, *holder.gradients):
                self._looks.at_params(holder, held)
            for tape in holder.tapes:
                self._looks.at_tape(holder, tape)
            for loss in holder.losses:
                self._looks.at_loss(holder, loss)
        self._caller.check()

    # How it is held and judged

    def _params(self, owner: Owner) -> HeldParams:
        return self.choose.choice(owner.params) if owner.params else self.place_params(owner)

    def _batch(self, owner: Owner) -> HeldBatch:
        return self.choose.choice(owner.batches) if owner.batches else self.place_batch(owner)

    def _rows_of_a_step(self, owner: Owner, batch: HeldBatch) -> int | None:
        """Return a number of rows if the optimiser keeps a state, and no number compiles; often none."""
        offered = owner.backend.capabilities
        if not (owner.backend.optimizer.moments and offered.minibatches) or offered.compiles:
            return None
        return self.choose.choice((None, 1, 3, len(batch.inputs)))

    def _hold(self, held: list[Any], new: Any) -> None:
        """Keep something, and let the oldest go."""
        held.append(new)
        del held[:-MOST_HELD]

    def _hold_loss(self, owner: Owner, loss: HeldLoss) -> None:
        if self.choose.random() < 0.5:
            self._looks.at_loss(owner, loss)
        self._hold(owner.losses, loss)

    def _give_up(self, owner: Owner, params: HeldParams) -> None:
        """Params are about to be used up: neither they nor tapes that need them are valid afterwards."""
        owner.params = [held for held in owner.params if held is not params]
        owner.tapes = [tape for tape in owner.tapes if tape.params is not params]

    def _go_on(self, owner: Owner, before: HeldParams, value: Any, state: BallState) -> None:
        """Hold the params that took the place of others."""
        new = HeldParams(value, state.params, f"{before.label}'", depth=before.depth + 1, state=state)
        if new.depth > DEEPEST or self.choose.random() < 0.6:
            self._looks.at_params(owner, new)
        if all(np.max(np.abs(ball.exact), initial=0) < LARGEST for layer in new.balls for ball in layer):
            self._hold(owner.params, new)

    def _problem(self, batch: HeldBatch, rate: Any = 0.0, owner: Owner | None = None) -> Problem:
        optimizer = owner.backend.optimizer if owner else DESCENT
        return Problem(batch.label, (), batch.inputs, batch.targets, float(rate), optimizer=optimizer)


CALLS = (
    *("place_params", "place_batch") * 2,
    *("forward", "backward", "update", "step", "train") * 3,
    *("fetch", "outputs", "read_loss") * 2,
    *("diverge", "refuse", "look_at_everything"),
)
"""Each lap of a walk makes all of these calls, in its own order."""

LONG_CALLS = ("step", "step", "update", "train", "backward", "fetch", "place_batch", "place_params")
"""Calls of walks that look for what tires: they make many updates on each instance."""


def _state(params: HeldParams) -> BallState:
    assert params.state is not None
    return params.state
