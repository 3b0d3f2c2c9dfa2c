"""What is computed: a workload, a problem of it, its counts of work and the memory that it takes."""

from bench.workload.workload import Workload

__all__ = ["Workload"]
