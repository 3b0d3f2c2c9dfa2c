"""Variances of few processes, drawn towards what is expected: closed forms, and coverage by simulation."""

import math

import numpy as np
import pytest

from bench.basics.names import FASTER, SLOWER
from bench.verdicts import moderation, statistics

SMALL = {"networks": ("3-2-1",), "batches": (1, 4_096), "phases": ("step", "train"), "failed": None}


def test_moderated_variances_meet_in_the_middle():
    """Variances that differ by chance alone become one; those that differ far beyond it are left as they are."""
    rng = np.random.default_rng(3)
    alike = 4e-4 * rng.chisquare(3, 200) / 3
    spread, dof = moderation.moderate(alike, np.full(200, 3.0), most_dof=15)
    assert np.log(spread).std() < 0.25 * np.log(alike).std()
    assert dof.max() <= 18
    apart = alike * np.exp(rng.normal(0, 4, 200))
    spread, dof = moderation.moderate(apart, np.full(200, 3.0), most_dof=15)
    assert np.log(spread).std() > 0.7 * np.log(apart).std()
    assert dof.max() < 6


def test_what_is_expected_counts_for_no_more_than_the_processes_behind_it():
    """However many cells nearly agree, they lend no more degrees of freedom than ``most_dof``."""
    rng = np.random.default_rng(3)
    nearly_alike = 4e-4 * rng.chisquare(3, 400) / 3 * np.exp(rng.normal(0, 0.7, 400))
    _, unbounded = moderation.moderate(nearly_alike, np.full(400, 3.0), most_dof=1e6)
    _, bounded = moderation.moderate(nearly_alike, np.full(400, 3.0), most_dof=2)
    assert 3 + 2 < unbounded.max() < 1e3
    assert bounded.max() <= 3 + 2


def test_a_variance_is_expected_where_turns_scatter():
    """Cells that differ as their turns do lend each other what they differ from that by chance; unknown ones take part.

    Where the turns tell nothing, or too few cells tell it, nothing is gained and nothing lost.
    """
    rng = np.random.default_rng(4)
    noise = np.exp(rng.normal(0, 1.5, 120))
    noise[:5] = math.nan
    expected = 0.3 * np.nan_to_num(noise, nan=1.0)
    variances = expected * rng.chisquare(2, 120) / 2
    alone, few = moderation.moderate(variances, np.full(120, 2.0), most_dof=12)
    followed, many = moderation.moderate(variances, np.full(120, 2.0), 12, noise)
    assert few.max() < 6 < 10 < many.min()
    assert np.abs(np.log(followed / expected))[5:].mean() < 0.5 * np.abs(np.log(alone / expected))[5:].mean()
    assert np.isfinite(followed).all()
    chance = rng.permutation(noise)
    assert moderation.moderate(variances, np.full(120, 2.0), 12, chance)[1] == pytest.approx(few, rel=0.1)
    of_few = [moderation.moderate(variances[:9], np.full(9, 2.0), 12, given) for given in (None, noise[:9])]
    assert np.array_equal(*of_few)


@pytest.mark.parametrize("misfit", [0.5, 1.5])
def test_intervals_hold_where_cells_scatter_by_their_turns(misfit):
    """Of grids whose cells scatter by 2 to 20 %, 93 to 98 % of intervals hold the truth, and few grids raise an alarm.

    It is so if the noise of the turns follows that closely, and if it is mostly something else.
    """
    rng = np.random.default_rng(11)
    held, alarms = [], 0
    for _ in range(100):
        scatter = 0.06 * np.exp(rng.normal(0, 0.7, (20, 1)) + rng.normal(0, 0.4, (20, 4)))
        own = scatter[:, None, :] * rng.standard_normal((20, 3, 4))
        noise = 0.4 * scatter**2 * np.exp(rng.normal(0, misfit, (20, 4)))
        pairs = [(cell, a, b) for cell in range(20) for a in range(4) for b in range(a)]
        differences = [own[cell, :, a] - own[cell, :, b] for cell, a, b in pairs]
        by_turns = [noise[cell, a] + noise[cell, b] for cell, a, b in pairs]
        middle, variance, dof = moderation.means(differences, 30.0, by_turns)
        claims = statistics.weigh(middle, np.sqrt(variance), dof, margin=1e-9)
        held.append(((claims.low <= 1) & (claims.high >= 1)).mean())
        alarms += bool({FASTER, SLOWER} & set(statistics.verdicts(claims)))
    assert 0.93 <= np.mean(held) <= 0.98
    assert alarms <= 12
