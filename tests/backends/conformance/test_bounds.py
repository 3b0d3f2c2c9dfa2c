"""The bounds: no order of summation exceeds them, and the coarsest fault that they must see exceeds them by far."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import Array, Layer, Network, Params
from backends.conformance import bounds, elementwise
from backends.conformance.bounds import Ball, Precision, Sum
from backends.conformance.cases import KINDS, SIZES, Case
from backends.conformance.judge import ratios
from backends.conformance.mutants import Tf32
from backends.conformance.oracle import DOUBLE, EXTENDED, multiprecision
from backends.conformance.plain import Batch, Plain
from backends.conformance.report import worst_of
from backends.conformance.stages import judge_stages, judge_step
from backends.conformance.subject import SMALLEST, flushes_subnormals, precision_of


class AnyOrder(Plain):
    """Correct, and adds up in another order each time, in chunks of any length."""

    name = "any order"

    def product(self, a: Array, b: Array) -> Array:
        rng = np.random.default_rng()
        order = rng.permutation(a.shape[1])
        cuts = np.sort(rng.integers(0, a.shape[1] + 1, rng.integers(0, 4)))
        total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for part in np.split(order, cuts):
            total = total + np.cumsum(a[:, part, None] * b[None, part], axis=1)[:, -1] if len(part) else total
        return total


class OneByOne(Plain):
    """Correct, and adds up one term after the other: the order with the largest error."""

    name = "one by one"

    def product(self, a: Array, b: Array) -> Array:
        total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for k in range(a.shape[1]):
            total += a[:, k, None] * b[k]
        return total


small = st.sampled_from([size for size in SIZES if size <= 31])
cases = st.builds(
    Case,
    network=st.lists(small, min_size=3, max_size=5).map(lambda sizes: Network(tuple(sizes))),
    rows=st.sampled_from([size for size in SIZES if size <= 64]),
    values=st.sampled_from([kind for kind in KINDS if kind != "tutorial"]),
    seed=st.integers(0, 2**20),
)


def worst_ratio(backend: Plain, case: Case) -> tuple[float, str]:
    """Return the worst ratio of all stages and the step."""
    problem = case.problem(backend.dtype)
    with np.errstate(all="ignore"):
        findings = judge_stages(backend, problem).findings + judge_step(backend, problem).findings
    worst = worst_of(findings)
    return worst.ratio, f"{worst.claim}: {worst.where}"


@settings(max_examples=60)
@given(case=cases, dtype=st.sampled_from(["float32", "float64"]), kind=st.sampled_from([Plain, AnyOrder, OneByOne]))
def test_bounds_hold_in_any_order_of_summation(case: Case, dtype: str, kind: type[Plain]) -> None:
    """A correct result in any association stays within every bound."""
    ratio, where = worst_ratio(kind(case.network, dtype), case)
    assert ratio <= 1, where


@settings(max_examples=30)
@given(
    case=cases.filter(lambda case: case.values in ("normal", "saturated")),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_bounds_reject_products_of_rounded_factors(case: Case, dtype: str) -> None:
    """Factors of 11 significant bits exceed the bounds on any network and batch."""
    assert worst_ratio(Tf32(case.network, dtype), case)[0] > 1


class DeclaredTf32(Tf32):
    """Rounds the factors of its products, and says so."""

    name = "declared tf32"
    capabilities = replace(Plain.capabilities, products="tf32")


@pytest.mark.parametrize("name", ["3-2-1/n=64/normal", "17-9-7-2/n=31/normal", "3-2-1/n=3/tutorial"])
def test_bounds_widen_for_declared_products_alone(name: str) -> None:
    """The same rounding passes where it is declared, and not by a hundred times."""
    case = Case.parse(name)
    declared, _ = worst_ratio(DeclaredTf32(case.network, "float32"), case)
    undeclared, _ = worst_ratio(Tf32(case.network, "float32"), case)
    assert declared <= 1
    assert undeclared > 100


class Flushing(Plain):
    """Turns every subnormal result into zero, as some processors are told to."""

    name = "flushing"

    def product(self, a: Array, b: Array) -> Array:
        return _flushed(super().product(_flushed(a), _flushed(b)))

    def tanh(self, z: Array) -> Array:
        return _flushed(super().tanh(_flushed(z)))

    def place_params(self, params: object) -> tuple:
        return tuple(type(layer)(*map(_flushed, layer)) for layer in super().place_params(params))


def _flushed(values: Array) -> Array:
    return np.where(np.abs(values) < np.finfo(values.dtype).tiny, values.dtype.type(0), values)


def test_bounds_allow_for_flushed_subnormals_where_observed(dtype: str) -> None:
    """A backend that flushes is found out by computing, and allowed to; numpy's arithmetic does not flush."""
    assert flushes_subnormals(Flushing, dtype, "cpu")
    assert not flushes_subnormals(Plain, dtype, "cpu")
    ratio, where = worst_ratio(Flushing(Network((3, 2, 1)), dtype), Case.parse("3-2-1/n=64/subnormal"))
    assert ratio <= 1, where


