"""Look at what a backend holds: within its ball at first, and the same bits at every later look.

Tests: `tests/backends/conformance/test_stateful.py`.
"""

from __future__ import annotations

import numpy as np

from backends.base import Array, State
from backends.conformance.bounds import Ball
from backends.conformance.caller import Caller
from backends.conformance.held import HeldLoss, HeldParams, HeldTape, Owner, Wrong
from backends.conformance.judge import Tally
from backends.conformance.stages import judge_params, judge_state
from backends.conformance.states import moments_of
from backends.conformance.subject import Problem
from backends.conformance.updates import BallState


class Looks:
    """All looks of a walk.

    Attributes:
        worst: the largest error over its bound so far.
    """

    def __init__(self, caller: Caller) -> None:
        self.worst = 0.0
        self._caller = caller

    def at_params(self, owner: Owner, held: HeldParams) -> None:
        """Fetch params or gradients: in their balls at first, and the same bits again."""
        fetched = owner.backend.fetch(held.value)
        tally = tally_of(owner)
        judge_params(tally, "state", fetched, held.balls)
        self.raise_wrong(tally, held.label)
        flat = [array for layer in fetched for array in layer]
        got_state = self._state(owner, held, tally)
        flat += moments_of(got_state)
        self._repeats(owner, held.label, flat, held.seen)
        if held.seen is None:
            held.seen = [array.copy() for array in flat]
            if "process" in owner.backend.capabilities.deterministic:  # from now on it is known
                array = owner.precision.arithmetic.array
                held.balls = [(Ball(array(w.copy())), Ball(array(b.copy()))) for w, b in fetched]
                if held.state:
                    moments = () if got_state is None else got_state.moments.values()
                    exact = ([(Ball(array(w.copy())), Ball(array(b.copy()))) for w, b in m] for m in moments)
                    held.state = BallState(held.balls, tuple(exact), held.state.updates)
                held.depth = 0
        self._caller.keep_or_overwrite(held.label, flat)

    def _state(self, owner: Owner, held: HeldParams, tally: Tally) -> State | None:
        """Fetch the optimiser's state of params: in its balls, and belonging to these params."""
        backend = owner.backend
        if held.state is None or not backend.optimizer.moments:
            return None
        got = backend.fetch_state(held.value)
        asked = Problem("", (), np.zeros((1, 1)), np.zeros(1), 0.0, optimizer=backend.optimizer)
        judge_state(tally, "state", asked, got, held.state)
        self.raise_wrong(tally, held.label)
        return got

    def at_tape(self, owner: Owner, tape: HeldTape) -> None:
        """Fetch the outputs of a tape."""
        outputs = owner.backend.outputs(tape.value)
        tally = tally_of(owner)
        if len(outputs) != len(tape.balls):
            raise Wrong(f"{tape.label} has {len(outputs)} outputs, expected {len(tape.balls)}")
        for k, (got, ball) in enumerate(zip(outputs, tape.balls, strict=True), start=1):
            if tally.require("state", f"output {k}", got, ball.exact.shape):
                tally.judge("state", f"output {k}", got, ball)
        self.raise_wrong(tally, tape.label)
        self._repeats(owner, tape.label, list(outputs), tape.seen)
        tape.seen = [array.copy() for array in outputs]
        self._caller.keep_or_overwrite(tape.label, list(outputs))

    def at_loss(self, owner: Owner, loss: HeldLoss) -> None:
        """Read a loss."""
        number = float(loss.value)
        tally = tally_of(owner)
        tally.judge("state", loss.label, np.asarray(number), loss.ball)
        self.raise_wrong(tally)
        if loss.seen is not None:
            self._repeats(owner, loss.label, [np.asarray(number)], [np.asarray(loss.seen)])
        loss.seen = number

    def _repeats(self, owner: Owner, label: str, now: list[Array], before: list[Array] | None) -> None:
        if before is None or "process" not in owner.backend.capabilities.deterministic:
            return
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(now, before, strict=True)):
            raise Wrong(f"{label} changed between two looks")

    def raise_wrong(self, tally: Tally, label: str = "") -> None:
        """Raise `Wrong` if something lies beyond its bound, else keep the worst ratio."""
        for finding in tally.findings:
            if not finding.ratio <= 1:
                where = f"{label}: {finding.where}" if label else finding.where
                raise Wrong(f"{where}, error / bound {finding.ratio:.3g}", finding.ratio)
            self.worst = max(self.worst, finding.ratio)


def tally_of(owner: Owner) -> Tally:
    """Return a tally of what an instance returns."""
    return Tally("", owner.precision, owner.backend.dtype)
