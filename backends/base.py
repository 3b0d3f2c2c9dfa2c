"""The network, its mathematics written once, and the contract that every backend keeps.

No framework is imported here, and nothing here knows of clocks or files.

The mathematics, for one batch of ``n`` rows, ``X [n, inputs]`` and ``Y [n, outputs]``, and layers ``l = 1 .. L`` with
weights ``W_l [out, in]`` and biases ``b_l [out]``::

    forward     h_0 = X
                z_l = h_{l-1} W_l^T + b_l
                h_l = tanh(z_l)                        hidden layers
                h_L = z_L = predicted                  output layer: no activation
    loss        mean((predicted - Y)^2)                over all N = n * outputs entries
    backward    g_L = 2 (predicted - Y) / N            derivative of the loss by z_L
                dW_l = g_l^T h_{l-1}                   gradient of the weights
                db_l = sum over rows of g_l            gradient of the biases
                g_{l-1} = (g_l W_l) * (1 - h_{l-1}^2)  tanh' from the stored output
    update      W_l <- W_l - learning_rate dW_l,  b_l <- b_l - learning_rate db_l

A kernel names these ``x, y, w, b, z, h, g``, its sizes ``n, i, h, o``, and follows the lines above in this order. Many
keep everything feature-major, ``[features, n]``: the same lines transposed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")


class BackendUnavailable(RuntimeError):
    """A backend's framework or device is not on this machine; the message says why and which command helps."""


class TrainingDiverged(ArithmeticError):
    """Training left the finite numbers.

    Attributes:
        step: index of the first step whose loss is not finite; the number of steps if only the last update overflowed.
        last_finite_loss: the loss before that step, ``None`` if there was none.
        losses: host array ``[steps]`` of every loss, finite or not.
        params: the backend's own parameters after the last step, as ``train`` would have returned them.
    """

    def __init__(self, step: int, losses: Array, params: Any, learning_rate: float) -> None:
        self.step = step
        self.losses = losses
        self.params = params
        self.last_finite_loss = float(losses[step - 1]) if step > 0 else None
        if self.last_finite_loss is None:
            cause = "the first loss is not finite; look for NaN, infinite or very large inputs, targets or parameters"
        else:
            cause = (
                f"last finite loss {self.last_finite_loss:.6g}; lower the learning rate (got {learning_rate:g}) "
                "or scale the data"
            )
        super().__init__(f"training diverged at step {step} of {len(losses)}: {cause}")


class Layer(NamedTuple):
    """Weights ``[out, in]`` and biases ``[out]`` of one layer, or their gradients."""

    weights: Array
    biases: Array


Params = tuple[Layer, ...]
"""One `Layer` for each layer of a network, hidden layers first."""


