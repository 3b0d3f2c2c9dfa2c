"""Trained parameters on disk: what is saved is what is loaded, and nothing else is taken for it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends import DTYPES, Layer, Network
from bench.basics.errors import UsageError
from bench.training import trained_model
from bench.training.standardise import Standardisation
from bench.training.trained_model import FORMAT, TrainedModel, load_model, save_elsewhere, save_model

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@st.composite
def models(draw: st.DrawFn) -> TrainedModel:
    """Draw a model of any shape, with any names and any finite numbers."""
    network = Network(tuple(draw(st.lists(st.integers(1, 4), min_size=3, max_size=5))))
    dtype = draw(st.sampled_from(DTYPES))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    params = tuple(
        Layer(random.standard_normal((o, i)).astype(dtype), random.standard_normal(o).astype(dtype))
        for o, i in network.layer_shapes
    )

    def standardisation(count: int) -> Standardisation:
        names = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
        means = draw(st.lists(FINITE, min_size=count, max_size=count))
        scales = draw(st.lists(FINITE.map(abs), min_size=count, max_size=count))
        return Standardisation(tuple(names), tuple(means), tuple(scales))

    facts = {"steps": draw(st.integers(1, 10)), "why": draw(NAMES)}
    return TrainedModel(
        network, dtype, params, standardisation(network.inputs), standardisation(network.outputs), facts
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(models())
def test_saved_model_is_loaded_to_the_bit(tmp_path: Path, model: TrainedModel) -> None:
    """Network, dtype, parameters, names, standardisation and facts survive, and no temporary file stays."""
    path = tmp_path / "params.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert (loaded.network, loaded.dtype, loaded.training) == (model.network, model.dtype, model.training)
    assert (loaded.inputs, loaded.targets) == (model.inputs, model.targets)
    for got, expected in zip(loaded.params, model.params, strict=True):
        for one, other in zip(got, expected, strict=True):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()
    assert os.listdir(tmp_path) == [path.name]


def parts(**changes: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tensors and metadata of a good file, some metadata changed."""
    columns = [{"name": "a", "mean": 1.0, "scale": 2.0}]
    metadata = {
        "format": FORMAT,
        "network": "1-2-1",
        "dtype": "float32",
        "inputs": json.dumps(columns),
        "targets": json.dumps(columns),
        "training": "{}",
    }
    tensors = {
        "layer1.weights": np.ones((2, 1), np.float32),
        "layer1.biases": np.ones(2, np.float32),
        "layer2.weights": np.ones((1, 2), np.float32),
        "layer2.biases": np.ones(1, np.float32),
    }
    return tensors, metadata | changes


def write(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> Path:
    """Write a safetensors file."""
    safetensors.numpy.save_file(tensors, path, metadata)
    return path


def test_the_good_file_of_these_tests_is_loaded(tmp_path: Path) -> None:
    """What the tests below break is whole before."""
    assert load_model(write(tmp_path / "p", *parts())).network == Network((1, 2, 1))


def test_where_no_disk_has_room_nothing_is_saved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room has no folder for temporary files either; that is an answer, not another error."""
    model = load_model(write(tmp_path / "p", *parts()))

    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trained_model.tempfile, "mkdtemp", full)
    monkeypatch.setattr(trained_model.tempfile, "gettempdir", full)
    assert save_elsewhere(model) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other 7"}, "its format is 'other 7'"),
        ({"network": "1-2"}, "a network needs"),
        ({"network": "2-2-1"}, "does not fit 1 input and 1 target"),
        ({"network": "1-3-1"}, r"layer1.weights is float32 \(2, 1\), expected float32 \(3, 1\)"),
        ({"dtype": "float16"}, "dtype 'float16', expected one of float32, float64"),
        ({"dtype": "float64"}, "layer1.weights is float32"),
        ({"inputs": "{"}, "Expecting property name"),
        ({"inputs": "[1]"}, "not subscriptable"),
        ({"inputs": '[{"name": "a", "mean": 1}]'}, "no entry 'scale'"),
        ({"inputs": '[{"name": "a", "mean": 1, "scale": NaN}]'}, "standardisation of its inputs"),
        ({"targets": '[{"name": "a", "mean": 1, "scale": -1}]'}, "standardisation of its targets"),
        ({"training": "["}, "Expecting value"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    """Each part of the metadata is checked, and the message says what is wrong with it."""
    with pytest.raises(UsageError, match=f"holds no trained network: .*{message}"):
        load_model(write(tmp_path / "p", *parts(**changes)))


def test_tensors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """A missing tensor and a value that is not finite are named."""
    tensors, metadata = parts()
    with pytest.raises(UsageError, match=r"no entry 'layer2.biases'"):
        load_model(write(tmp_path / "p", {k: v for k, v in tensors.items() if k != "layer2.biases"}, metadata))
    tensors["layer1.biases"][0] = np.nan
    with pytest.raises(UsageError, match=r"layer1.biases holds values that are not finite"):
        load_model(write(tmp_path / "p", tensors, metadata))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is not there, a text file and a cut file are no trained network."""
    with pytest.raises(UsageError, match="no file"):
        load_model(tmp_path / "absent")
    (tmp_path / "text").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="not a safetensors file"):
        load_model(tmp_path / "text")
    whole = write(tmp_path / "whole", *parts()).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-3])
    with pytest.raises(UsageError, match="not a safetensors file"):
        load_model(tmp_path / "cut")
