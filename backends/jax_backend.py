"""The network in JAX: gradients by hand in `lax`, feature-major, scanned over blocks of rows, loops inside XLA.

Arrays are feature-major, ``[features, rows]``: XLA's products and sums then run along long contiguous rows. On a CPU
a large batch is cut into blocks that stay in cache, and `lax.scan` adds up their gradients; what is left over is one
more, shorter block. Parameters are one vector, so that a step is dispatched with four arrays instead of seven.

Gradients are written by hand, and products, sums and tanh taken from `lax`: a process that finds everything compiled in
the cache still has to trace, and that takes a third of the time of `jnp` under `value_and_grad` (11 to 15 ms against 35
to 46). Measured for a step in float32 on two cores, time relative to this design, lower quartiles interleaved:

==========================  ==========  ===========  ===========  =============  ================
design                      3-2-1, n=3  3-2-1, 2^14  3-2-1, 2^20  32-64-1, 2^16  64-64-64-1, 2^14
==========================  ==========  ===========  ===========  =============  ================
`value_and_grad` of `jnp`   0.99        1.05         1.09         0.98           1.22
==========================  ==========  ===========  ===========  =============  ================

Blocks of 2, 4, 6, 8 and 12 MiB took 3,610, 3,590, 3,590, 3,590 and 3,600 us at 3-2-1, n = 2^20, 7,640, 6,410, 6,480,
6,190 and 6,500 at 8-32-1, n = 2^18, 7,400, 6,720, 6,760, 7,250 and 7,730 at 32-64-1, n = 2^16, and 7,110, 5,730, 5,810,
6,380 and 6,310 at 64-64-64-1, n = 2^14, where optax takes 21,000, 33,900, 17,700 and 6,800 (lower quartiles,
interleaved, two cores of an EPYC with 32 MiB of last cache); blocks of 4,096 rows whatever their size 4,160, 9,410,
7,170 and 6,930. In float64 at 784-512-10, n = 2^12, 2,048 rows took 70 ms and 4,096 took 82.

On another machine a step at n = 3 took 9.4 us with the parameters as a vector and a placed learning rate, 15.1 without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params, State
from backends.layout import aligned_empty, copy_feature_major

BLOCK_BYTES = 6 << 20
LEAST_ROWS, MOST_ROWS = 2048, 65_536
"""On a CPU a batch is cut into blocks whose inputs and outputs of all layers take so many bytes, or into blocks of so
many rows where these would be shorter or longer; a batch of less than two blocks is not cut.
"""


class Batch(NamedTuple):
    """Whole blocks ``x [blocks, i, rows]``, ``y [blocks, o, rows]`` and the rest ``[i, m]``, ``[o, m]``; either may be
    missing.
    """

    blocks: list[jax.Array] | None
    rest: list[jax.Array] | None


class Tape(NamedTuple):
    """Every layer's output, for whole blocks ``[blocks, size, rows]`` and for the rest ``[size, m]``."""

    blocks: list[jax.Array] | None
    rest: list[jax.Array] | None