def test_gamma_is_finite_for_every_number_of_roundings() -> None:
    """``gamma_m`` is about ``m u``, and from ``m u = 1`` on it still claims something."""
    p = Precision("float32", 2.0**-24, DOUBLE, 0.0, 3e38)
    unit = 2.0**-24 + 2.0**-53
    assert p.gamma(10) == pytest.approx(10 * unit / (1 - 10 * unit))
    assert p.gamma(2**24) == pytest.approx(math.e - 1)
    sharp = replace(p, sharp=True)
    assert sharp.gamma(10_000) == sharp.gamma(10_000, block=10_000) == pytest.approx(300 * unit)
    assert sharp.gamma(10_000, block=1000) == pytest.approx(3 * math.sqrt(1010) * unit)
    assert p.gamma(10_000, block=1000) == p.gamma(10_000)


class SaysBlocks(OneByOne):
    """Right, and says that it sums blocks of sixteen rows, which it does not."""

    name = "says blocks"
    block_rows = 16


class SumsBlocks(SaysBlocks):
    """Right, and sums the blocks that it says."""

    name = "sums blocks"

    def product(self, a: Array, b: Array) -> Array:
        blocks = [slice(k, k + 16) for k in range(0, a.shape[1], 16)]
        return np.asarray(sum(super(SumsBlocks, self).product(a[:, rows], b[rows]) for rows in blocks))


def test_quality_tier_expects_sums_of_the_blocks_that_a_backend_declares(dtype: str) -> None:
    """Equal rows round alike: in one long chain that is a warning for a backend that declares blocks, and no other."""
    case = Case.parse("3-2-1/n=256/normal/seed=3")
    problem = case.problem(dtype)
    alike = replace(
        problem, inputs=np.repeat(problem.inputs[:1], 256, 0), targets=np.repeat(problem.targets[:1], 256, 0)
    )
    status = {}
    for kind in (OneByOne, SaysBlocks, SumsBlocks):
        findings = judge_stages(kind(case.network, dtype), alike).findings
        (status[kind],) = (found.status for found in findings if found.claim == "weights gradients")
    assert status == {OneByOne: "pass", SaysBlocks: "warn", SumsBlocks: "pass"}


def test_sum_of_more_terms_than_the_inverse_unit_is_still_judged() -> None:
    """A sum of 2^25 positive terms, taken times -7, lies outside its ball; an empty factor adds no NaN."""
    p = Precision("float32", 2.0**-24, DOUBLE, 0.0, 3e38)
    exact = np.array([1.0, 0.0])
    ball = Sum(exact, exact, 0.0, np.array([2.0**25, 2.0**25]), 0.0, 1.0).ball(p.gamma(2.0**25))
    assert np.all(ratios(np.array([1.0, 0.0]), ball, p) <= 1)
    assert not np.any(ratios(np.array([-7.0, 1e-30]), ball, p) <= 1)


def test_exact_zeros_among_the_terms_count_for_nothing() -> None:
    """A product of which two terms are not zero has the bound of two terms, and of none no bound at all."""
    p = precision_of(Plain(SMALLEST, "float32"), 1)
    dense = np.ones((1, 1000))
    sparse = np.zeros((1, 1000))
    sparse[0, [3, 500]] = 500.0
    weights, no_biases = Ball(EXTENDED.array(np.ones((2, 1000)))), Ball(EXTENDED.array(np.zeros(2)))
    wide, narrow, none = (
        bounds.ball_of_layer(Ball(EXTENDED.array(h)), weights, no_biases, p).radius for h in (dense, sparse, 0 * dense)
    )
    assert np.all(narrow <= wide * 4 / 1000)
    assert np.all(none == 0)


class LateScale(Plain):
    """Correct, and divides by the number of entries last, as products with a factor in front do."""

    name = "late scale"

    def error_term(self, predicted: Array, y: Array) -> Array:
        return predicted - y

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        loss, gradients = super().backward(params, batch, tape)
        factor = np.dtype(self.dtype).type(2 / batch[1].size)
        return loss, tuple(Layer(w * factor, b * factor) for w, b in gradients)


