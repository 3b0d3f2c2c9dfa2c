"""A table of houses for the tests of ``train`` and ``predict``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.bench.cli.house_prices import ROWS


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table of five inputs, one of them constant and one boolean, and two targets that depend on them."""
    random = np.random.default_rng(0)
    area, rooms, noise = random.uniform(30, 200, ROWS), random.integers(1, 7, ROWS), random.standard_normal(ROWS)
    garden = random.random(ROWS) < 0.5
    columns = {
        "area": area,
        "rooms": rooms,
        "garden": garden,
        "year": [2024] * ROWS,
        "price": 1e5 + 3000 * area + 2e4 * rooms + 5e4 * garden + 500 * noise,
        "rent": 10 * area + 5 * noise,
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "houses.parquet")
    path = tmp_path / "houses.csv"
    pa.csv.write_csv(pa.table(columns), path)
    return path
