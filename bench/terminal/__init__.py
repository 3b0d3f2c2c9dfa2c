"""Text for a terminal: the console, tables, curves, one module a command. `bench.cli` prints what it returns."""
