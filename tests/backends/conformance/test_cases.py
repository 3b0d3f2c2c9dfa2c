"""Cases: each is made again from its name, and together they cover what they say."""

import numpy as np
import pytest

from backends import Network
from backends.conformance.cases import KINDS, LARGE_NETWORK, SIZES, TANH_POINTS, Case, fixed, fixed_for
from backends.conformance.checks import STAGES, plan_of
from backends.conformance.mutants import DroppedRows
from backends.conformance.plain import Plain
from backends.conformance.subject import Subject


class Compiling(Plain):
    name = "compiling"
    capabilities = type(Plain.capabilities)(compiles=True)


@pytest.mark.parametrize("case", fixed(Plain), ids=str)
def test_case_is_made_again_from_its_name(case: Case) -> None:
    """Parsing a case's name gives the case, and the same arrays to the bit."""
    again = Case.parse(str(case))
    assert again == case
    one, other = case.problem("float32"), again.problem("float32")
    assert one.inputs.tobytes() == other.inputs.tobytes()
    assert one.params[0].weights.tobytes() == other.params[0].weights.tobytes()
    assert one.learning_rate == other.learning_rate


@pytest.mark.parametrize("network", ["3-2-1/relu", "3-2-2/sigmoid/cross-entropy"])
def test_name_of_a_case_says_the_workload(network: str) -> None:
    """An activation and a loss are part of a name; targets of cross-entropy are one class in each row."""
    case = Case(Network.parse(network), 8, "normal")
    assert Case.parse(str(case)) == case
    if case.network.loss == "cross-entropy":
        assert (case.problem("float32").targets.sum(axis=1) == 1).all()


def test_seeds_give_other_values() -> None:
    """The seed of a name changes the draw."""
    one, other = (Case.parse(f"3-2-1/n=8/normal/seed={seed}").problem("float64") for seed in (1, 2))
    assert not np.array_equal(one.inputs, other.inputs)


@pytest.mark.parametrize(
    "name", ["3-2-1", "3-2-1/n=0/normal", "3-2-1/n=8/unheard", "3-1/n=8/normal", "2-2-1/n=3/tutorial"]
)
def test_names_of_another_form_are_refused(name: str) -> None:
    """The error says how a case is written, or what a network needs."""
    with pytest.raises(ValueError, match=r"written|needs|tutorial"):
        Case.parse(name)


def test_fixed_set_has_every_size_in_every_place() -> None:
    """Inputs, outputs and rows take every size of the list; depths are one to three."""
    cases = fixed(Plain)
    for sizes in ({c.network.inputs for c in cases}, {c.network.outputs for c in cases}, {c.rows for c in cases}):
        assert set(SIZES) <= sizes
    assert {len(case.network.sizes) - 2 for case in cases} == {1, 2, 3}
    assert {case.values for case in cases} == set(KINDS)


def test_fixed_set_surrounds_the_block_size_that_a_backend_states() -> None:
    """A row less and more than ``block_rows``, two and eight blocks and one, besides the common sizes."""
    assert {99, 100, 101, 201, 801} <= {case.rows for case in fixed(DroppedRows)}
    for backend in (Plain, DroppedRows):
        assert {1023, 1024, 1025, 8191, 8192, 8193} <= {case.rows for case in fixed(backend)}


def test_sharp_claims_judge_many_blocks_of_wide_layers() -> None:
    """Seventeen blocks and a row, more than there are sums for, are judged by spikes and by exact sums alone."""
    name = f"{DroppedRows.__module__}:{DroppedRows.__name__}"
    judged = {
        claim
        for claim, cases in plan_of(Subject(name, "float32", "cpu"))
        if Case(LARGE_NETWORK, 1701, "normal") in cases
    }
    assert judged >= {"spikes", "exact sums"}
    assert not judged & {*STAGES, "step", "train"}


def test_fixed_set_leaves_out_blocks_that_no_batch_fills() -> None:
    """A backend that never cuts a batch may say so with a huge ``block_rows``."""

    class Whole(Plain):
        block_rows = 1 << 62

    assert {case.rows for case in fixed(Whole)} == {case.rows for case in fixed(Plain)}


def test_fixed_set_has_few_shapes_where_every_shape_compiles() -> None:
    """A compiling backend meets at most thirteen shapes, with every kind of values among them."""
    cases = fixed(Compiling)
    assert len({(case.network, case.rows) for case in cases}) <= 13
    assert {case.values for case in cases} == set(KINDS)


def test_fixed_set_for_one_network_stays_with_it() -> None:
    """Every case asked of one network is of that network."""
    assert {case.network for case in fixed_for(Network((5, 4, 3)), Plain)} == {Network((5, 4, 3))}
    assert {101, 201} <= {case.rows for case in fixed_for(Network((5, 4, 3)), DroppedRows)}
    assert max(case.rows for case in fixed_for(Network((3000, 3000, 1)), DroppedRows)) == 64


def test_tanh_case_meets_every_point() -> None:
    """The first layer's pre-activations are exactly the listed points, of either sign."""
    problem = Case.parse("3-2-1/n=64/tanh").problem("float64")
    z = problem.inputs @ problem.params[0].weights.T + problem.params[0].biases
    assert set(np.concatenate([TANH_POINTS, np.negative(TANH_POINTS)])) <= set(z.ravel())


def test_visible_case_moves_weights_by_more_than_their_size() -> None:
    """At its learning rate, at least half of all parameters move by more than their own magnitude."""
    from backends.conformance.oracle import backward

    problem = Case.parse("3-2-1/n=64/visible").problem("float64")
    gradients = backward(problem.params, problem.inputs, problem.targets)
    moves = [
        np.abs(problem.learning_rate * g.astype(float)) >= np.abs(w)
        for layer, grads in zip(problem.params, gradients, strict=True)
        for w, g in zip(layer, grads, strict=True)
    ]
    assert np.mean(np.concatenate([move.ravel() for move in moves])) >= 0.5
