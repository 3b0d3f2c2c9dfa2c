"""The network as each framework's own documentation would write it: what the tuned backends are held against.

Row-major, ``[n, features]``, no blocks, no reuse of memory, nothing clever. They keep the same contract and pass the
same conformance as the tuned ones, so that the ratio between the two is what the idiom costs.
"""
