"""A block is one fresh process that measures one backend: `child` and `block` run inside it; `process` starts several
and gives them turns over `channel`. What is to be measured stands in `bench.runs.plan`.
"""
