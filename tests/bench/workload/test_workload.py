"""The text that names a workload, and the columns that a stored row keeps of it."""

from __future__ import annotations

import json

import pytest

from backends import Adam, Capabilities, Network
from bench import results
from bench.measure.cell import Group
from bench.measure.plan import Plan
from bench.workload import Workload
from tests.bench import synthetic

TEXTS = (
    "3-2-1",
    "3-2-1/relu",
    "784-128-10/relu/cross-entropy/adam/rows_per_step=128",
    "3-2-1/momentum/momentum=0.5/rows_per_step=7",
    "3-2-1/adam/beta1=0.123456789/weight_decay=1e-05",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_workload_reads_what_it_writes(text):
    """Every text comes back from the workload that it names, with each parameter to its last digit."""
    assert str(Workload.parse(text)) == text
    group = Group.make(text, 100, "float32", "cpu")
    assert Group.of(group.columns()) == group
    plan = Plan((group,), ("step",), ("numpy",))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_the_order_of_words_and_what_is_the_default_do_not_matter():
    """A workload has one text, whichever way it is asked for."""
    texts = ("3-2-1/adam/relu/mse", "3-2-1/relu/adam", "3-2-1/relu/mse/adam/beta1=0.9")
    assert {str(Workload.parse(text)) for text in texts} == {"3-2-1/relu/adam"}
    assert Workload.parse("3-2-1/tanh/descent").is_usual


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3-2-1/swish", "at most one activation"),
        ("3-2-1/adam/momentum", "one optimizer, got adam and momentum"),
        ("3-2-1/beta1=0.5", "belongs to no optimizer; name one of descent, momentum, adam"),
        ("3-2-1/adam/beta1=3", "beta1 of adam must be at least 0 and less than 1, got 3"),
        ("3-2-1/adam/gamma=1", "no parameter 'gamma'; it has beta1"),
        ("3-2-1/rows_per_step=0", "rows_per_step must be 1 or more, got 0"),
        ("3-2-1/rows_per_step=many", "whole number of 1 or more, got 'many'"),
    ],
)
def test_a_text_that_names_no_workload_is_refused(text, says):
    """The error names the value and what was expected."""
    with pytest.raises(ValueError, match=says):
        Workload.parse(text)


def test_workloads_of_one_kind_differ_in_sizes_alone():
    """Sizes and rows of a mini-batch do not make another kind; each of the rest does."""
    kind = Workload.parse("8-32-3/relu/adam/rows_per_step=64").kind
    assert Workload.parse("3-2-1/relu/adam/rows_per_step=7").kind == kind
    others = ("8-32-3/adam/rows_per_step=64", "8-32-3/relu/rows_per_step=64", "8-32-3/relu/adam")
    others += ("8-32-3/relu/cross-entropy/adam/rows_per_step=64", "8-32-3/relu/adam/beta1=0.5/rows_per_step=64")
    assert all(Workload.parse(text).kind != kind for text in others)


def test_a_backend_lacks_the_first_thing_that_it_does_not_offer():
    """What is lacking is said with what is offered; a backend of the seven methods has the usual workload."""
    plain = Capabilities()
    assert Workload(Network((3, 2, 1))).lacking(plain) == ""
    assert Workload.parse("3-2-1/relu").lacking(plain) == "has no activation 'relu', only tanh"
    assert Workload(Network((3, 2, 1)), Adam()).lacking(plain) == "has no optimizer 'adam', only descent"
    assert Workload.parse("3-2-1/rows_per_step=2").lacking(plain) == "has no mini-batches"


def test_rows_of_earlier_versions_are_read_with_the_workload_of_their_network(tmp_path):
    """A stored row without the columns of the workload has the defaults, or what its network's text says."""
    made = synthetic.frame(networks=("3-2-1",), batches=(4,), phases=("step",), processes=1, twin=None)
    made.loc[made["backend"] == "numba", "network"] = "3-2-1/relu"
    frame = results.load(synthetic.store(made, tmp_path)).set_index("backend")
    kept = ["network", "activation", "loss", "optimizer", "rows_per_step"]
    assert frame.loc["numpy", kept].tolist() == ["3-2-1", "tanh", "mse", "descent", 0]
    assert frame.loc["numba", kept].tolist() == ["3-2-1/relu", "relu", "mse", "descent", 0]
