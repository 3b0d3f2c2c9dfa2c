"""Around a measurement: the plan and its budget, the manifest on disk, and which runs may be compared or relied on.

Rows are read by `bench.results`.
"""
