"""Which backends there are, whether their framework is installed, and how to get one. Imports no framework itself."""

from __future__ import annotations

import importlib
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.base import Backend, BackendUnavailable, Descent, Network, Optimizer
from backends.installed import entry_points, install_command, is_installed
from backends.ranks import Ranks
from backends.shares import Shares

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from numpy.typing import DTypeLike

ENTRY_POINT_GROUP = "backprop_bench.backends"


@dataclass(frozen=True)
class Entry:
    """One backend that `load` can be asked for.

    Attributes:
        name: what `load` takes.
        target: ``package.module:Class``.
        modules: top-level modules of its framework; all must be importable.
        extra: the extra of this distribution that installs them; empty for a stranger's backend.
        summary: one line for people.
        devices: that it may have, out of `backends.DEVICES`; what it has here, its capabilities say.
        role: ``"best"`` (the fastest the framework allows), ``"idiom"`` (as the framework's documentation would write
            it), ``"variant"`` (another way through the same framework) or ``"plugin"`` (installed from elsewhere).
    """

    name: str
    target: str
    modules: tuple[str, ...] = ()
    extra: str = ""
    summary: str = ""
    role: str = "best"
    devices: tuple[str, ...] = ("cpu", "cuda")

    def missing(self) -> str | None:
        """Return why the framework cannot be imported, without importing it; ``None`` when it is installed."""
        for module in self.modules:
            if not is_installed(module):
                return f"No module named {module!r}"
        return None

    @property
    def remedy(self) -> str:
        """The command that installs what is missing."""
        return install_command(self.extra)


BUILT_IN = (
    Entry("numpy", "backends.numpy_backend:NumpyBackend", ("numpy",), "", "blocked, in place, feature-major"),
    Entry("numba", "backends.numba_backend:NumbaBackend", ("numba",), "numba", "one fused pass of compiled loops"),
    Entry("jax", "backends.jax_backend:JaxBackend", ("jax",), "jax", "jit and grad, one loop or blocks"),
    Entry("torch", "backends.torch_backend:TorchBackend", ("torch",), "torch", "in-place kernels, CPU or CUDA"),
    Entry("numpy-idiom", "backends.idioms.numpy_idiom:NumpyIdiom", ("numpy",), "", "as in the tutorial", "idiom"),
    Entry("numba-idiom", "backends.idioms.numba_idiom:NumbaIdiom", ("numba",), "numba", "plain loops", "idiom"),
    Entry("jax-idiom", "backends.idioms.jax_idiom:JaxIdiom", ("jax", "optax"), "idioms", "optax, jitted", "idiom"),
    Entry(
        "torch-idiom",
        "backends.idioms.torch_idiom:TorchIdiom",
        ("torch",),
        "torch",
        "torch.nn and torch.optim",
        "idiom",
    ),
    Entry(
        "torch-compile",
        "backends.idioms.torch_compile:TorchCompile",
        ("torch",),
        "torch",
        "torch.compile of the step",
        "variant",
    ),
    Entry(
        "torch-fused",
        "backends.idioms.torch_fused:TorchFused",
        ("torch",),
        "torch",
        "torch.compile, narrow networks in few loops",
        "variant",
    ),
    Entry("jax-by-hand", "backends.idioms.jax_by_hand:JaxByHand", ("jax",), "jax", "gradients by hand", "variant"),
    Entry(
        "jax-pallas",
        "backends.idioms.jax_pallas:JaxPallas",
        ("jax",),
        "jax",
        "kernels in Pallas, for a GPU",
        "variant",
        ("cuda",),
    ),
    Entry(
        "torch-triton",
        "backends.idioms.torch_triton:TorchTriton",
        ("torch", "triton"),
        "gpu",
        "kernels in Triton, for a GPU",
        "variant",
        ("cuda",),
    ),
)


def catalogue(*roles: str) -> tuple[Entry, ...]:
    """Return every known backend, built-in ones first; with ``roles``, only those of these roles."""
    known = {entry.name: entry for entry in BUILT_IN}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        known.setdefault(point.name, _from_entry_point(point))
    return tuple(entry for entry in known.values() if not roles or entry.role in roles)


def available(*roles: str) -> tuple[str, ...]:
    """Return the names of the backends whose framework is installed, of role ``"best"`` and ``"plugin"`` by default."""
    return tuple(entry.name for entry in catalogue(*(roles or ("best", "plugin"))) if entry.missing() is None)


def find(name: str) -> type[Backend]:
    """Return the class of a backend: a built-in name, an entry point, or ``package.module:Class``.

    Raises:
        BackendUnavailable: its framework or module cannot be imported.
        ValueError: no backend has that name.
        TypeError: the name leads to something that is not a `Backend`.
    """
    entry = next((entry for entry in BUILT_IN if entry.name == name), None) or _entry_elsewhere(name)
    if reason := entry.missing():
        raise BackendUnavailable(f"backend {name!r} is unavailable: {reason}; {entry.remedy}")
    target = _import(entry)
    if not (isinstance(target, type) and issubclass(target, Backend)):
        raise TypeError(f"backend {name!r} must be a subclass of backends.Backend, got {target!r}")
    return target


