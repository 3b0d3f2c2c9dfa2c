"""What laps added to all arms alike, told from what is each arm's own, on made-up times whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from bench.verdicts import moderation
from bench.verdicts.laps import differences, levels, without_laps
from bench.verdicts.student import quantile

OWN = {"numba": -9.0, "numpy": -8.0, "jax": -8.5}


def cells(logs, case=0):
    """Return rows as `statistics.cell_estimates` has them, of log times by backend and lap."""
    rows = []
    for backend, of_backend in logs.items():
        laps = {("run", lap): value for lap, value in of_backend.items()}
        _, variance, dof = moderation.means([list(laps.values())], 0.0)
        rows.append(
            {"network": "3-2-1", "batch": 1 + case, "dtype": "float32", "device": "cpu", "threads": 2, "phase": "step"}
            | {"backend": backend, "arm": "", "log_s": np.mean(list(laps.values())), "processes": len(laps)}
            | {"process_logs": laps, "process_noises": dict.fromkeys(laps, np.nan)}
            | {"variance": variance[0], "dof": dof[0]}
        )
    return pd.DataFrame(rows)


def behind_numba(table):
    """Return by how much each backend's log time exceeds numba's."""
    log_s = dict(zip(table["backend"], table["log_s"], strict=True))
    return {backend: log_s[backend] - log_s["numba"] for backend in ("numpy", "jax")}


def test_a_backend_that_missed_the_slow_lap_gains_nothing_by_it():
    """With laps of 0 and 0.7 and one backend in the first alone, the differences are those of the backends."""
    laps = (0.0, 0.7, 0.1)
    table = cells(
        {name: {lap: own + laps[lap] for lap in ((0,) if name == "jax" else range(3))} for name, own in OWN.items()}
    )
    assert behind_numba(table)["jax"] == pytest.approx(0.5 - np.mean(laps))
    apart, _ = without_laps(table)
    assert behind_numba(apart) == pytest.approx({"numpy": 1.0, "jax": 0.5}, abs=1e-4)


def test_laps_make_all_times_less_sure_and_no_difference():
    """The variance that is left is that of the arms' own scatter, and what laps added is told by its scatter."""
    rng = np.random.default_rng(0)
    tables, truths = [], []
    for case in range(200):
        laps = 0.5 * rng.standard_normal(4)
        truths.append(laps.var(ddof=1) / 4)
        logs = {name: dict(enumerate(own + laps + 0.05 * rng.standard_normal(4))) for name, own in OWN.items()}
        tables.append(cells(logs, case))
    apart, scatter = without_laps(pd.concat(tables, ignore_index=True))
    assert apart["variance"].mean() == pytest.approx(0.05**2 / 4, rel=0.1)
    assert scatter == pytest.approx(np.sqrt(np.mean(truths)), rel=0.05)
    assert scatter == pytest.approx(0.25, rel=0.1)


def test_a_lap_that_one_backend_had_alone_tells_nothing():
    """Two backends in laps of 0 and 0.4, one of them in a third as well: it changes neither time nor variance."""
    both = {name: {0: OWN[name], 1: OWN[name] + 0.4 + (0.1 if name == "jax" else 0)} for name in ("numba", "jax")}
    alone = both | {"jax": both["jax"] | {2: OWN["jax"] + 3.0}}
    apart, of_both = (without_laps(cells(logs))[0] for logs in (alone, both))
    columns = ["log_s", "variance"]
    pd.testing.assert_frame_equal(apart[columns], of_both[columns])


def test_absolute_times_are_means_over_laps():
    """What laps added on average stays in the times: they are what a person would wait."""
    table = cells({name: {0: own, 1: own + 0.6} for name, own in OWN.items()})
    apart, _ = without_laps(table)
    assert apart["log_s"].to_numpy() == pytest.approx([own + 0.3 for own in OWN.values()], abs=1e-4)


@pytest.mark.parametrize(
    "logs",
    [
        {"numba": {0: -9.0, 1: -8.6}},
        {"numba": {0: -9.0, 1: -8.6}, "numpy": {2: -8.0, 3: -7.0}},
        {"numba": {0: -9.0}, "numpy": {0: -8.0}},
    ],
    ids=["one backend", "no lap in common", "one lap"],
)
def test_what_has_no_laps_in_common_stays_as_it_is(logs):
    """Nothing can be told apart then, and nothing is."""
    table = cells(logs)
    apart, scatter = without_laps(table)
    assert scatter == 0
    pd.testing.assert_frame_equal(apart[["log_s"]], table[["log_s"]])
    assert apart["variance"].to_numpy() == pytest.approx(table["variance"].to_numpy(), nan_ok=True)


def test_levels_are_of_an_average_lap():
    """A backend that missed the slow lap has the level that it would have had in all of them."""
    laps = (0.0, 0.7, 0.1)
    logs = {name: {lap: own + laps[lap] for lap in ((0,) if name == "jax" else range(3))} for name, own in OWN.items()}
    assert levels(cells(logs)) == pytest.approx([own + np.mean(laps) for own in OWN.values()], abs=1e-4)


def test_two_backends_alone_differ_as_in_pairs():
    """Difference, variance and degrees of freedom are those of the differences lap by lap."""
    rng = np.random.default_rng(1)
    numba, numpy = rng.standard_normal((2, 5))
    table = cells({"numba": dict(enumerate(numba)), "numpy": dict(enumerate(numpy))})
    pairs = numpy - numba
    found = np.concatenate(differences(table, [0], [1]))
    assert found == pytest.approx([pairs.mean(), pairs.var(ddof=1) / 5, 4.0], rel=1e-3)


def test_differences_of_backends_in_some_of_the_laps_are_as_sure_as_they_say():
    """Of 600 cases in which two of four equal backends rested in some laps, 95 % hold the truth in their intervals."""
    rng = np.random.default_rng(2)
    laps_of = {"numba": 4, "numpy": 2, "jax": 4, "torch": 3}
    tables = []
    for case in range(600):
        laps = 0.5 * rng.standard_normal(4)
        logs = {
            name: dict(enumerate(laps[:count] + 0.02 * (1 + place) * rng.standard_normal(count)))
            for place, (name, count) in enumerate(laps_of.items())
        }
        tables.append(cells(logs, case))
    table = pd.concat(tables, ignore_index=True)
    above, variance, dof = differences(table, range(0, 2400, 4), range(1, 2400, 4))
    covered = np.abs(above) <= quantile(0.975, dof) * np.sqrt(variance)
    assert 0.93 < covered.mean() < 0.98
    assert variance.mean() == pytest.approx((above**2).mean(), rel=0.2)


def test_what_no_laps_connect_has_no_difference():
    """Of backends in different laps it is not known which share of a difference is the laps'."""
    apart = {
        "numba": {0: -9.0, 1: -8.6},
        "jax": {0: -8.5, 1: -8.2},
        "numpy": {2: -8.0, 3: -7.0},
        "torch": {2: -7, 3: -6},
    }
    found = np.array(differences(cells(apart), [0, 0, 2], [1, 2, 3]))
    assert np.isnan(found[:, 1]).all()
    assert found[0, [0, 2]] == pytest.approx([0.45, 1.0], abs=1e-4)
