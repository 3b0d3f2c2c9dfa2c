"""Campaigns over specimens: backends whose time or fault is known, measured for a moment."""

import os
from pathlib import Path

from backends import Network
from bench import results
from bench.basics.names import CASE
from bench.measure import campaign
from bench.measure.cell import Group
from bench.measure.plan import Plan
from bench.measure.timing import Effort

SPECIMENS = Path(__file__).resolve().parents[1]
"""The folder of `specimens`, which the processes of a campaign import from."""

PATH = os.pathsep.join([str(SPECIMENS.parents[1]), str(SPECIMENS)])
"""``PYTHONPATH`` of these processes."""

QUICK = Effort(timed_s=0.03, warm_up_s=0.03)


def groups(*batches):
    """Return groups of the specimens' network."""
    return tuple(Group(Network((1, 1, 1)), batch, "float64", "cpu") for batch in batches)


def measure(root, *names, batches=(1,), phases=("step",), processes=1, effort=QUICK, **fields):
    """Run a campaign over specimens; return its outcome and its rows."""
    backends = tuple(f"specimens:{name}" for name in names)
    plan = Plan(groups(*batches), phases, backends, processes=processes, effort=effort, **fields)
    outcome = campaign.carry_out(campaign.create(plan, CASE, ["test"], root=root))
    return outcome, results.load(outcome.run)