class JaxBackend(Backend):
    """JAX on CPU or CUDA."""

    name = "jax"
    block_rows: int
    capabilities = Capabilities(devices=("cpu", "cuda"), compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        try:
            self._device = jax.devices(device)[0]
        except RuntimeError as error:
            raise BackendUnavailable(
                f"backend 'jax' has no device {device!r} here: {str(error).splitlines()[0]}; "
                "on a machine with a GPU: pip install -U 'jax[cuda13]', or ask for device 'cpu'"
            ) from error
        _start_compiler()
        row_bytes = sum(network.sizes) * np.dtype(dtype).itemsize
        self.block_rows = min(max(LEAST_ROWS, BLOCK_BYTES // row_bytes // 16 * 16), MOST_ROWS)
        self._x64 = dtype == "float64"
        self._scope = partial(jax.enable_x64, self._x64)
        self._kernels = _kernels(network.sizes)
        self._step = self._kernels["step"]
        self._rate: tuple[float, Any] = (float("nan"), None)
        self._pending: Any = ()

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> jax.Array:
        self.host_state(state)
        flat = np.concatenate([array.ravel() for layer in self.host_params(params) for array in layer])
        with self._scope():
            return self._start(jax.device_put(flat, self._device, may_alias=False))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        cut = self.device == "cpu" and len(x) >= 2 * self.block_rows
        rows = self.block_rows if cut else len(x) + 1
        split = len(x) // rows * rows
        with self._scope():
            blocks = self._placed(_blocked(x[:split], rows), _blocked(y[:split], rows)) if split else None
            rest = self._placed(*_blocked(x[split:], 0), *_blocked(y[split:], 0)) if split < len(x) else None
            return self._start(Batch(blocks, rest))

    def forward(self, params: jax.Array, batch: Batch) -> Tape:
        with self._scope():
            return self._start(self._kernels["forward"](params, batch))

    def backward(self, params: jax.Array, batch: Batch, tape: Tape) -> tuple[jax.Array, jax.Array]:
        with self._scope():
            return self._start(self._kernels["backward"](params, batch, tape))

    def update(self, params: jax.Array, gradients: jax.Array, learning_rate: float) -> jax.Array:
        with self._scope():
            return self._start(self._kernels["update"](params, gradients, self._placed_rate(learning_rate)))

    def step(self, params: jax.Array, batch: Batch, learning_rate: float) -> tuple[jax.Array, jax.Array]:
        # Entering the scope costs an eighth of a small step.
        if jax.config.jax_enable_x64 == self._x64:  # type: ignore[attr-defined]
            params, loss = self._step(params, batch, self._placed_rate(learning_rate))
        else:
            with self._scope():
                params, loss = self._step(params, batch, self._placed_rate(learning_rate))
        self._pending = loss
        return params, loss

    def train(
        self, params: jax.Array, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[jax.Array, Array]:
        self.capabilities.require(self.name, self.network, minibatches=rows_per_step is not None)
        room = 1 << max(self.checked_steps(steps) - 1, 0).bit_length()  # a power of two: few lengths to compile for
        with self._scope():
            rate = self._placed_rate(learning_rate)
            params, losses = self._kernels["train"](params, batch, rate, steps, room)
            self._pending = losses
            return self.trained(params, np.array(losses)[:steps], learning_rate)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        blocks = [np.asarray(h).transpose(0, 2, 1).reshape(-1, h.shape[1]) for h in tape.blocks or ()]
        rest = [np.asarray(h).T for h in tape.rest or ()]
        if blocks and rest:
            return tuple(np.concatenate(pair) for pair in zip(blocks, rest, strict=True))
        return tuple(np.array(h, order="C") for h in blocks or rest)

    def fetch(self, params: jax.Array) -> Params:
        host, layers, at = np.array(params), [], 0
        for o, i in self.network.layer_shapes:
            split = at + o * i
            layers.append(Layer(host[at:split].reshape(o, i).copy(), host[split : split + o].copy()))
            at = split + o
        return tuple(layers)

    def synchronize(self) -> None:
        jax.block_until_ready(self._pending)

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"jax {jax.__version__}",
            "products": self.capabilities.products,
            "device_name": str(self._device.device_kind),
        }

    def _start(self, results: Any) -> Any:
        """Remember what `synchronize` has to wait for: the newest results, none of which has been donated."""
        self._pending = results
        return results

    def _placed_rate(self, learning_rate: float) -> Any:
        """Return the learning rate on the device, kept from step to step: sending it costs as much as a small step."""
        if self._rate[0] != learning_rate:
            rate = np.dtype(self.dtype).type(learning_rate)
            self._rate = learning_rate, jax.device_put(rate, self._device)
        return self._rate[1]

    def _placed(self, *host: Array) -> list[jax.Array]:
        return [jax.device_put(array, self._device) for array in host]


@lru_cache
def _start_compiler() -> None:
    """Load what the first compilation of a process loads, for 17 ms, lest the first kernel seem to take them."""
    jax.jit(lax.neg).lower(0.0)


def _blocked(rows_major: Array, rows: int) -> Array:
    """Return a copy of ``[n, f]`` as ``[blocks, f, rows]``, one block of all rows where ``rows`` is 0."""
    n, features = rows_major.shape
    rows = rows or n
    blocked = aligned_empty((n // rows, features, rows), rows_major.dtype)
    for k, block in enumerate(blocked):
        copy_feature_major(rows_major[k * rows : (k + 1) * rows], block)
    return blocked


def _layers(sizes: tuple[int, ...], flat: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Return ``(weights [o, i], biases [o])`` of each layer, cut from the vector of all."""
    shapes = list(pairwise(sizes))
    parts = iter(lax.split(flat, [length for i, o in shapes for length in (o * i, o)]))
    return [(next(parts).reshape(o, i), next(parts)) for i, o in shapes]


def _product(a: jax.Array, b: jax.Array, over: tuple[int, int] = (1, 0)) -> jax.Array:
    """Return the sum of products over an axis of ``a`` and one of ``b``, the matrix product by default.

    In the precision of the dtype: JAX's default is TF32 on recent GPUs.
    """
    return lax.dot_general(a, b, (((over[0],), (over[1],)), ((), ())), precision=lax.Precision.HIGHEST)


@lru_cache
def _kernels(sizes: tuple[int, ...]) -> dict[str, Callable[..., Any]]:
    """Return the jitted kernels of one network, shared by all its backends in this process."""

    def outputs(params: jax.Array, x: jax.Array) -> list[jax.Array]:
        h, tape = x, []
        for k, (w, b) in enumerate(_layers(sizes, params), start=1):
            z = _product(w, h)
            z = lax.add(z, lax.broadcast_in_dim(b, z.shape, (0,)))
            h = z if k == len(sizes) - 1 else lax.tanh(z)
            tape.append(h)
        return tape

    def gradients_of_block(
        params: jax.Array, x: jax.Array, y: jax.Array, tape: list[jax.Array], entries: int
    ) -> tuple[jax.Array, jax.Array]:
        error = lax.sub(tape[-1], y)
        loss = lax.div(lax.reduce_sum(lax.mul(error, error), (0, 1)), float(entries))
        g = lax.mul(error, 2 / entries)
        gradients: list[jax.Array] = []
        layers = _layers(sizes, params)
        for k in range(len(layers) - 1, -1, -1):
            h = tape[k - 1] if k else x
            gradients = [_product(g, h, over=(1, 1)).ravel(), lax.reduce_sum(g, (1,)), *gradients]
            if k:
                g = lax.mul(_product(layers[k][0], g, over=(0, 0)), lax.sub(1.0, lax.mul(h, h)))
        return loss, lax.concatenate(gradients, 0)

    def step_of_block(params: jax.Array, x: jax.Array, y: jax.Array, entries: int) -> tuple[jax.Array, jax.Array]:
        return gradients_of_block(params, x, y, outputs(params, x), entries)

    def add_blocks(of_block: Callable[..., Any], params: jax.Array, batch: Batch, *tapes: Any) -> Any:
        """Return the sums of loss and gradients over all blocks and the rest."""
        entries = _entries(batch)
        total = lax.full((), 0, params.dtype), lax.full_like(params, 0)
        if batch.blocks is not None:
            blocks = (*batch.blocks, *(tape.blocks for tape in tapes))

            def add(total: Any, block: Any) -> Any:
                return jax.tree.map(lax.add, total, of_block(params, *block, entries)), None

            total, _ = lax.scan(add, total, blocks)
        if batch.rest is not None:
            rest = of_block(params, *batch.rest, *(tape.rest for tape in tapes), entries)
            total = rest if batch.blocks is None else jax.tree.map(lax.add, total, rest)
        return total

    def forward(params: jax.Array, batch: Batch) -> Tape:
        blocks, rest = batch
        return Tape(
            None if blocks is None else lax.map(partial(outputs, params), blocks[0]),
            None if rest is None else outputs(params, rest[0]),
        )

    def backward(params: jax.Array, batch: Batch, tape: Tape) -> tuple[jax.Array, jax.Array]:
        result: tuple[jax.Array, jax.Array] = add_blocks(gradients_of_block, params, batch, tape)
        return result

    def update(params: jax.Array, gradients: jax.Array, learning_rate: jax.Array) -> jax.Array:
        return lax.sub(params, lax.mul(learning_rate, gradients))

    def step(params: jax.Array, batch: Batch, learning_rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        loss, gradients = add_blocks(step_of_block, params, batch)
        return update(params, gradients, learning_rate), loss

    def train(
        params: jax.Array, batch: Batch, learning_rate: jax.Array, steps: int, room: int
    ) -> tuple[jax.Array, jax.Array]:
        def one(k: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            params, loss = step(state[0], batch, learning_rate)
            return params, lax.dynamic_update_index_in_dim(state[1], loss, k, 0)

        return lax.fori_loop(0, steps, one, (params, lax.full((room,), 0, params.dtype)))

    return {
        "forward": jax.jit(forward),
        "backward": jax.jit(backward),
        "update": jax.jit(update, donate_argnums=0),
        "step": jax.jit(step, donate_argnums=0),
        "train": jax.jit(train, donate_argnums=0, static_argnums=4),
    }


def _entries(batch: Batch) -> int:
    """Return the number of predicted values in a batch, ``n * outputs``."""
    return sum(part[1].size for part in batch if part is not None)
