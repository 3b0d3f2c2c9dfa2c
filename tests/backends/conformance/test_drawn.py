"""Drawn cases: the same for the same seed, and over many draws every shape that a kernel may treat apart."""

import pytest

from backends import Network
from backends.conformance import check
from backends.conformance.cases import Case
from backends.conformance.drawn import DRAWS, LARGEST_SIZE, MOST_ROWS, MOST_WORK, drawn
from backends.conformance.plain import Plain

PLAIN = f"{Plain.__module__}:{Plain.__qualname__}"


@pytest.fixture(scope="module")
def many() -> tuple[Case, ...]:
    """As many cases as a night of CI draws."""
    return drawn(1, 20_000)


def test_draws_reach_every_residue_of_every_dimension(many: tuple[Case, ...]) -> None:
    """Inputs, hidden layers, outputs and rows have every remainder by 64."""
    dimensions = {
        "inputs": [case.network.inputs for case in many],
        "hidden": [size for case in many for size in case.network.sizes[1:-1]],
        "outputs": [case.network.outputs for case in many],
        "rows": [case.rows for case in many],
    }
    for dimension, sizes in dimensions.items():
        assert {size % 64 for size in sizes} == set(range(64)), dimension


def test_draws_reach_every_power_of_two_and_its_neighbours(many: tuple[Case, ...]) -> None:
    """Sizes up to thousands and rows up to a hundred thousand; also two wide layers side by side, and four hidden."""
    powers = [1 << exponent for exponent in range(LARGEST_SIZE.bit_length())]
    sizes = {size for case in many for size in case.network.sizes}
    assert {at for power in powers for at in (power - 1, power, power + 1) if 0 < at <= LARGEST_SIZE} <= sizes
    rows = [1 << exponent for exponent in range(MOST_ROWS.bit_length())]
    assert {at for power in rows for at in (power - 1, power, power + 1) if 0 < at < MOST_ROWS} <= {
        c.rows for c in many
    }
    assert any(
        min(pair) >= 512 for case in many for pair in zip(case.network.sizes, case.network.sizes[1:], strict=False)
    )
    assert {1, 2, 3, 4, 5} <= {len(case.network.sizes) - 2 for case in many}
    assert max(case.rows * case.network.parameter_count for case in many) <= MOST_WORK


def test_draws_of_one_check_reach_every_residue_by_sixteen_and_every_kind_of_shape() -> None:
    """As many as `check` draws where nothing compiles: no small remainder is left to chance, nor wide or deep ones."""
    for seed in range(5):
        cases = drawn(seed, DRAWS)
        for sizes in ([c.network.inputs for c in cases], [c.network.outputs for c in cases], [c.rows for c in cases]):
            assert {size % 16 for size in sizes} == set(range(16))
        assert {size % 16 for case in cases for size in case.network.sizes[1:-1]} == set(range(16))
        assert max(case.network.inputs for case in cases) >= 257
        assert max(case.network.outputs for case in cases) >= 257
        assert max(max(case.network.sizes[1:-1]) for case in cases) >= 5000
        assert max(len(case.network.sizes) for case in cases) >= 6


def test_draws_repeat_with_their_seed() -> None:
    """Equal seeds give equal cases, each of which its name makes again; of one network where asked."""
    assert drawn(5, 20) == drawn(5, 20) != drawn(6, 20)
    assert all(Case.parse(str(case)) == case for case in drawn(5, 20))
    assert {case.network for case in drawn(5, 20, Network((4, 5, 2)))} == {Network((4, 5, 2))}


def test_check_judges_as_many_drawn_cases_as_asked_and_tells_the_seed() -> None:
    """The report's seed draws the same cases again; without a seed every check has another."""
    counts = [check(PLAIN, quick=True, claims=("outputs",), draws=draws, seed=3) for draws in (0, 4)]
    assert counts[1].claims[0].cases - counts[0].claims[0].cases == 4
    assert counts[1].seed == 3
    fresh = [check(PLAIN, quick=True, claims=("refusals",)).seed for _ in range(2)]
    assert fresh[0] != fresh[1]