@pytest.mark.parametrize("kind", [Plain, LateScale])
@pytest.mark.parametrize("size", [1.7e18, 3e36])
def test_sums_that_overflow_though_their_mean_does_not_are_right(kind: type[Plain], size: float) -> None:
    """The sum of squares, or a gradient before it is divided, may leave float32; elsewhere an infinity is a fault."""
    case = Case.parse("3-2-1/n=200/normal")
    problem = case.problem("float32")
    large = replace(problem, targets=(np.abs(problem.targets) + 1).astype(np.float32) * np.float32(size))
    backend = kind(case.network, "float32")
    with np.errstate(all="ignore"):
        assert not np.isfinite(float(((large.targets) ** 2).sum(dtype=np.float32)))
        failed = [found for found in judge_stages(backend, large).findings if found.status == "fail"]
    assert failed == []


class WideTape(Plain):
    """Correct: keeps the tape in double precision, and rounds what it shows."""

    name = "wide tape"

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        wide = tuple(Layer(*(array.astype(np.longdouble) for array in layer)) for layer in params)
        return super().forward(wide, (batch[0].astype(np.longdouble), batch[1]))

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        loss, gradients = super().backward(params, batch, tape)
        return loss, tuple(Layer(*(array.astype(self.dtype) for array in layer)) for layer in gradients)

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(h.astype(self.dtype) for h in tape)


class ComputesTapeAgain(AnyOrder):
    """Correct: forgets the tape, and computes it again in another order."""

    name = "computes the tape again"

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        return super().backward(params, batch, self.forward(params, batch))


@pytest.mark.parametrize("kind", [WideTape, ComputesTapeAgain])
@pytest.mark.parametrize("name", ["3-2-1/n=64/near", "17-9-7-2/n=31/near", "3-2-1/n=64/saturated"])
def test_tapes_kept_wider_or_computed_again_are_right(kind: type[Plain], name: str, dtype: str) -> None:
    """With targets as near as roundings, the gradients differ from those of the tape that `outputs` shows."""
    ratio, where = worst_ratio(kind(Case.parse(name).network, dtype), Case.parse(name))
    assert ratio <= 1, where


@pytest.mark.parametrize("rate", [0, -0.1, 3, -2, 2.0**-140, np.float32(0.3), np.int64(2), 1e39])
def test_update_of_any_rate_is_judged_right(rate: float, dtype: str) -> None:
    """Zero, negative, whole, tiny and huge rates: a right update passes, the opposite one fails."""
    case = Case.parse("3-2-1/n=64/normal")
    problem = replace(case.problem(dtype), learning_rate=rate)
    with np.errstate(all="ignore"):
        right = judge_stages(Plain(case.network, dtype), problem).findings
        right += judge_step(Plain(case.network, dtype), problem).findings
        wrong = judge_stages(Opposite(case.network, dtype), problem).findings
    assert [found for found in right if found.status == "fail"] == []
    visible = abs(float(rate)) > 1e-6
    assert [found.claim for found in wrong if found.status == "fail"] == ["update"] * visible


class Opposite(Plain):
    """Wrong: takes the other sign of the rate."""

    name = "opposite"

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        return super().update(params, gradients, -learning_rate)


@pytest.mark.parametrize("z", [0.0, 4e-4, 5.857, 9.0, 19.0, -22.0])
def test_tanh_of_every_point_of_a_ball_lies_in_its_ball(z: float) -> None:
    """The ball of tanh holds tanh of both ends and of the middle."""
    p = precision_of(Plain(SMALLEST, "float32"), 1)
    radius = np.array([0.25])
    ball = elementwise.ball_of_tanh(Ball(EXTENDED.array([z]), radius), p)
    for at in (z - 0.25, z, z + 0.25):
        assert abs(np.tanh(at) - float(ball.exact[0])) <= ball.radius


def test_bounds_are_the_same_in_multiprecision() -> None:
    """Judging float64 with mpmath in place of extended precision gives the same verdict and nearly the same ratio."""
    case = Case.parse("3-2-1/n=8/normal")
    backend, problem = Plain(case.network, "float64"), case.problem("float64")
    by_extended = {found.claim: found.ratio for found in judge_stages(backend, problem).findings}
    p = replace(precision_of(backend, problem.work), arithmetic=multiprecision())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backends.conformance.stages.precision_of", lambda backend, work: p)
        by_mpmath = {found.claim: found.ratio for found in judge_stages(backend, problem).findings}
    assert by_mpmath == pytest.approx(by_extended, rel=0.01)
