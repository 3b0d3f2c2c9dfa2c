"""The claim on determinism: equal input gives equal bits, wherever the backend declares it.

Runs `python -m backends.conformance.determinism BACKEND DEVICE DTYPES` for the answer of a separate process.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from backends.base import Backend, Scope, TrainingDiverged
from backends.conformance.cases import BLOCK_NETWORK, LARGE_NETWORK, VALUES_SHAPE, Case, many_blocks, rows_around_blocks
from backends.conformance.report import Finding
from backends.conformance.subject import Problem, Subject

SMALL = f"{VALUES_SHAPE}/normal/seed=5"
WIDE = ("784-512-10/n=50/normal", "784-512-10/n=100/normal")
"""Large products in few rows, which a BLAS shares among its threads; a backend may cut the one and not the other."""
STEPS = 3
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
JAX_CACHE = "JAX_COMPILATION_CACHE_DIR"
"""A child does not get it: to compile anew must give equal bits as well."""
PATIENCE_S = 240

Digests = dict[str, dict[str, str]]

_children = ThreadPoolExecutor(max_workers=1)


def check_determinism(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge repeated calls and child processes, by what the backend declares."""
    elsewhere = {threads: answer for threads, answer in zip(_wanted(subject), prefetch(subject), strict=True)}
    here = digest(subject)
    if "process" in _declared(subject):
        yield _compared("repeated in one process", here, digest(subject))
    for threads, answer in elsewhere.items():
        how = "in another process" + (f" of {threads} thread{'s' * (threads > 1)}" if threads else "")
        yield _compared(how, here, answer.result()[subject.dtype])


def prefetch(subject: Subject) -> list[Future[Digests]]:
    """Start the child processes that `check_determinism` will ask for, one after another, while work goes on here."""
    return [_elsewhere(subject.name, subject.device, subject.dtype, threads) for threads in _wanted(subject)]


def _wanted(subject: Subject) -> list[int | None]:
    """Return the numbers of threads to try in child processes; ``None`` is as many as here, if no more is promised."""
    declared = _declared(subject)
    return [1, 2] if "threads" in declared else [None] if "processes" in declared else []


def _declared(subject: Subject) -> frozenset[Scope]:
    """Return what the backend promises on the device, where it may promise less than its class does."""
    return subject.on(BLOCK_NETWORK).capabilities.deterministic


@lru_cache(maxsize=64)
def _elsewhere(name: str, device: str, dtypes: str, threads: int | None) -> Future[Digests]:
    return _children.submit(_digests_of_child, name, device, dtypes, threads)


def digest(subject: Subject, few: bool = False) -> dict[str, str]:
    """Return a hash of the bits of every result, a case and a stage each; if ``few``, training alone of large cases."""
    hashes = {}
    most = max(rows_around_blocks(subject.on(BLOCK_NETWORK)), default=1)  # several blocks: threads share the sums
    large = (*WIDE, f"{BLOCK_NETWORK}/n={most}/normal", *many_blocks(subject.on(LARGE_NETWORK)))
    for case in map(Case.parse, (SMALL, *large)):
        backend, problem = subject.on(case.network), case.problem(subject.dtype)
        batch = backend.place_batch(problem.inputs, problem.targets)
        stages = {} if few and str(case) != SMALL else _stages(backend, problem, batch)
        for stage, hashed in (stages | _training(backend, problem, batch)).items():
            hashes[f"{case} {stage}"] = hashed
    return hashes


def _stages(backend: Backend, problem: Problem, batch: Any) -> dict[str, str]:
    """Return the hashes of forward, backward, update and a fused step."""
    params = backend.place_params(problem.params)
    tape = backend.forward(params, batch)
    loss, gradients = backend.backward(params, batch, tape)
    hashes = {"forward": _hash(*backend.outputs(tape)), "loss": float(loss).hex()}
    hashes["backward"] = _hash_params(backend, gradients)
    hashes["update"] = _hash_params(backend, backend.update(params, gradients, problem.learning_rate))
    stepped, loss = backend.step(backend.place_params(problem.params), batch, problem.learning_rate)
    return hashes | {"loss of step": float(loss).hex(), "step": _hash_params(backend, stepped)}


def _training(backend: Backend, problem: Problem, batch: Any) -> dict[str, str]:
    """Return the hashes of a few steps of training."""
    try:
        trained, losses = backend.train(backend.place_params(problem.params), batch, problem.learning_rate, STEPS)
    except TrainingDiverged as diverged:  # another claim judges that
        trained, losses = diverged.params, diverged.losses
    return {"losses of train": _hash(losses), "train": _hash_params(backend, trained)}


def _digests_of_child(name: str, device: str, dtypes: str, threads: int | None) -> Digests:
    """Return the digest of each dtype, computed in a child process, with this many threads if given."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
    environment.pop(JAX_CACHE, None)
    if threads is not None:
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    command = [sys.executable, "-m", "backends.conformance.determinism", name, device, dtypes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        last_words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{' '.join(command[1:])} failed with status {done.returncode}: {last_words}")
    answer: Digests = json.loads(done.stdout.splitlines()[-1])
    return answer


def _compared(how: str, here: dict[str, str], again: dict[str, str]) -> Finding:
    differing = [stage for stage in again if here[stage] != again[stage]]
    return Finding("determinism", differing[0] if differing else SMALL, math.inf if differing else 0.0, how)


def _hash_params(backend: Backend, params: Any) -> str:
    return _hash(*(array for layer in backend.fetch(params) for array in layer))


def _hash(*arrays: np.ndarray) -> str:
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()


def _main(name: str, device: str, dtypes: str) -> None:
    """Print the digest of each dtype; where every shape compiles, and nothing compiled is kept, of few results."""
    subjects = {dtype: Subject(name, dtype, device) for dtype in dtypes.split(",")}
    print(
        json.dumps({dtype: digest(subject, subject.kind.capabilities.compiles) for dtype, subject in subjects.items()})
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
