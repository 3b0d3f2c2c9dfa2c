"""What a worker is told survives the line to it."""

from dataclasses import fields

from bench.measure.instructions import Assignment, Instructions
from bench.measure.timing import Effort


def test_instructions_survive_the_line():
    """One line of JSON, which reads back as the same object, types and all."""
    told = Instructions(
        3, 1, "package.module:Später", "A/A", 2,
        assignments=(Assignment("3-2-1/relu", 16, "float32", "cpu", "step", 7, 0.05),),
        effort=vars(Effort(timed_s=0.05)),
        cpus=(0, 3),
        cached=frozenset({"3-2-1 n=16 float32 cpu"}),
        steps={"3-2-1 n=16 float32 cpu": 200},
        calls={"3-2-1 n=16 float32 cpu": {"step": 1e-6}},
        machine="box", commit="abc", dirty=False, environment="OMP_PLACES=cores", benchmarks="/somewhere/a.json",
    )  # fmt: skip
    line = told.to_json()
    assert "\n" not in line
    assert Instructions.from_json(line) == told
    assert {field.name for field in fields(Effort)} == set(Instructions.from_json(line).effort)
