"""A trained network on disk: safetensors with its columns and their standardisation, enough to predict."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from backends import DTYPES, Layer, Network, Params
from bench.basics.errors import UsageError
from bench.basics.files import write_bytes
from bench.basics.formats import json_ready
from bench.training.standardise import Standardisation

FORMAT = "backprop-bench 1"


@dataclass(frozen=True)
class TrainedModel:
    """Parameters and what they were trained on.

    Attributes:
        network: its first size is the number of input columns, its last that of target columns.
        dtype: of the parameters.
        params: host arrays.
        inputs: names, order and standardisation of the input columns.
        targets: the same for the target columns.
        training: what else is worth keeping: backend, steps, learning rate, seed, scores.
        class_column: of which the targets are the classes; ``None`` if the targets are columns themselves.
    """

    network: Network
    dtype: str
    params: Params
    inputs: Standardisation
    targets: Standardisation
    training: dict[str, Any] = field(default_factory=dict)
    class_column: str | None = None

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """The columns that are predicted."""
        return self.targets.columns if self.class_column is None else (self.class_column,)


def save_model(model: TrainedModel, path: Path) -> None:
    """Write ``model`` to ``path``, whole or not at all."""
    tensors = {}
    for number, layer in enumerate(model.params, start=1):
        for what, array in zip(Layer._fields, layer, strict=True):
            tensors[f"layer{number}.{what}"] = np.ascontiguousarray(array)
    metadata = {
        "format": FORMAT,
        "network": str(model.network),
        "dtype": model.dtype,
        "inputs": _written(model.inputs),
        "targets": _written(model.targets),
        "training": json.dumps(json_ready(model.training)),
    } | ({"class_column": model.class_column} if model.class_column is not None else {})
    write_bytes(path, save(tensors, metadata))


def save_elsewhere(model: TrainedModel) -> Path | None:
    """Write ``model`` into a new folder where there is room, here first; return its path, ``None`` if nowhere."""
    for folder in (Path.cwd, tempfile.gettempdir, lambda: os.path.expanduser("~"), lambda: "/dev/shm"):
        try:  # a folder that can be named is not always there, and temporary ones are written to when they are named
            path = Path(tempfile.mkdtemp(prefix="backprop-bench-", dir=folder())) / "params.safetensors"
            try:
                save_model(model, path)
                return path
            except OSError:
                path.parent.rmdir()
        except OSError:
            continue
    return None


def load_model(path: str | Path) -> TrainedModel:
    """Read what `save_model` wrote.

    Raises:
        UsageError: no such file, or not one that ``train --save`` made; says what is wrong.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UsageError(f"{str(path)!r} is not a file; give a file that python -m bench train --save wrote")
    if not path.is_file():
        raise UsageError(f"no file {str(path)!r}; train --data FILE --target COLUMN --save {path} makes it")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise UsageError(_refused(path, f"not a safetensors file ({error})")) from error
    if metadata.get("format") != FORMAT:
        raise UsageError(_refused(path, f"its format is {metadata.get('format')!r}, expected {FORMAT!r}"))
    try:
        return _checked(metadata, tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(_refused(path, reason)) from error


def _checked(metadata: dict[str, str], tensors: dict[str, Any]) -> TrainedModel:
    """Return the model, or raise `KeyError`, `TypeError` or `ValueError` if the parts do not fit."""
    network, dtype = Network.parse(metadata["network"]), metadata["dtype"]
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}, expected one of {', '.join(DTYPES)}")
    inputs, targets = _read(metadata["inputs"], "inputs"), _read(metadata["targets"], "targets")
    if (len(inputs.columns), len(targets.columns)) != (network.inputs, network.outputs):
        raise ValueError(
            f"network {network} does not fit {len(inputs.columns)} input and {len(targets.columns)} target columns"
        )
    params = []
    for number, (o, i) in enumerate(network.layer_shapes, start=1):
        layer = Layer(tensors[f"layer{number}.weights"], tensors[f"layer{number}.biases"])
        for what, array, shape in zip(Layer._fields, layer, ((o, i), (o,)), strict=True):
            if array.shape != shape or str(array.dtype) != dtype:
                raise ValueError(
                    f"layer{number}.{what} is {array.dtype} {array.shape}, expected {dtype} {shape} for {network}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"layer{number}.{what} holds values that are not finite")
        params.append(layer)
    training = json.loads(metadata.get("training", "{}"))
    return TrainedModel(network, dtype, tuple(params), inputs, targets, training, metadata.get("class_column"))


def _written(columns: Standardisation) -> str:
    """Return JSON; its floats are written with as many digits as give the same float64 back."""
    triples = zip(columns.columns, columns.means, columns.scales, strict=True)
    return json.dumps([{"name": name, "mean": mean, "scale": scale} for name, mean, scale in triples])


def _read(text: str, what: str) -> Standardisation:
    columns = json.loads(text)
    names = tuple(str(column["name"]) for column in columns)
    means, scales = (tuple(float(column[key]) for column in columns) for key in ("mean", "scale"))
    if not all(map(math.isfinite, (*means, *scales))) or min(scales, default=0.0) < 0:
        raise ValueError(f"the standardisation of its {what} is not finite numbers")
    return Standardisation(names, means, scales)


def _refused(path: Path, reason: str) -> str:
    return f"{path} holds no trained network: {reason}; give a file that python -m bench train --save wrote"
