"""Which variables are recorded, and which are said to slow."""

from __future__ import annotations

import pytest

from bench.machine import environment

AVX512 = "avx2 avx512f"


def test_variables_that_change_speed_are_recorded_and_others_are_not():
    """Names of libraries count; paths, versions, the harness's own and empty ones do not; a home folder is ``~``."""
    given = {
        "HOME": "/data/someone",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F",
        "LD_PRELOAD": "/data/someone/lib/jemalloc.so",
        "PYTHONMALLOC": "malloc",
        "OMP_NUM_THREADS": "2",
        "JAX_DISABLE_JIT": "",
        "PYTHONPATH": "/x",
        "PYTHON_VERSION": "3.11",
        "CUDA_HOME": "/cuda",
        "KMP_DUPLICATE_LIB_OK": "True",
        "EDITOR": "vi",
    }
    assert environment.speed_variables(given, ours=("OMP_NUM_THREADS",)) == {
        "LD_PRELOAD": "~/lib/jemalloc.so",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F",
        "OPENBLAS_CORETYPE": "Haswell",
        "PYTHONMALLOC": "malloc",
    }
    assert environment.as_text({"B": "2", "A": "1"}) == "A=1; B=2"


@pytest.mark.parametrize(
    ("name", "value", "features", "says"),
    [
        ("OPENBLAS_CORETYPE", "Haswell", AVX512, "numpy runs AVX2 kernels on an AVX-512 processor; unset it"),
        ("OPENBLAS_CORETYPE", "SkylakeX", AVX512, ""),
        ("OPENBLAS_CORETYPE", "Haswell", "avx2", ""),
        ("OPENBLAS_CORETYPE", "Nehalem", "avx2", "numpy runs Nehalem kernels on an AVX2 processor; unset it"),
        ("JAX_DISABLE_JIT", "1", "", "JAX runs operation by operation; unset it"),
        ("JAX_DISABLE_JIT", "0", "", ""),
        ("NUMBA_CPU_NAME", "generic", "", "numba compiles for generic; unset it"),
        ("NUMBA_OPT", "0", "", "numba compiles at optimisation level 0; unset it"),
        ("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false", "", "JAX computes with one thread; unset it"),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=1", "", ""),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", AVX512, "oneDNN and torch compute with AVX2 alone; unset it"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", AVX512, ""),
        ("SOMETHING", "1", "", ""),
    ],
)
def test_what_slows_is_said_in_one_line_with_its_remedy(name, value, features, says):
    """Each known variable is judged by its value and this processor; a harmless value is not mentioned."""
    expected = (f"{name}={value}: {says}",) if says else ()
    assert environment.slowdowns({name: value}, features) == expected
