"""The columns of the table of rows: their types and units, and which records fit them.

Tests: `tests/bench/results/test_results.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.basics.formats import is_text, shortened
from bench.basics.names import ALL_REDUCE, CACHES, DEVICES, DTYPES, OK, PHASES, STATUSES
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd


class Column(NamedTuple):
    """A column of the table: its name, pandas dtype, unit ('' if it has none) and meaning."""

    name: str
    dtype: str
    unit: str
    doc: str


COLUMNS = (
    Column("run", "str", "", "id of the run"),
    Column("machine", "str", "", "id of the machine: readable name and short hash"),
    Column("created", "datetime64[us, UTC]", "UTC", "when the run began"),
    Column("process", "int64", "", "which of the backend's processes, from 0"),
    Column("order", "int64", "", "position of the process in the campaign, from 0"),
    Column("backend", "str", "", "name as asked for"),
    Column("arm", "str", "", "'A/A' for the second copy of one backend, else ''"),
    Column("network", "str", "", "layer sizes, as 3-2-1, and behind them what of the next four is not the default"),
    Column("activation", "str", "", "of the hidden layers: tanh, relu, sigmoid or identity"),
    Column("loss", "str", "", "mse or cross-entropy"),
    Column("optimizer", "str", "", "descent, momentum or adam, with the parameters that are not the default"),
    Column("rows_per_step", "int64", "rows", "rows of a mini-batch; 0 if each step takes the whole batch"),
    Column("batch", "int64", "rows", "rows of one batch"),
    Column("dtype", "str", "", "float32 or float64"),
    Column("device", "str", "", "cpu or cuda"),
    Column("threads", "int64", "threads", "threads asked for"),
    Column("ranks", "int64", "processes", "processes that shared the batch; 1 in runs that did not ask"),
    Column("engine", "str", "", "what the ranks were joined by, '' for one rank"),
    Column("hosts", "int64", "hosts", "host names among the ranks; 1 in runs that did not ask"),
    Column("phase", "str", "", "place, forward, backward, update, step or train; all-reduce between ranks"),
    Column("steps", "int64", "steps", "steps in one call of train, else 1"),
    Column("status", "str", "", "ok, failed, crashed, timeout, out of memory, unavailable or nonconformant"),
    Column("reason", "str", "", "why the status is not ok"),
    Column("median_s", "float64", "s", "median over the kept rounds, of one call; of one step for train"),
    Column("lower_quartile_s", "float64", "s", "lower quartile over the kept rounds, of the same"),
    Column("minimum_s", "float64", "s", "fastest kept round, of the same"),
    Column("rounds", "int64", "rounds", "kept rounds"),
    Column("iterations", "int64", "calls", "calls in one round"),
    Column("set_aside", "int64", "rounds", "rounds set aside because the machine spoiled them"),
    Column("round_s", "object", "s", "list: up to 200 kept rounds, evenly thinned, in order, seconds a call or step"),
    Column(
        "turn_s", "object", "s", "list: median over the kept rounds of each turn, in order, of the same; null if none"
    ),
    Column("first_call_s", "float64", "s", "the first call of this phase in this process: compile and run"),
    Column("compile_s", "float64", "s", "first call less a steady one, never below 0"),
    Column("cache", "str", "", "'cold' or 'warm': the compile cache when the process started"),
    Column("import_s", "float64", "s", "loading the framework and starting its runtime"),
    Column("place_s", "float64", "s", "placing this batch once, all that it needs compiled"),
    Column("place_compile_s", "float64", "s", "compiling what places a batch, the first time in this process"),
    Column("spent_s", "float64", "s", "work on this cell in this process; on a group's first, its load and proof too"),
    Column("peak_bytes", "float64", "bytes", "peak resident memory of the process up to here"),
    Column("flop", "float64", "FLOP", "floating-point operations of one call; of one step for train"),
    Column("bytes_moved", "float64", "bytes", "least bytes to move for one call; for one step of train"),
    Column("cpu_per_wall", "float64", "", "CPU time / wall time over the kept rounds: cores kept busy"),
    Column("involuntary_switches", "int64", "", "times the machine took a core away while rounds were timed"),
    Column("steal_s", "float64", "s", "time that the hypervisor gave to others while rounds were timed, all cores"),
    Column("load_average", "float64", "", "load of the machine over one minute when the cell ended"),
    Column("conformance_ratio", "float64", "", "worst error / bound before timing; above 1 the maths is wrong"),
    Column("conformance_claim", "str", "", "the claim with that worst ratio"),
    Column("conformance_claims", "str", "", "JSON: worst error / bound before timing, by claim; null: not judged"),
    Column("final_ratio", "float64", "", "worst error / bound of the state after timing"),
    Column("conformance_rows", "int64", "rows", "first rows of the batch that were checked, all if time allows"),
)
"""The columns of `load`, in order; behind them come the receipt's, ``receipt_<field>``."""

