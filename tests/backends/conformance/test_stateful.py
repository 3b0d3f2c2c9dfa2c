"""Calls in any order, as hypothesis chooses and shrinks them."""

import random

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import backends
from backends import Network
from backends.conformance.held import Wrong
from backends.conformance.mutants.identity import SlopesOfTheLastForward
from backends.conformance.plain import Plain
from backends.conformance.stateful import CALLS, Walk

NETWORKS = (Network((5, 4, 3)), Network((5, 4, 3)), Network((3, 2, 1)))


def machine(kind: type[backends.Backend], dtype: str) -> type[RuleBasedStateMachine]:
    """Return a state machine whose rules are the calls of a walk on instances of a backend."""

    class Calls(RuleBasedStateMachine):
        @initialize(seed=st.integers(0, 99), choose=st.randoms())
        def begin(self, seed: int, choose: random.Random) -> None:
            self.walk = Walk(lambda network: kind(network, dtype), NETWORKS, (64, 31), seed, choose)

        @rule(call=st.sampled_from(sorted(set(CALLS))), k=st.integers(0, len(NETWORKS) - 1))
        def call(self, call: str, k: int) -> None:
            with np.errstate(all="ignore"):
                getattr(self.walk, call)(self.walk.owners[k])

        def teardown(self) -> None:
            if hasattr(self, "walk"):
                self.walk.look_at_everything()

    return Calls


@pytest.mark.parametrize("name", ["backends.conformance.plain:Plain", "numpy"])
def test_calls_in_any_order_give_what_the_calls_before_make_of_them(name: str, dtype: str) -> None:
    """No order of calls on three instances makes a right backend give a result outside its bound."""
    run_state_machine_as_test(
        machine(backends.find(name), dtype), settings=settings(max_examples=12, stateful_step_count=30)
    )


def test_order_that_shows_a_fault_is_found() -> None:
    """Slopes that belong to the last forward of any instance are found by calls in any order."""
    found = settings(max_examples=60, stateful_step_count=30, phases=(Phase.generate,), report_multiple_bugs=False)
    with pytest.raises(Wrong, match="error / bound"):
        run_state_machine_as_test(machine(SlopesOfTheLastForward, "float64"), settings=found)


def test_walk_repeats_from_its_seed() -> None:
    """The same seed makes the same calls and values."""
    walks = [Walk(lambda network: Plain(network, "float32"), NETWORKS, (8,), 5) for _ in range(2)]
    with np.errstate(all="ignore"):
        assert [walk.run(60) for walk in walks] == ["", ""]
    assert walks[0].trace == walks[1].trace
    assert walks[0].worst == walks[1].worst
