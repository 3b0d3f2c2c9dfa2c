"""What a run leaves on disk, and how to read it back: rows, manifests, journal, export.

frame = bench.results.load()
"""

from bench.basics.names import PHASES, STATUSES
from bench.results.columns import COLUMNS, Column, check, table
from bench.results.rows import cells, load, records, timed
from bench.results.stored import MANIFEST, ROWS, SCHEMA, Run, latest, open_run, resolve, results_root, runs

__all__ = [
    "COLUMNS",
    "MANIFEST",
    "PHASES",
    "ROWS",
    "SCHEMA",
    "STATUSES",
    "Column",
    "Run",
    "cells",
    "check",
    "latest",
    "load",
    "open_run",
    "records",
    "resolve",
    "results_root",
    "runs",
    "table",
    "timed",
]
