"""Networks that nobody chose: drawn by hypothesis, on every backend that is installed."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from backends import Network
from backends.conformance.cases import KINDS, SIZES, Case
from backends.conformance.stages import judge_stages, judge_step

sizes = st.sampled_from([size for size in SIZES if size <= 64])
cases = st.builds(
    Case,
    network=st.lists(sizes, min_size=3, max_size=5).map(lambda drawn: Network(tuple(drawn))),
    rows=st.one_of(st.sampled_from(SIZES), st.integers(1, 2000)),
    values=st.sampled_from([kind for kind in KINDS if kind != "tutorial"]),
    seed=st.integers(0, 2**20),
)
DRAWS, DRAWS_THAT_COMPILE = 25, 4


def draws_of(backend_name: str) -> int:
    """Return how many examples a backend's compile time allows."""
    return DRAWS_THAT_COMPILE if backends.find(backend_name).capabilities.compiles else DRAWS


def test_drawn_networks_stay_within_their_bounds(backend_name: str) -> None:
    """Every stage and the fused step of a drawn network, batch, kind of values and dtype."""

    @settings(max_examples=draws_of(backend_name), suppress_health_check=[HealthCheck.too_slow])
    @given(case=cases, dtype=st.sampled_from(backends.DTYPES))
    def judge(case: Case, dtype: str) -> None:
        backend = backends.load(backend_name, case.network, dtype)
        problem = case.problem(dtype)
        with np.errstate(all="ignore"):
            findings = judge_stages(backend, problem).findings + judge_step(backend, problem).findings
        failed = [f"{found.claim}: {found.where}: {found.ratio:.3g}" for found in findings if found.status == "fail"]
        assert failed == [], f"python -m bench check --backend {backend_name} --dtype {dtype} --case {case}"

    judge()
