"""From rows to a decision about a job: its total on each backend, times never measured, where the best changes.

Intervals, and what is a tie, slower or undecided, are in `bench.statistics`.
"""
