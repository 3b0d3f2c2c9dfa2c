"""The formulas of work, held against the counts of XLA's compiler and torch's counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends import Adam, Network
from bench.workload import Workload
from bench.workload.work import bytes_read_written, flop, least_bytes, product_flop, tanh_count

CASES = [("3-2-1", 1000), ("32-64-1", 512), ("64-64-64-1", 256), ("784-512-10", 128), ("7-5-4-3", 17)]


def xla(network: Network, batch: int, dtype: str) -> dict[str, Any]:
    """Compile each phase of the network, written as in the mathematics, for XLA on the CPU."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def forward(params: Any, x: Any) -> list[Any]:
        tape = []
        for k, (w, b) in enumerate(params):
            z = x @ w.T + b
            x = jnp.tanh(z) if k < len(params) - 1 else z
            tape.append(x)
        return tape

    def backward(weights: Any, x: Any, y: Any, tape: Any) -> Any:
        residual = tape[-1] - y
        g, gradients = residual * (2 / y.size), []
        for k in reversed(range(len(tape))):
            h = tape[k - 1] if k else x
            gradients.insert(0, (g.T @ h, g.sum(0)))
            if k:
                g = (g @ weights[k - 1]) * (1 - h * h)
        return jnp.sum(residual * residual) / y.size, gradients

    def update(params: Any, gradients: Any) -> Any:
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradients)

    def step(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = backward([w for w, _ in params[1:]], x, y, forward(params, x))
        return update(params, gradients), loss

    with jax.enable_x64(dtype == "float64"):
        params = [(jnp.ones(shape, dtype), jnp.ones(shape[0], dtype)) for shape in network.layer_shapes]
        x, y = jnp.ones((batch, network.inputs), dtype), jnp.ones((batch, network.outputs), dtype)
        tape = [jnp.ones((batch, size), dtype) for size in network.sizes[1:]]
        calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
            "forward": (forward, (params, x)),
            "backward": (backward, ([w for w, _ in params[1:]], x, y, tape)),
            "update": (update, (params, params)),
            "step": (step, (params, x, y)),
        }
        return {phase: jax.jit(call).lower(*args) for phase, (call, args) in calls.items()}


@pytest.mark.parametrize(
    ("sizes", "batch", "dtype"), [(*case, "float32") for case in CASES] + [("7-5-4-3", 17, "float64")]
)
def test_work_equals_that_of_xla(sizes: str, batch: int, dtype: str) -> None:
    """FLOP, tanh and least bytes are those of XLA's cost and memory analysis.

    A sum of n terms has n - 1 additions there and n here: one apart for each bias and for the loss. XLA's results
    include the loss, and a pointer for each array.
    """
    network = Network.parse(sizes)
    for phase, lowered in xla(network, batch, dtype).items():
        cost, memory = lowered.cost_analysis(), lowered.compile().memory_analysis()
        assert 0 <= flop(network, batch, phase) - cost["flops"] <= sum(network.sizes[1:]) + 1, phase
        assert tanh_count(network, batch, phase) == cost.get("transcendentals", 0), phase
        results = {"forward": 1, "backward": 2, "update": 2, "step": 2}[phase] * len(network.layer_shapes)
        loss_bytes = np.dtype(dtype).itemsize + 8 if phase in ("backward", "step") else 0
        read, written = bytes_read_written(network, batch, dtype, phase)
        assert read == memory.argument_size_in_bytes, phase
        assert written == memory.output_size_in_bytes - 8 * results - loss_bytes, phase
        assert least_bytes(network, batch, dtype, phase) <= cost["bytes accessed"], phase


@pytest.mark.parametrize(("sizes", "batch"), CASES)
def test_product_flop_equals_that_of_torch(sizes: str, batch: int) -> None:
    """Matrix products of torch's own forward and backward, by its counter, have exactly ``product_flop``."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    network = Network.parse(sizes)
    layers: list[Any] = []
    for o, i in network.layer_shapes:
        layers += [torch.nn.Linear(i, o), torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    counted = {}
    with FlopCounterMode(display=False) as counter:
        predicted = model(torch.zeros(batch, network.inputs))
    counted["forward"] = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        predicted.square().mean().backward()
    counted["backward"] = counter.get_total_flops()
    counted["step"] = counted["forward"] + counted["backward"]
    assert {phase: product_flop(network, batch, phase) for phase in counted} == counted


def test_step_work_is_the_sum_of_its_phases() -> None:
    """A step does the FLOP and tanh of forward, backward and update, and a step of train those of a step."""
    network = Network((5, 4, 3, 2))
    for count in (flop, product_flop, tanh_count):
        assert count(network, 9, "step") == sum(count(network, 9, phase) for phase in ("forward", "backward", "update"))
        assert count(network, 9, "train") == count(network, 9, "step")


def test_tutorial_step_work_is_that_counted_by_hand() -> None:
    """The tutorial's step: 3 rows through 3-2-1."""
    network = Network((3, 2, 1))
    by_hand = 3 * (2 * (6 + 2) + 3) + 3 * (2 * (6 + 2) + 2 * 2 + 4 + 3 + 3 * 2) + 2 * 11
    assert flop(network, 3) == by_hand
    assert tanh_count(network, 3) == 6
    assert least_bytes(network, 3, "float64") == 8 * (3 * 4 + 2 * 11)


def test_unknown_phase_is_refused() -> None:
    """A phase that is none of the six raises an error that lists them."""
    with pytest.raises(ValueError, match="no phase 'warm'; one of place, forward"):
        flop(Network((3, 2, 1)), 3, "warm")


def test_work_of_a_workload_counts_activation_loss_optimiser_and_mini_batches() -> None:
    """Relu takes no tanh, Adam moves its moments, cross-entropy has more to do, and a step has the rows of its part."""
    usual, rows = Network((5, 4, 3)), 60
    relu, adam = Network((5, 4, 3), "relu"), Workload(usual, Adam())
    assert tanh_count(relu, rows) == 0
    assert tanh_count(Network((5, 4, 3), "sigmoid"), rows) == tanh_count(usual, rows) == 4 * rows
    assert flop(relu, rows) == flop(usual, rows) - 4 * rows * (3 - 1 - 1)
    assert flop(Network((5, 4, 3), loss="cross-entropy"), rows) == flop(usual, rows) + 4 * rows * 3
    assert flop(adam, rows) == flop(usual, rows) + 11 * usual.parameter_count
    assert flop(adam, rows, "forward") == flop(usual, rows, "forward")
    assert least_bytes(adam, rows) == least_bytes(usual, rows) + 4 * usual.parameter_count * 4
    few = Workload(usual, rows_per_step=7)
    for phase in ("forward", "backward", "update", "step", "train"):
        assert flop(few, rows, phase) == flop(usual, 7, phase)
        assert least_bytes(few, rows, "float32", phase) == least_bytes(usual, 7, "float32", phase)
    assert least_bytes(few, rows, "float32", "place") == least_bytes(usual, rows, "float32", "place")
