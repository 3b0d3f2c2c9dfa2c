"""Measure the backends, compare them, and recommend one: the instrument and what it concludes.

Importing this package imports neither a framework nor pandas.
"""