OF_A_PROCESS: dict[str, type] = {"order": int, "process": int, "backend": str, "status": str}
OF_A_CELL: dict[str, type] = {
    **OF_A_PROCESS, "network": str, "batch": int, "dtype": str, "device": str, "phase": str,
}  # fmt: skip
WORDS = {"dtype": DTYPES, "device": DEVICES, "phase": (*PHASES, ALL_REDUCE), "status": STATUSES}
"""What a text of a cell may be."""

MOST_SHOWN = 60
OF_A_RECEIPT = "receipt_"
TEXTS_OF_A_RECEIPT = tuple(
    f"{OF_A_RECEIPT}{name}" for name in ("environment", "cpu_features", "beside", "tuned", "commit", "framework")
)
"""Those that are read as text; a backend may say anything else of itself."""

LEAST_S, MOST_S = 1e-12, 1e9
SECONDS = f"seconds from {LEAST_S:g} to {MOST_S:g}"
"""No call is shorter, and no campaign longer: a time beyond is damage, and its logarithm would break every fit."""

TIMES = ("median_s", "lower_quartile_s", "minimum_s")
OF_THE_RUN, OF_A_FAILURE = ("run", "machine", "created"), ("reason",)
OF_THE_WORKLOAD = ("activation", "loss", "optimizer", "rows_per_step")
"""Read from the network if a row lacks them, as those of earlier versions do."""

OF_THE_RANKS = ("ranks", "engine", "hosts")
"""What a row of one rank lacks."""

MAY_LACK = (*OF_THE_RUN, *OF_A_FAILURE, *OF_THE_WORKLOAD, *OF_THE_RANKS)
ALWAYS = tuple(column.name for column in COLUMNS if column.name not in MAY_LACK)
"""What a stored row with a time always has."""


def table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return records as a table with all of `COLUMNS`, in order and typed, then the receipt's columns."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    receipt = sorted(str(name) for name in frame.columns if str(name).startswith("receipt_"))
    frame = frame.reindex(columns=[column.name for column in COLUMNS] + receipt)
    frame[["ranks", "hosts"]] = frame[["ranks", "hosts"]].astype(float).fillna(1)
    for column in COLUMNS:
        frame[column.name] = _typed(frame[column.name], column.dtype)
    return frame