@dataclass(frozen=True)
class Network:
    """Layer sizes of a dense network: ``(inputs, hidden..., outputs)``, tanh on hidden layers, none on the output.

    Raises:
        ValueError: fewer than three sizes, or a size below one.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = tuple(int(size) for size in self.sizes)
        if sizes != tuple(self.sizes):
            raise ValueError(f"network sizes must be whole numbers, got {self.sizes!r}")
        if len(sizes) < 3 or min(sizes) < 1:
            raise ValueError(
                f"a network needs inputs, at least one hidden layer and outputs, each of size 1 or more, "
                f"got {'-'.join(map(str, sizes)) or 'nothing'}; for example 3-2-1"
            )
        object.__setattr__(self, "sizes", sizes)

    @classmethod
    def parse(cls, text: str) -> Network:
        """Read the command-line form, ``"3-2-1"``.

        Raises:
            ValueError: the text is not whole numbers joined by ``-``.
        """
        if not re.fullmatch(r"\d+(-\d+)*", text.strip()):
            raise ValueError(f"a network is written as sizes joined by '-', for example 3-2-1, got {text!r}")
        return cls(tuple(int(size) for size in text.strip().split("-")))

    def __str__(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def inputs(self) -> int:
        """Features of one row of inputs."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Values predicted for one row."""
        return self.sizes[-1]

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(out, in)`` of each layer's weights."""
        return tuple(zip(self.sizes[1:], self.sizes[:-1], strict=True))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases together."""
        return sum(o * i + o for o, i in self.layer_shapes)


Scope = Literal["process", "processes", "threads"]


@dataclass(frozen=True)
class Capabilities:
    """What a backend says of itself; tests ask this, never its name.

    Attributes:
        dtypes: names out of `DTYPES`.
        devices: names out of `DEVICES` that the framework can drive; one may still be missing on this machine.
        deterministic: where equal input gives equal bits: repeated calls in one ``"process"``, across ``"processes"``
            with the same number of threads, across numbers of ``"threads"``. Empty: no promise.
        products: the precision of matrix products: ``"ieee"`` (that of the dtype), ``"tf32"`` or ``"bf16"``.
        compiles: whether the first call of each shape compiles.
    """

    dtypes: tuple[str, ...] = DTYPES
    devices: tuple[str, ...] = ("cpu",)
    deterministic: frozenset[Scope] = frozenset({"process", "processes"})
    products: Literal["ieee", "tf32", "bf16"] = "ieee"
    compiles: bool = False


class Backend(ABC):
    """One framework's forward, backward, update, step and train of one network.

    A subclass must write the seven abstract methods; `step`, `train`, `synchronize` and `describe` have defaults that
    it may replace by whatever is fastest. Host arrays are row-major numpy arrays; what ``place_*`` returns is the
    backend's own, in any layout.

    Args:
        network: the layer sizes.
        dtype: one of the names in ``capabilities.dtypes``.
        device: one of the names in ``capabilities.devices``.

    Raises:
        ValueError: a dtype or device that the backend does not have.
        BackendUnavailable: the device is not on this machine.
    """

    name: ClassVar[str]
    capabilities: Capabilities = Capabilities()  # of the class; for some networks an instance may promise less

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        for what, got, offered in (
            ("dtype", dtype, self.capabilities.dtypes),
            ("device", device, self.capabilities.devices),
        ):
            if got not in offered:
                raise ValueError(f"backend {self.name!r} has no {what} {got!r}; it offers {', '.join(offered)}")
        self.network = network
        self.dtype = dtype
        self.device = device

    @abstractmethod
    def place_params(self, params: Sequence[Layer]) -> Any:
        """Copy host parameters, ``[out, in]`` and ``[out]`` a layer, to the backend's own. Start with `host_params`."""

    @abstractmethod
    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Any:
        """Copy host ``inputs [n, inputs]`` and ``targets [n, outputs]`` to the backend's own. Start with `host_batch`.

        Raises:
            ValueError: no rows, or shapes that do not fit the network.
            TypeError: values that are not real numbers.
        """

    @abstractmethod
    def forward(self, params: Any, batch: Any) -> Any:
        """Return the tape: every layer's output, kept for `backward`."""

    @abstractmethod
    def backward(self, params: Any, batch: Any, tape: Any) -> tuple[Any, Any]:
        """Return the loss, which ``float()`` takes, and its gradients, in the form of the params."""

    @abstractmethod
    def update(self, params: Any, gradients: Any, learning_rate: float) -> Any:
        """Return ``params - learning_rate * gradients``; may reuse the memory of ``params``."""

    @abstractmethod
    def outputs(self, tape: Any) -> tuple[Array, ...]:
        """Return host copies of every layer's output, ``[n, size]`` each; the last is ``predicted``."""

    @abstractmethod
    def fetch(self, params: Any) -> Params:
        """Return a host copy of params or gradients."""

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, Any]:
        """Forward, backward and update in one; may reuse the memory of ``params``.

        Returns:
            The new params, and the loss *before* the update.
        """
        loss, gradients = self.backward(params, batch, self.forward(params, batch))
        return self.update(params, gradients, learning_rate), loss

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int) -> tuple[Any, Array]:
        """Run ``steps`` steps of gradient descent on one batch; may reuse the memory of ``params``.

        Returns:
            The new params, and the host array ``[steps]`` of losses, each the loss before that step's update.

        Raises:
            TrainingDiverged: a loss or a parameter is not finite.
            ValueError: negative ``steps``.
        """
        losses = []
        for _ in range(self.checked_steps(steps)):
            params, loss = self.step(params, batch, learning_rate)
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
        shapes = self.network.layer_shapes
        if len(params) != len(shapes):
            raise ValueError(f"network {self.network} has {len(shapes)} layers, got params of {len(params)}")
        return tuple(
            Layer(
                self._host_array(f"weights of layer {k}", weights, (o, i)).copy(),
                self._host_array(f"biases of layer {k}", biases, (o,)).copy(),
            )
            for k, ((weights, biases), (o, i)) in enumerate(zip(params, shapes, strict=True), start=1)
        )

    def host_batch(self, inputs: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
        """Return row-major ``inputs`` and ``targets`` in this backend's dtype: views of the caller's memory where it
        fits already, so copy before keeping and never write.

        Raises:
            ValueError: no rows, or shapes that do not fit the network.
            TypeError: values that are not real numbers.
        """
        rows = np.shape(inputs)[0] if np.ndim(inputs) else 0
        if np.ndim(inputs) == 2 and rows == 0:
            raise ValueError("a batch needs at least one row, got inputs of 0 rows")
        x = self._host_array("inputs", inputs, (rows, self.network.inputs))
        y = self._host_array("targets", targets, (rows, self.network.outputs))
        return x, y

    def checked_steps(self, steps: int) -> int:
        """Return ``steps``, or raise `ValueError` where it is negative."""
        if steps < 0:
            raise ValueError(f"steps must be 0 or more, got {steps}")
        return steps

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Return what `train` returns, or raise `TrainingDiverged`; every `train` ends with it."""
        finite = np.isfinite(losses)
        if not finite.all():
            raise TrainingDiverged(int(finite.argmin()), losses, params, learning_rate)
        if not all(np.isfinite(array).all() for layer in self.fetch(params) for array in layer):
            raise TrainingDiverged(len(losses), losses, params, learning_rate)
        return params, losses

    def _host_array(self, what: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return ``values`` as a row-major array of this dtype, or raise an error that names it."""
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be real numbers, got dtype {array.dtype}")
        if array.shape != shape:
            hint = "; a single column is written [n, 1]: use .reshape(-1, 1)" if array.ndim < len(shape) else ""
            raise ValueError(f"{what} must have shape {shape} for network {self.network}, got {array.shape}{hint}")
        return np.require(array, dtype=self.dtype, requirements=["C", "ALIGNED"])
