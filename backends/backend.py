"""The contract that every backend keeps. No framework, no clocks, no files.

Tests: `tests/backends/test_contract.py`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from backends import host
from backends.capabilities import Capabilities
from backends.errors import TrainingDiverged
from backends.network import Array, Layer, Network, Params
from backends.optimizers import Descent, Optimizer, State


class Backend(ABC):
    """One framework's forward, backward, update, step and train of one network.

    A subclass must write the seven abstract methods. The others have defaults that it may replace by whatever is
    fastest; for what they cannot give, its capabilities say that it is there, and it writes the method. Host arrays are
    row-major numpy arrays; what ``place_*`` returns is the backend's own, in any layout. One thread at a time uses a
    backend: it may keep scratch memory from call to call.

    Args:
        network: layer sizes, activation and loss.
        dtype: one of the names in ``capabilities.dtypes``.
        device: one of the names in ``capabilities.devices``.
        optimizer: what `update`, `step` and `train` do with the gradients; gradient descent by default.
        threads: how many threads to use; the framework's own choice by default. It holds for the whole process if the
            framework has one number for the process, as torch and BLAS libraries have: the latest backend loaded
            decides.

    Raises:
        ValueError: something that the backend does not have; the message says what it offers.
        BackendUnavailable: the device is not on this machine.
    """

    name: ClassVar[str]
    capabilities: Capabilities = Capabilities()  # of the class; for some networks an instance may promise less
    optimizer: Optimizer = Descent()
    threads: int | None = None
    block_rows: int | None = None
    """Rows from which a batch is cut into blocks, if it is; conformance tries batches around it, and warns of errors
    larger than sums of the sums of blocks have."""
    captured_steps: int | None = None
    """Steps from which `train` works in another way, if it does; conformance tries as many."""

    def __init__(
        self,
        network: Network,
        dtype: str = "float32",
        device: str = "cpu",
        optimizer: Optimizer | None = None,
        threads: int | None = None,
    ) -> None:
        self.capabilities.require(self.name, network, dtype, device, optimizer, threads)
        self.network = network
        self.dtype = dtype
        self.device = device
        self.optimizer = optimizer or Descent()
        self.threads = threads

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the backend was loaded with, for another process to load it anew.

        Scratch memory, threads and addresses of compiled code are of this process. What was placed stays here as well:
        send what `fetch` and `fetch_state` return.
        """
        chosen: dict[str, Any] = {} if self.optimizer == Descent() else {"optimizer": self.optimizer}
        if self.threads is not None:
            chosen["threads"] = self.threads
        return partial(type(self), self.network, self.dtype, self.device, **chosen), ()

    @abstractmethod
    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Copy host parameters, ``[out, in]`` and ``[out]`` a layer, and the optimiser's state to the backend's own.

        Without a state the optimiser starts afresh. Start with `host_params` and `host_state`.

        Raises:
            ValueError: shapes that do not fit the network, or a state of another optimiser.
            TypeError: values that are not real numbers.
        """

    @abstractmethod
    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Any:
        """Copy host ``inputs [n, inputs]`` and ``targets [n, outputs]`` to the backend's own. Start with `host_batch`.

        Targets of cross-entropy are class probabilities, or class numbers: integers ``[n]`` or ``[n, 1]``.

        With ``shares`` in its capabilities it takes ``of: int | None = None`` too, the rows of the batch that these are
        a share of, by default these: loss and gradients are then their part of those of the batch, divided by its
        number of rows from the start, so that the parts of all shares add up. A share may have no rows.

        Raises:
            ValueError: no rows, shapes that do not fit the network, or targets that do not fit its loss.
            TypeError: values that are not real numbers.
        """

    @abstractmethod
    def forward(self, params: Any, batch: Any) -> Any:
        """Return the tape: every layer's output, kept for `backward`.

        A tape may be kept in a wider type than `outputs` shows it in, or in any form from which `backward` can compute
        it again: gradients then differ from those of the tape as shown, by no more than the roundings on the way from
        the inputs explain.
        """

    @abstractmethod
    def backward(self, params: Any, batch: Any, tape: Any) -> tuple[Any, Any]:
        """Return the loss, which ``float()`` takes, and its gradients, in the form of the params."""

    @abstractmethod
    def update(self, params: Any, gradients: Any, learning_rate: float) -> Any:
        """Return the params after one update of the optimiser; may reuse the memory of ``params``.

        The rate is a Python or numpy number, of either sign; it is rounded to the dtype once, and infinite if it lies
        beyond its largest number. `checked_rate` raises the error. The same holds for `step` and `train`.

        Raises:
            TypeError: the rate is no real number.
        """

    @abstractmethod
    def outputs(self, tape: Any) -> tuple[Array, ...]:
        """Return host copies of every layer's output, ``[n, size]`` each; the last is ``predicted``."""

    @abstractmethod
    def fetch(self, params: Any) -> Params:
        """Return a host copy of params or gradients."""

    def fetch_state(self, params: Any) -> State:
        """Return a host copy of the optimiser's state; with it `place_params` goes on, bit for bit, where this was."""
        if self.optimizer.moments:
            raise NotImplementedError(f"backend {self.name!r} offers {self.optimizer.name!r} without fetch_state")
        return State(0, {})

    def message(self, params: Any, batch: Any) -> Array:
        """Return gradients and loss of a batch or a share as one new host vector ``[gradients..., loss]``.

        Messages of the shares of a batch add up to that of the batch. The order of the gradients is the backend's own.
        """
        loss, gradients = self.backward(params, batch, self.forward(params, batch))
        flat = [array.ravel() for layer in self.fetch(gradients) for array in layer]
        return np.concatenate([*flat, [float(loss)]], dtype=self.dtype)

    def from_message(self, message: Array) -> tuple[Any, Any]:
        """Return the loss, and the gradients for `update`, of a message, whose memory they may share.

        By default params are placed, since gradients have their form. A backend whose params hold an optimiser's state
        as well, and its gradients do not, writes this method.
        """
        return message[-1], self.place_params(host.layers_of(message, self.network))

    def gradients(self, params: Any, batch: Any) -> tuple[Any, Any]:
        """Return loss and gradients of a batch or a share, as `backward` does, without a tape."""
        return self.from_message(self.message(params, batch))

    def host_memory(self, batch: Any) -> Sequence[Array] | None:
        """Return the contiguous host arrays that hold a batch: what is written to them is what the batch holds.

        With it, chunks of a batch on disk are read straight into place. ``None`` if there are none.
        """
        return None

    def cut(self, batch: Any, start: int, stop: int, of: int | None = None) -> Any:
        """Return rows ``start`` to ``stop`` as a share of a batch of ``of`` rows, by default as a batch.

        It may share the memory of ``batch``. Mini-batches of shares need it.
        """
        raise NotImplementedError(f"backend {self.name!r} offers shares and mini-batches without cut")

    def split(self, batch: Any, rows_per_step: int) -> Sequence[Any]:
        """Return the batch as consecutive batches of ``rows_per_step`` rows; the last may be shorter.

        They may share its memory. `checked_rows` raises the errors. Those of a share are batches by themselves.

        Raises:
            ValueError: ``rows_per_step`` is below one or more than the rows; or no mini-batches here.
        """
        self.capabilities.require(self.name, self.network, minibatches=True)
        raise NotImplementedError(f"backend {self.name!r} offers mini-batches without split")

    def reorder(self, batch: Any, order: ArrayLike) -> Any:
        """Return a new batch, on the device, whose row ``k`` is row ``order[k]`` of this one.

        Start with `checked_order`.

        Raises:
            ValueError: ``order [n]`` does not hold every row number once; or no mini-batches here.
        """
        self.capabilities.require(self.name, self.network, minibatches=True)
        raise NotImplementedError(f"backend {self.name!r} offers mini-batches without reorder")

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, Any]:
        """Forward, backward and update in one; may reuse the memory of ``params``.

        Returns:
            The new params, and the loss *before* the update.
        """
        loss, gradients = self.backward(params, batch, self.forward(params, batch))
        return self.update(params, gradients, learning_rate), loss

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Run ``steps`` steps on one batch; may reuse the memory of ``params``.

        With ``rows_per_step`` each step takes the next rows, in order, from the first row on; a pass over the batch
        ends with a shorter step if the rows do not divide evenly, so that every pass takes ``ceil(n / rows_per_step)``
        steps and every row once. Then the next pass begins, at the first row. Each call begins at the first row.

        Returns:
            The new params, and the host array ``[steps]`` of losses: of each step's own rows, before its update.

        Raises:
            TrainingDiverged: a loss or a parameter is not finite.
            ValueError: negative ``steps``; ``rows_per_step`` below one or more than the rows, or no mini-batches here.
        """
        parts = [batch] if rows_per_step is None else self.split(batch, rows_per_step)
        losses = []
        for k in range(self.checked_steps(steps)):
            params, loss = self.step(params, parts[k % len(parts)], learning_rate)
            losses.append(loss)
        return self.trained(params, np.array([float(loss) for loss in losses], self.dtype), learning_rate)

    def synchronize(self) -> None:  # noqa: B027 - a synchronous backend has nothing to wait for
        """Return when all work handed to the device is done."""

    def describe(self) -> dict[str, str | int]:
        """Facts that a fair comparison needs, as observed: framework, threads, precision of products, device."""
        return {"products": self.capabilities.products}

    def host_params(self, params: Sequence[Layer]) -> Params:
        """Return fresh row-major copies of ``params`` in this backend's dtype.

        Raises:
            ValueError: shapes that do not fit the network.
            TypeError: values that are not real numbers.
        """
        return host.host_params(params, self.network, self.dtype)

    def host_state(self, state: State | None) -> State:
        """Return a fresh copy of an optimiser's state in this backend's dtype; of ``None``, that of the start.

        Raises:
            ValueError: a state of another optimiser or network.
            TypeError: values that are not real numbers.
        """
        return host.host_state(state, self.optimizer, self.network, self.dtype)

    def host_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> tuple[Array, Array]:
        """Return row-major ``inputs`` and ``targets`` ``[n, outputs]`` in this backend's dtype.

        With ``of``, the rows of the batch that these are a share of, there may be no rows.

        Views of the caller's memory if it fits already, so copy before keeping and never write. Class numbers come
        as probabilities, and probabilities divided by their sum.

        Raises:
            ValueError: no rows, shapes that do not fit the network, targets that do not fit its loss, or ``of`` below
                the number of rows.
            TypeError: values that are not real numbers.
        """
        return host.host_batch(inputs, targets, self.network, self.dtype, of)

    def not_placed(self, params: Any, batch: Any) -> TypeError:
        """Return the error of a call with params or a batch that this backend has not placed."""
        got = f"{type(params).__name__} and {type(batch).__name__}"
        return TypeError(
            f"backend {self.name!r} takes params that its place_params, step or train returned, and a batch of its "
            f"place_batch, got {got}"
        )

    def checked_steps(self, steps: int) -> int:
        """Return ``steps`` as an int, or raise `ValueError` if it is negative, `TypeError` if it is no whole number."""
        number = _whole("steps", steps)
        if number < 0:
            raise ValueError(f"steps must be 0 or more, got {steps}")
        return number

    def checked_rate(self, learning_rate: float) -> float:
        """Return ``learning_rate`` as a float, or raise `TypeError` if it is no real number.

        A whole number beyond the floats is infinite.
        """
        return host.rate_of(learning_rate)

    def checked_rows(self, rows_per_step: int, rows: int) -> int:
        """Return ``rows_per_step``, or raise `ValueError` if a batch of ``rows`` has no such mini-batches."""
        self.capabilities.require(self.name, self.network, minibatches=True)
        number = _whole("rows_per_step", rows_per_step)
        if not 1 <= number <= rows:
            raise ValueError(f"rows_per_step must be from 1 to the {rows} rows of the batch, got {rows_per_step}")
        return number

    def checked_order(self, order: ArrayLike, rows: int) -> Array:
        """Return a copy of ``order [rows]``, or raise `ValueError` if it does not hold every row number once."""
        numbers = np.asarray(order)
        if numbers.dtype.kind not in "iu" or numbers.shape != (rows,):
            raise ValueError(
                f"an order of {rows} rows is an integer array of shape {(rows,)}, got {numbers.dtype} {numbers.shape}"
            )
        if numbers.min() < 0 or numbers.max() >= rows or not np.bincount(numbers, minlength=rows).all():
            raise ValueError(f"an order holds every row number from 0 to {rows - 1} once, got one that does not")
        return np.array(numbers, np.intp)

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Return what `train` returns, or raise `TrainingDiverged`; every `train` ends with it."""
        finite = np.isfinite(losses)
        if not finite.all():
            raise TrainingDiverged(int(finite.argmin()), losses, params, self.checked_rate(learning_rate))
        if not all(np.isfinite(array).all() for layer in self.fetch(params) for array in layer):
            raise TrainingDiverged(len(losses), losses, params, self.checked_rate(learning_rate))
        return params, losses


def _whole(what: str, number: int) -> int:
    """Return a number that need not be Python's own as an int."""
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{what} must be a whole number, got {number!r}") from None