def load(
    name: str,
    network: Network,
    dtype: DTypeLike = "float32",
    device: str = "cpu",
    optimizer: Optimizer | None = None,
    threads: int | None = None,
    ranks: Ranks | None = None,
) -> Backend:
    """Return a backend for one network.

    Args:
        name: a built-in name, an entry point of the group ``backprop_bench.backends``, or ``package.module:Class``.
        network: layer sizes, activation and loss.
        dtype: ``"float32"`` or ``"float64"``, or what numpy knows as one of them.
        device: ``"cpu"`` or ``"cuda"``.
        optimizer: what `update`, `step` and `train` do with the gradients; gradient descent by default.
        threads: how many threads it uses, the framework's own choice by default; see `Backend` for its reach.
        ranks: processes that each hold a share of one batch, what ``backends.join()`` returns; see `Shares`. With one
            rank alone it is as without.

    Raises:
        BackendUnavailable: the framework is not installed or the device is not there; says which command helps.
        ValueError: an unknown name, or something that the backend does not have; says what it offers.
        TypeError: the name leads to something that is not a `Backend`, or an argument of another type.
        RanksError: ranks ask for different things.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a backend must be a str such as 'numpy', got {name!r}")
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network such as Network((3, 2, 1)), got {network!r}")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer such as Adam(), got {optimizer!r}")
    if ranks is not None and not isinstance(ranks, Ranks):
        raise TypeError(f"ranks must be what backends.join() returns, got {ranks!r}")
    if not isinstance(device, str):
        raise TypeError(f"device must be 'cpu' or 'cuda', got {device!r}")
    if threads is not None and hasattr(threads, "__index__"):  # of numpy as well; the capabilities refuse the rest
        threads = operator.index(threads)
    kind = find(name)
    dtype = _name_of(dtype)
    kind.capabilities.require(getattr(kind, "name", name), network, dtype, device, optimizer, threads)
    # A backend need not know of these to work without them: its constructor may be `(network, dtype, device)`.
    chosen: dict[str, Any] = {}
    if optimizer not in (None, Descent()):
        chosen["optimizer"] = optimizer
    if threads is not None:
        chosen["threads"] = threads
    backend = kind(network, dtype, device, **chosen)
    return backend if ranks is None or ranks.size == 1 else Shares(backend, ranks)


def _name_of(dtype: DTypeLike) -> str:
    """Return the name of a dtype; of a text that numpy does not know, the text, which no backend offers.

    Raises:
        TypeError: what is no dtype at all.
    """
    try:
        if dtype is None:  # numpy takes it for float64
            raise TypeError
        return np.dtype(dtype).name
    except TypeError:
        if isinstance(dtype, str):
            return dtype
        raise TypeError(f"dtype must be 'float32' or 'float64', got {dtype!r}") from None


def _entry_elsewhere(name: str) -> Entry:
    """Return the entry of an installed distribution's backend, or of a class given by its path."""
    known = {entry.name: entry for entry in catalogue()}
    if name in known:
        return known[name]
    if ":" in name:
        return Entry(name, name, role="plugin")
    raise ValueError(unknown(name))


def unknown(name: str) -> str:
    """Return what to say of a name that no backend has: the one that is most like it, and all that are known."""
    import difflib

    known = [entry.name for entry in catalogue()]
    close = difflib.get_close_matches(name, known)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return f"no backend {name!r}{meant} Known: {', '.join(known)}, or package.module:Class"


def _from_entry_point(point: EntryPoint) -> Entry:
    summary = f"from {point.dist.name} {point.dist.version}" if point.dist else ""
    return Entry(point.name, point.value, role="plugin", summary=summary)


def _import(entry: Entry) -> object:
    module_name, _, class_name = entry.target.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ValueError(f"no backend {entry.name!r}: {module_name!r} is no module; expected package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        remedy = entry.remedy if entry.extra else f"install the package that provides {module_name!r}"
        raise BackendUnavailable(f"backend {entry.name!r} is unavailable: {error}; {remedy}") from error
    except (Exception, SystemExit) as error:  # what a module does when it is imported is its own affair
        reason = f"importing {module_name!r} raised {type(error).__name__}: {error}"
        raise BackendUnavailable(f"backend {entry.name!r} is unavailable: {reason}; mend that module") from error
    try:
        target: object = getattr(module, class_name)
    except AttributeError:
        raise ValueError(f"module {module_name!r} has no {class_name!r}; got backend {entry.name!r}") from None
    return target
