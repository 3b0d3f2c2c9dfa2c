"""Kernels in Triton: proven by its interpreter on a CPU, and compiled for CUDA, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import backends

ENTRY = next(entry for entry in backends.catalogue() if entry.name == "torch-triton")
if reason := ENTRY.missing():
    pytest.skip(f"{reason}; {ENTRY.remedy}", allow_module_level=True)

INTERPRETED = """
import sys
from dataclasses import replace
from backends import Network
from backends.conformance import check_cell
from backends.idioms import fused_plan
from backends.idioms.torch_triton import TorchTriton
from bench.workload.problem import make

class Interpreted(TorchTriton):
    name = "torch-triton-interpreted"
    capabilities = replace(TorchTriton.capabilities, devices=("cpu",))

fused_plan.PROGRAMS, fused_plan.ONE_PROGRAM_ROWS = 2, 300
for text, rows, dtype in [line.split() for line in sys.stdin]:
    problem = make(Network.parse(text), int(rows), dtype)
    backend = Interpreted(problem.network, dtype, "cpu")
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    print(text, rows, dtype, backend.is_fused, report.passed, report.worst)
"""
CASES = [("3-2-1", 3), ("3-2-1", 300), ("3-2-1", 2500), ("3-4-2/relu", 77), ("2-3-2/identity", 1)]


@pytest.mark.skipif(
    tuple(map(int, version("triton").split(".")[:2])) < (3, 9),
    reason="earlier interpreters of Triton fail at a number of steps with numpy 2.4",
)
def test_interpreted_kernels_pass_conformance(project: Path) -> None:
    """In one program and in several, with whole blocks and one that is cut, every claim holds within its bounds."""
    cases = [f"{text} {rows} {dtype}" for text, rows in CASES for dtype in backends.DTYPES]
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        input="\n".join(cases),
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join([str(project), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[:5] for line in done.stdout.splitlines()] == [
        [*case.split(), "True", "True"] for case in cases
    ]


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("name", ["gradients_kernel", "train_kernel"])
def test_kernels_are_compiled_for_cuda(name: str, dtype: str) -> None:
    """Triton compiles each kernel to machine code of an H100 without a GPU, and takes no TF32 for it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from backends.idioms import triton_kernels

    kernel = getattr(triton_kernels, name)
    constants = {"INPUTS": 3, "HIDDEN": 2, "OUTPUTS": 1, "ACTIVATION": "tanh", "ROWS": 256, "BLOCKS": 2}
    types = dict.fromkeys(constants, "constexpr") | {"n": "i32", "steps": "i32"}
    signature = {argument: types.get(argument, f"*{dtype}") for argument in kernel.arg_names}
    compiled = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32))
    assert compiled.asm["cubin"]
    assert "tf32" not in compiled.asm["ptx"]
