"""``python -m bench predict``: saved parameters applied to a table.

Tests: `tests/bench/cli/test_predict.py`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.basics.names import DEVICES
from bench.cli import flags

if TYPE_CHECKING:
    import pyarrow as pa

    from bench.training.kept import KeptRows
    from bench.training.reading import TableFile
    from bench.training.standardise import Floats
    from bench.training.trained_model import TrainedModel


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``predict``."""
    parser.epilog = "Rows keep their order. If the table also holds the targets, R^2 and RMSE go to stderr."
    parser.add_argument("--params", required=True, metavar="FILE", help="what train --save wrote")
    parser.add_argument("--data", required=True, metavar="FILE", help="CSV with a header line, or Parquet")
    parser.add_argument("--out", metavar="FILE", help="FILE.csv or FILE.parquet (default: CSV on stdout)")
    parser.add_argument("--drop-missing", action="store_true", help="predict nan for rows with missing values")
    parser.add_argument("--backend", metavar="NAME", help="default: chosen")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default cpu")
    flags.add_table_form(parser)


def run(args: argparse.Namespace) -> int:
    """Read parameters and rows, predict, write; return the exit status."""
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output, is_replaced
    from bench.basics.formats import counted
    from bench.cli import SUCCESS
    from bench.terminal.terminal import console
    from bench.training.choosing import first_available, load_backend
    from bench.training.kept import KeptRows, in_chunks
    from bench.training.prediction import BLOCK_ROWS, predict_blocks
    from bench.training.reading import check_known, no_row_complete, number_blocks, open_table
    from bench.training.trained_model import load_model

    out = check_output(args.out, "--out", {"--data": args.data, "--params": args.params}) if args.out else None
    if out and out.suffix not in (".csv", ".parquet") and is_replaced(out):
        raise UsageError(f"--out must end in .csv or .parquet, got {args.out!r}")
    model = load_model(args.params)
    file = open_table(args.data, flags.table_form(args))
    check_known(model.inputs.columns, file.names, f"an input of {args.params}", file.path)
    if args.backend:
        backend = load_backend(args.backend, model.network, model.dtype, args.device)
    else:
        backend = first_available(model.network, model.dtype, args.device)
    columns = model.inputs.columns
    read = in_chunks(number_blocks(file, columns, columns, args.drop_missing), BLOCK_ROWS)
    with KeptRows(model.network.outputs) as predicted:  # written when the whole table was found to be readable
        for block in predict_blocks(backend, model.params, model.inputs, model.targets, read):
            predicted.append(block)
        if not predicted.rows:
            raise UsageError(f"{file.path}: {no_row_complete(file, columns, 0)}")
        empty = out is not None and out.suffix == ".parquet"
        _write((_as_table(model, block, empty) for block in predicted.chunks(BLOCK_ROWS)), out)
        if out:
            names = ", ".join(f"predicted_{name}" for name in model.predicted_columns)
            console(stderr=True).print(f"{counted(predicted.rows, 'row')} of {names} written to {out}")
        _score(model, file, predicted)
    return SUCCESS


def _as_table(model: TrainedModel, predicted: Floats, empty: bool) -> pa.Table:
    """Return predictions by column; NaN, if an input was missing, becomes an empty cell if asked for.

    Not in CSV: of a single column that would be an empty line, which readers pass over, so that later rows move up.
    """
    import numpy as np
    import pyarrow as pa

    from bench.basics.formats import printable
    from bench.training.prediction import softmax

    shown = printable if sys.stdout.isatty() else str
    if model.class_column is not None:
        likeliest = np.array(model.targets.columns, object)[predicted.argmax(axis=1)]
        unknown = np.isnan(predicted).any(axis=1)
        columns = {shown(f"predicted_{model.class_column}"): pa.array(likeliest, pa.string(), mask=unknown)}
        probabilities = softmax(predicted)
        for name, column in zip(model.targets.columns, probabilities.T, strict=True):
            columns[shown(f"probability_{name}")] = pa.array(column, from_pandas=empty)
        return pa.table(columns)
    columns = {
        shown(f"predicted_{name}"): pa.array(column, from_pandas=empty)
        for name, column in zip(model.targets.columns, predicted.T, strict=True)
    }
    return pa.table(columns)


def _write(tables: Iterator[pa.Table], path: Path | None) -> None:
    """Write CSV or Parquet, whole or not at all, or CSV to stdout."""
    import pyarrow.csv
    import pyarrow.parquet

    from bench.basics.files import replacing

    first = next(tables)

    def write(writer: pyarrow.csv.CSVWriter | pyarrow.parquet.ParquetWriter) -> None:
        with writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)

    if path is None:
        write(pyarrow.csv.CSVWriter(sys.stdout.buffer, first.schema))
        sys.stdout.flush()
        return
    with replacing(path) as file:
        kind = pyarrow.parquet.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
        write(kind(file, first.schema))


def _score(model: TrainedModel, file: TableFile, predicted: KeptRows) -> None:
    """If the table holds the targets as numbers, show how well the predictions fit, on stderr."""
    import numpy as np

    from bench.basics.errors import UsageError
    from bench.basics.formats import counted
    from bench.terminal.terminal import console, format_percent, table
    from bench.terminal.training import confusion
    from bench.training.classes import Classes
    from bench.training.prediction import ScoreSums, joined, score_classes
    from bench.training.reading import number_blocks

    targets = model.predicted_columns
    err = console(stderr=True)
    if not set(targets) <= set(file.names):
        return
    known = Classes(targets[0], list(model.targets.columns), fixed=True) if model.class_column is not None else None
    at, sums, of_classes = 0, ScoreSums(model.targets), []
    rows_scored = 0
    try:
        for observed in number_blocks(file, targets, targets, allow_missing=True, classes=known):
            said = predicted.part(at, at + len(observed))
            at += len(observed)
            both = ~(np.isnan(said).any(axis=1) | np.isnan(observed).any(axis=1))
            rows_scored += int(both.sum())
            if known and both.any():
                right = observed[both][:, 0].astype(np.intp)
                of_classes.append(score_classes(model.targets.columns, said[both], right))
            elif not known:
                sums.add(said[both], observed[both])
    except UsageError as error:
        err.print(f"Not scored: {error}")
        return
    if not rows_scored:
        err.print("Not scored: no row has both a prediction and its targets.")
        return
    if known:
        classed = joined(of_classes)
        err.print(f"Scored on {counted(rows_scored, 'row')} with the target:")
        err.print(f"accuracy {format_percent(classed.accuracy)}\n")
        err.print(confusion(classed))
        return
    fit = sums.score()
    rows = [(name, fit.r2[name], fit.rmse[name]) for name in targets]
    err.print(f"Scored on {counted(rows_scored, 'row')} with the targets:")
    err.print(table(["target", ("R^2", "right"), ("RMSE", "right")], rows))