def _typed(values: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    """Return a column in its dtype: numbers that are missing are 0 for counts, NaN for figures, texts ''."""
    import pandas as pd

    if dtype.startswith("datetime"):
        return pd.to_datetime(values, utc=True, format="ISO8601").astype(dtype)
    if dtype == "str":
        return values.astype(object).where(values.notna(), "").astype("str")
    if dtype == "object":
        return values.map(lambda item: item if isinstance(item, list) else []).astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.fillna(0).astype(dtype) if dtype == "int64" else numbers.astype(dtype)


def check(record: Mapping[str, Any]) -> None:
    """Make sure that a record of a cell has the columns that are declared, and only those.

    Raises:
        ValueError: one is not declared, or a record with a time lacks one.
    """
    if unknown := undeclared(record):
        raise ValueError(f"no column {unknown[0]!r} is declared in bench.results.COLUMNS")
    lacking = [name for name in ALWAYS if name not in record] if record["status"] == OK else []
    if lacking:
        raise ValueError(f"a row with a time lacks the column {lacking[0]!r}")


def undeclared(names: Iterable[str]) -> list[str]:
    """Return the names that are neither a column, nor one of the receipt, nor a field of the journal."""
    known = {column.name for column in COLUMNS} | {"record", "attempt"}
    return [name for name in names if name not in known and not name.startswith("receipt_")]


def fault(record: Mapping[str, Any]) -> str:
    """Return why a record cannot be a row of the table, '' if it can."""
    kind = record.get("record")
    needed = OF_A_PROCESS if kind == "process" else OF_A_CELL if kind == "cell" else {}
    if not needed:
        return f"neither a cell nor a process: record={kind!r}"
    for name, type_ in needed.items():
        if not isinstance(record.get(name), type_):
            return f"{name} is {record.get(name)!r}, expected {type_.__name__}"
    if kind == "process":
        return ""
    for name, words in WORDS.items():
        if record[name] not in words:
            shown = shortened(repr(record[name]), MOST_SHOWN)
            return f"{name} is {shown}, expected one of {', '.join(words)}"
    if record["batch"] < 1 or not re.fullmatch(r"\d+(-\d+){2,}(/[a-z0-9_=.+-]+)*", record["network"]):
        return f"no shape: network {record['network']!r}, batch {record['batch']}"
    try:
        Workload.parse(record["network"])
    except ValueError as error:
        return str(error)
    if (cache := record.get("cache")) not in (None, *CACHES):
        return f"cache is {shortened(repr(cache), MOST_SHOWN)}, expected one of {', '.join(CACHES)}"
    for name in TIMES if record["status"] == OK else ():
        if not _is_time(value := record.get(name, 1.0)):
            return f"{name} is {shortened(repr(value), MOST_SHOWN)}, expected {SECONDS}"
    for name, value in record.items():
        if name.startswith(OF_A_RECEIPT) and not _fits_receipt(name, value):
            return f"{name} is {shortened(repr(value), MOST_SHOWN)}, expected text"
    return next(filter(None, (_unfit(column, record.get(column.name)) for column in COLUMNS)), "")


def _unfit(column: Column, value: Any) -> str:
    """Return why a value cannot be in a column, '' if it can; a missing value can."""
    if value is None or column.name in OF_THE_RUN:
        return ""
    if column.dtype == "str":
        fits, expected = is_text(value), "text"
    elif column.dtype == "object":
        fits, expected = (
            isinstance(value, list) and all(each is None or _is_time(each) for each in value),
            f"a list of {SECONDS}",
        )
    elif column.dtype == "int64":
        fits, expected = _is_number(value, True) and value >= 0, "a whole number, 0 or more"
    elif column.unit == "s":
        unknown = isinstance(value, float) and math.isnan(value)
        fits, expected = value == 0 or unknown or _is_time(value), f"0 or {SECONDS}"
    else:
        fits, expected = _is_number(value, False), "a number"
    return "" if fits else f"{column.name} is {shortened(repr(value), MOST_SHOWN)}, expected {expected}"


def _fits_receipt(name: str, value: Any) -> bool:
    """Return whether a table can hold a field of a receipt."""
    if value is None or is_text(value):
        return True
    return name not in TEXTS_OF_A_RECEIPT and isinstance(value, bool | int | float)


def _is_time(value: Any) -> bool:
    return _is_number(value, False) and LEAST_S <= value <= MOST_S


def _is_number(value: Any, whole: bool) -> bool:
    """Return whether a value is a number that a column can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (math.inf, -math.inf):
        return False
    return abs(value) < 1 << 63 and value == int(value) if whole else isinstance(value, float) or abs(value) < 1 << 1023
