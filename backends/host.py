"""Check host arrays and convert them to row-major arrays in a backend's dtype.

Tests: `tests/backends/test_contract.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.functions import LOSSES
from backends.network import Array, Layer, Network, Params
from backends.optimizers import Optimizer, State

SLACK = 1e-3
"""Class probabilities of a row may sum to one within this: what float16 leaves. They are then divided by their sum."""


def host_array(what: str, values: ArrayLike, shape: tuple[int, ...], network: Network, dtype: str) -> Array:
    """Return ``values`` as a row-major array of ``dtype``, or raise an error that names it.

    Raises:
        ValueError: another shape, or finite values that the dtype cannot hold.
        TypeError: values that are not real numbers.
    """
    if np.ma.is_masked(values):
        raise TypeError(f"{what} must be real numbers, got masked entries; fill them (.filled) or leave their rows out")
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} must be real numbers, got dtype {array.dtype}")
    if array.shape != shape:
        hint = "; a single column is written [n, 1]: use .reshape(-1, 1)" if array.ndim < len(shape) else ""
        raise ValueError(f"{what} must have shape {shape} for network {network}, got {array.shape}{hint}")
    try:
        with np.errstate(over="raise"):
            return np.require(array, dtype=dtype, requirements=["C", "ALIGNED"])
    except FloatingPointError:
        most = float(np.finfo(dtype).max)
        beyond = array[np.isfinite(array) & (np.abs(array) > most)][0]
        raise ValueError(f"{what} must be within the range of {dtype}, up to {most:.3g}, got {beyond:.3g}") from None


def rate_of(learning_rate: Any) -> float:
    """Return a learning rate as a float, infinite if it is a whole number beyond the floats.

    Raises:
        TypeError: it is no real number, or an array of one dimension or more.
    """
    if isinstance(learning_rate, float):
        return float(learning_rate)
    try:
        if isinstance(learning_rate, str | bytes | complex) or np.ndim(learning_rate):
            raise TypeError
        return float(learning_rate)
    except OverflowError:
        return math.inf if learning_rate > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"learning_rate must be a real number such as 0.01, got {learning_rate!r}") from None


def host_params(params: Sequence[Layer], network: Network, dtype: str, what: str = "params") -> Params:
    """Return fresh row-major copies of ``params``; raises as `host_array`."""
    given: Any = params
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, list | tuple) and len(each) == 2 for each in given
    ):
        got = "a layer that is no pair" if isinstance(given, list | tuple) else type(given).__name__
        raise TypeError(
            f"{what} must be a sequence of Layer(weights, biases), one a layer, got {got}; what a "
            "backend returned becomes one by its fetch"
        )
    shapes = network.layer_shapes
    if len(params) != len(shapes):
        raise ValueError(f"network {network} has {len(shapes)} layers, got {what} of {len(params)}")
    of = "" if what == "params" else f"{what}, "
    return tuple(
        Layer(
            host_array(f"{of}weights of layer {k}", weights, (o, i), network, dtype).copy(),
            host_array(f"{of}biases of layer {k}", biases, (o,), network, dtype).copy(),
        )
        for k, ((weights, biases), (o, i)) in enumerate(zip(params, shapes, strict=True), start=1)
    )


def layers_of(vector: Array, network: Network) -> Params:
    """Return views of a vector that holds, layer by layer, weights ``[out, in]`` and then biases."""
    layers, at = [], 0
    for o, i in network.layer_shapes:
        split = at + o * i
        layers.append(Layer(vector[at:split].reshape(o, i), vector[split : split + o]))
        at = split + o
    return tuple(layers)


def host_state(state: State | None, optimizer: Optimizer, network: Network, dtype: str) -> State:
    """Return a fresh copy of an optimiser's state, or the state it starts from.

    Raises:
        ValueError: a state of another optimiser or network, or a negative number of updates.
        TypeError: values that are not real numbers.
    """
    if state is None:
        zeros = tuple(Layer(np.zeros((o, i)), np.zeros(o)) for o, i in network.layer_shapes)
        state = State(0, dict.fromkeys(optimizer.moments, zeros))
    if set(state.moments) != set(optimizer.moments):
        got, expected = (", ".join(names) or "none" for names in (state.moments, optimizer.moments))
        raise ValueError(f"optimizer {optimizer} keeps the moments {expected}, got a state with {got}")
    if state.updates < 0 or (state.updates and not optimizer.counts_updates):
        expected = "0 or more updates" if optimizer.counts_updates else "0 updates, since it does not count them"
        raise ValueError(f"a state of optimizer {optimizer} has {expected}, got {state.updates}")
    moments = {name: host_params(state.moments[name], network, dtype, f"moment {name}") for name in optimizer.moments}
    return State(int(state.updates), moments)


def host_batch(
    inputs: ArrayLike, targets: ArrayLike, network: Network, dtype: str, of: int | None = None
) -> tuple[Array, Array]:
    """Return row-major ``inputs [n, inputs]`` and ``targets [n, outputs]``, views of the caller's memory if it fits.

    ``of`` is how many rows the batch has that these are a share of, if it is not these; a share may have no rows.

    Raises:
        ValueError: no rows, shapes that do not fit the network, targets that do not fit its loss, or fewer rows in the
            batch than in its share.
        TypeError: values that are not real numbers.
    """
    rows = np.shape(inputs)[0] if np.ndim(inputs) else 0
    if of is not None:
        checked_of(of, rows)
    elif np.ndim(inputs) == 2 and rows == 0:
        raise ValueError("a batch needs at least one row, got inputs of 0 rows")
    x = host_array("inputs", inputs, (rows, network.inputs), network, dtype)
    if LOSSES[network.loss].targets == "probabilities":
        return x, host_probabilities(targets, rows, network, dtype)
    return x, host_array("targets", targets, (rows, network.outputs), network, dtype)


def checked_of(of: int, rows: int) -> int:
    """Return ``of``, the rows of a whole batch, or raise `ValueError` if ``rows`` of them cannot be a share of it."""
    if of < max(rows, 1):
        raise ValueError(f"a share of {rows} rows is part of a batch of {max(rows, 1)} rows or more, got of={of}")
    return of


def host_probabilities(targets: ArrayLike, rows: int, network: Network, dtype: str) -> Array:
    """Return class probabilities ``[n, outputs]`` from these, or from class numbers ``[n]`` or ``[n, 1]``, integers.

    Raises:
        ValueError: another shape, a class number out of range, a row that is negative or does not sum to one.
        TypeError: values that are not real numbers.
    """
    array = np.asarray(targets)
    if array.dtype.kind in "iub" and array.shape in ((rows,), (rows, 1)):
        return _one_hot(array.reshape(rows).astype(np.int64), network.outputs, dtype)
    if array.dtype.kind == "f" and array.shape in ((rows,), (rows, 1)):
        raise ValueError(
            f"class numbers must be integers, got dtype {array.dtype} of shape {array.shape}: use .astype(int); "
            f"class probabilities have shape {(rows, network.outputs)}"
        )
    y = host_array("targets", targets, (rows, network.outputs), network, "float64")
    sums = y.sum(axis=1)
    for wrong, what in (
        (~(abs(sums - 1) <= SLACK), "sum to {:.6g}, expected 1"),
        ((y < 0).any(axis=1), "sum to {:.6g} with a negative one among them"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"class probabilities of row {row} {what.format(sums[row])}")
    return np.asarray(y / sums[:, None], dtype)


def _one_hot(classes: Array, outputs: int, dtype: str) -> Array:
    wrong = (classes < 0) | (classes >= outputs)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"class number {classes[row]} in row {row} is out of range: {outputs} outputs have classes "
            f"0 to {outputs - 1}"
        )
    y: Array = np.zeros((len(classes), outputs), dtype)
    y[np.arange(len(classes)), classes] = 1
    return y
