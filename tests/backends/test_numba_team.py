"""Steps that a team of threads shares: right for any shape and number of members, and never stuck."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install -e '.[numba]'")

import backends
from backends import Adam, Descent, Layer, Network, Optimizer
from backends.conformance import check_cell
from backends.conformance.cases import Case
from backends.numba_barrier import STOP, meet, new_barrier, yield_address
from backends.numba_blocking import FEW_ROWS, MOST_TEAM_ROWS, PART_ROWS, team_of
from backends.numba_lanes import address
from backends.numba_team_panels import BY_ROWS, FOR_A_CALL, FOR_A_STEP, ONE_BY_ONE, REPAID, panels_for
from backends.numba_team_threads import LINGERING_S

LEAST = FEW_ROWS + 1
"""Rows from which a team makes tiles."""


def started(
    network: Network, optimizer: Optimizer | None = None, threads: int | None = None, dtype: str = "float32"
) -> tuple[Any, Any]:
    """Return a backend and drawn parameters placed on it."""
    rng = np.random.default_rng(0)
    params = [Layer(rng.standard_normal((o, i)) / i**0.5, np.zeros(o)) for o, i in network.layer_shapes]
    backend = backends.load("numba", network, dtype, optimizer=optimizer, threads=threads)
    return backend, backend.place_params(params)


def rows_for(network: Network, n: int) -> tuple[Any, Any]:
    """Return drawn inputs and targets."""
    rng = np.random.default_rng(1)
    y = rng.integers(network.outputs, size=n) if network.loss == "cross-entropy" else rng.random((n, network.outputs))
    return rng.standard_normal((n, network.inputs)), y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case",
    [
        "130-140-10/n=1/normal",
        f"33-161-131-129-3/n={FEW_ROWS}/normal",
        "16000-1-1/n=3/normal",
        f"130-140-10/n={LEAST}/normal",
        "130-128-64-3/n=16/normal",
        "130-140-10/n=17/normal",
        "130-140-10/n=100/normal",
        "33-161-131-129-3/n=97/normal",
        "126-126-126-40/n=64/normal",
        "784-33-1/n=512/normal",
        "130-128-64-3/n=150/normal",
        f"130-128-64-3/n={PART_ROWS + 1}/normal",
        f"33-161-131-129-3/n={3 * PART_ROWS}/normal",
        f"784-33-1/n={9 * PART_ROWS + 1}/normal",
    ],
)
def test_steps_of_a_team_are_right(case: str, dtype: str) -> None:
    """Whatever is left over of parts and tiles of rows, of inputs and of outputs, or nothing; one hidden layer and
    several.
    """
    problem = Case.parse(case).problem(dtype)
    backend = backends.load("numba", problem.network, dtype)
    assert backend.place_batch(problem.inputs, problem.targets).team
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.parametrize("rows", [FEW_ROWS, LEAST, 50, 128, PART_ROWS + 100])
@pytest.mark.parametrize("text", ["200-130-10/relu/cross-entropy", "200-128-10/relu/cross-entropy", "28-140-300-140-1"])
def test_every_member_count_gives_the_same_bits(text: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members take whole weights and whole rows, so no sum depends on how many there are; more than cores included.

    The weights of 128 outputs are in panels for one member and for two, and stay in place for three and for seven.
    """
    sizes, *kinds = text.split("/")
    network = Network.parse(sizes) if not kinds else Network(Network.parse(sizes).sizes, *kinds)
    x, y = rows_for(network, 2 * PART_ROWS)
    monkeypatch.setattr("backends.numba_team_panels.REPAID", 0)
    answers = set()
    for members in (1, 2, 3, 7):
        monkeypatch.setattr("backends.numba_batch.team_of", lambda *_, members=members: members)
        backend, params = started(network, Adam())
        trained, losses = backend.train(params, backend.place_batch(x, y), 0.01, 11, rows_per_step=rows)
        answers.add((trained.flat.tobytes(), losses.tobytes()))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("dtype", "kinds", "optimizer"),
    [("float32", ("relu", "cross-entropy"), Adam()), ("float64", ("tanh", "mse"), Descent())],
    ids=["float32", "float64"],
)
@pytest.mark.parametrize(("rows", "otherwise"), [(100, BY_ROWS), (150, FOR_A_STEP), (2 * PART_ROWS, FOR_A_STEP)])
def test_panels_of_a_call_give_the_same_bits(
    dtype: str, kinds: Any, optimizer: Optimizer, rows: int, otherwise: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As inputs that are transposed and as panels of a step; 203 inputs fill neither vectors nor tiles."""
    monkeypatch.setattr("backends.numba_batch.team_of", lambda *_: 2)
    network = Network((203, 128, 10), *kinds)
    x, y = rows_for(network, 3 * PART_ROWS)
    answers = set()
    for repaid, panels in ((0, FOR_A_CALL), (1 << 62, otherwise)):
        monkeypatch.setattr("backends.numba_team_panels.REPAID", repaid)
        assert panels_for(7, rows, 203, 128, 2) == panels
        backend, params = started(network, optimizer, dtype=dtype)
        trained, losses = backend.train(params, backend.place_batch(x, y), 0.01, 7, rows_per_step=rows)
        answers.add((trained.flat.tobytes(), losses.tobytes()))
    assert len(answers) == 1


def test_panels_are_for_calls_that_repay_them() -> None:
    """Of a call with enough rows, else of a step with fewer weights than inputs; whole panels for each member."""
    repaid = REPAID * 128 // 64
    assert [panels_for(steps, 64, 784, 128, 2) for steps in (1, repaid - 1, repaid)] == [BY_ROWS, BY_ROWS, FOR_A_CALL]
    assert panels_for(1, 128, 784, 128, 2) == FOR_A_STEP
    assert panels_for(1 << 20, FEW_ROWS, 784, 128, 2) == ONE_BY_ONE
    assert {panels_for(repaid, 128, *rest) for rest in ((784, 128, 3), (784, 96, 2), (31, 128, 2))} == {BY_ROWS}


def test_a_batch_in_a_new_order_trains_as_one_that_was_placed_so() -> None:
    """Read where its rows lie, or copied when something else needs them; the batch that it came from stays."""
    network = Network((200, 130, 10))
    x, y = rows_for(network, 333)
    order = np.random.default_rng(2).permutation(333)
    backend, params = started(network, Adam())
    first = backend.place_batch(x, y)
    reordered = backend.reorder(backend.reorder(first, order[::-1]), np.arange(333)[::-1])
    assert np.shares_memory(reordered.xy, first.xy)
    got = backend.train(params, reordered, 0.01, 5, rows_per_step=100)
    _, fresh = started(network, Adam())
    placed = backend.place_batch(x[order], y[order])
    expected = backend.train(fresh, placed, 0.01, 5, rows_per_step=100)
    assert got[1].tobytes() == expected[1].tobytes()
    assert got[0].flat.tobytes() == expected[0].flat.tobytes()
    assert (backend.host_memory(reordered)[0] == placed.xy).all()
    assert (first.xy[0, :, :200] == x.astype("f")).all()


def test_team_grows_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One member for little work; never more than threads or than outputs serve; none for many rows of huge layers.

    More for steps that follow each other, which repay waking, and if no L2 cache holds all weights.
    """
    caches = [1 << 20]
    monkeypatch.setattr("backends.numba_blocking.l2_cache_bytes", lambda: caches[-1])
    network, wider, huge = Network((784, 128, 10)), Network((784, 512, 10)), Network((2000, 2100, 1))

    def team(network: Network, rows: int, threads: int = 2, steps: float = 1) -> int:
        return team_of(network, "float32", rows, threads, steps)

    assert [team(network, rows) for rows in (1, LEAST, 32, 128, 512, 1 << 20)] == [1, 1, 1, 2, 2, 2]
    assert team(network, 512, threads=64) == 8
    assert [team(huge, rows) for rows in (MOST_TEAM_ROWS, MOST_TEAM_ROWS + 1)] == [2, 0]
    assert [team(network, rows, steps=math.inf) for rows in (1, 7, 8)] == [1, 1, 2]
    assert [team(wider, 1, steps=steps) for steps in (1, 9, 10)] == [1, 1, 2]
    caches.append(1 << 21)
    assert team(wider, 1, steps=10) == 1


def test_steps_that_follow_each_other_have_more_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step just after another finds its members awake; after a pause it is taken by as many as repay waking."""
    now = [0.0]
    monkeypatch.setattr("backends.numba_team_threads.time.perf_counter", lambda: now[-1])
    monkeypatch.setattr("backends.numba_batch.team_of", lambda *given: 1 if given[4] == 1 else 2)
    network = Network((200, 300, 10))
    backend, params = started(network, threads=2)
    batch = backend.place_batch(*rows_for(network, 16))
    members = []
    run = backend._teams.run
    monkeypatch.setattr(backend._teams, "run", lambda team, *rest: (members.append(team), run(team, *rest)))
    for pause in (0.0, 0.5, 0.5, 2.0, 0.5):
        now.append(now[-1] + pause * LINGERING_S)
        backend.step(params, batch, 0.01)
    assert members == [1, 2, 2, 1, 2]
    for other in (backend.place_batch(*rows_for(network, 16)), batch):
        backend.step(params, other, 0.01)
    backend.step(params, batch, 0.02)
    assert members[5:] == [1, 1, 1], "members start anew for another batch or rate"


@pytest.mark.parametrize("others", [1, 3])
def test_no_member_passes_a_barrier_before_all_have_come(others: int) -> None:
    """All wait for the last, at every meeting."""
    from numba import njit

    @njit(nogil=True)
    def member(barrier: Any, counts: Any, me: int, team: int, rest: int) -> bool:
        for k in range(2000):
            counts[me * 8] = k
            if meet(address(barrier, 0), team, rest):
                return False
            for other in range(team):
                if counts[other * 8] < k:
                    return False
            if meet(address(barrier, 0), team, rest):
                return False
        return True

    team, barrier = others + 1, new_barrier(others + 1)
    counts = np.zeros(8 * team, np.int64)
    with ThreadPoolExecutor(team) as pool:
        ended = [pool.submit(member, barrier, counts, me, team, yield_address()) for me in range(team)]
        assert all(future.result(60) for future in ended)


def test_a_member_that_waits_in_vain_can_be_ended() -> None:
    """The others are told when one does not come, and touch nothing more."""
    from numba import njit

    @njit(nogil=True)
    def wait(barrier: Any, rest: int) -> bool:
        return meet(address(barrier, 0), 2, rest)

    barrier = new_barrier(2)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(wait(barrier, yield_address())))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive() or not ended
    barrier[STOP] = 1
    waiting.join(60)
    assert ended == [True]


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["at once", "after a while"])
def test_steps_one_after_the_other_are_those_of_one_call(
    members: int, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members that linger take the next step, those that have gone are started again; what another call changes in
    between is seen.
    """
    monkeypatch.setattr("backends.numba_batch.team_of", lambda *_: members)
    network = Network((200, 300, 10))
    x, y = rows_for(network, 64)
    one, at_once = started(network, Adam())
    trained, losses = one.train(at_once, one.place_batch(x, y), 0.01, 7)
    other, params = started(network, Adam())
    batch, another = other.place_batch(x, y), other.place_batch(x[:40], y[:40])
    _, elsewhere = started(network, Adam())
    for k in range(7):
        params, loss = other.step(params, batch, 0.01)
        assert loss == losses[k]
        if k == 3:
            other.step(elsewhere, another, 0.5)
            other.step(elsewhere, batch, 0.5)
        time.sleep(pause_s)
    assert params.flat.tobytes() == trained.flat.tobytes()
    assert other.fetch_state(params).updates == 7


def test_nobody_lingers_for_long_or_for_a_call_of_many_steps() -> None:
    """After a step the other members' threads are free within milliseconds, after training at once."""
    network = Network((200, 300, 10))
    x, y = rows_for(network, 64)
    backend, params = started(network, threads=2)
    batch = backend.place_batch(x, y)
    assert batch.team == 2
    backend.step(params, batch, 0.01)
    (other,) = backend._teams._latest.others
    other.result(10)
    backend.train(params, batch, 0.01, 5)
    assert backend._teams._latest is None


def test_a_step_that_finds_no_thread_again_is_taken_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members have gone, and the system gives no thread any more: every later step is taken on the calling thread."""
    network = Network((200, 300, 10))
    x, y = rows_for(network, 64)
    one, at_once = started(network, threads=2)
    trained, losses = one.train(at_once, one.place_batch(x, y), 0.01, 4)
    backend, params = started(network, threads=2)
    batch = backend.place_batch(x, y)
    taken = [float(backend.step(params, batch, 0.01)[1])]
    (other,) = backend._teams._latest.others
    other.result(10)

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    taken += [float(backend.step(params, batch, 0.01)[1]) for _ in range(3)]
    assert taken == losses.tolist()
    assert params.flat.tobytes() == trained.flat.tobytes()


NO_THREADS = """
import sys, threading
import numpy as np
sys.path.insert(0, "tests/backends")
from test_numba_team import rows_for, started
from backends import Network, numba_team_panels
network, numba_team_panels.REPAID = Network((200, 320, 10)), 0
x, y = rows_for(network, 128)
def refuse(self):
    raise RuntimeError("can't start new thread")
threads = 2
backend, params = started(network, threads=threads)
batch = backend.place_batch(x, y)
assert batch.team == 2, batch.team
if sys.argv[1] == "refuse":
    threading.Thread.start = refuse
print(hash(backend.train(params, batch, 0.01, 3)[0].flat.tobytes()))
"""


SIZES_AND_FORK = """
import os, signal, sys
sys.path.insert(0, "tests/backends")
from backends import numba_barrier, numba_batch
numba_barrier.LINGERING = 1 << 30  # seconds, so that the fork finds members lingering
from test_numba_team import Network, rows_for, started
network = Network((200, 300, 10))
x, y = rows_for(network, 128)
backend, params = started(network)
start = backend.fetch(params)
train = lambda: backend.train(backend.place_params(start), batch, 0.01, 3)[0].flat.tobytes()
bits = set()
for members in (2, 3):
    numba_batch.team_of = lambda *_: members
    batch = backend.place_batch(x, y)
    signal.alarm(60)
    bits.add(train())
params = backend.place_params(start)
backend.step(params, batch, 0.01)
child = os.fork()
if child == 0:
    signal.alarm(30)
    backend.step(params, batch, 0.01)
    os._exit(train() not in bits)
backend.step(params, batch, 0.01)
assert os.waitpid(child, 0)[1] == 0, "the forked process waits for threads that it does not have"
assert len(bits) == 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_teams_of_another_size_and_of_a_forked_process_start_their_own_threads() -> None:
    """A backend that trained with two members trains with three, and again in a fork, and never waits for ever."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", SIZES_AND_FORK], cwd=root, env=environment, check=True)


def test_an_account_that_may_start_no_thread_trains_on_one() -> None:
    """The same bits, on the calling thread alone."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0", "NUMBA_NUM_THREADS": "2"}
    bits = {
        subprocess.run(
            [sys.executable, "-c", NO_THREADS, what],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for what in ("start", "refuse")
    }
    assert len(bits) == 1
