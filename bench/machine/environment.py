"""Environment variables that change the speed of numerical code: which are set, and which are known to slow it down."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

PREFIXES = (
    "OPENBLAS_", "MKL_", "OMP_", "KMP_", "GOMP_", "GOTO_", "BLIS_", "VECLIB_", "XLA_", "JAX_", "NUMBA_", "NPY_",
    "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "ATEN_", "DNNL_", "ONEDNN_", "CUDA_", "CUBLAS_", "NVIDIA_TF32_",
    "TF_XLA_", "TF_NUM_", "TF_ENABLE_", "MALLOC_", "PYTHON",
)  # fmt: skip
NAMES = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES", "NPROC", "TRITON_INTERPRET")

HARMLESS = re.compile(
    r"\w+_(HOME|DIR|PATH|ROOT|VERSION|SHA256|LOGS|LOG_LEVEL)|KMP_(DUPLICATE_LIB_OK|INIT_AT_FORK)"
    r"|PYTHON(PATH|HOME|STARTUP|UNBUFFERED|IOENCODING|UTF8|WARNINGS|SAFEPATH|NOUSERSITE|BREAKPOINT|_\w+|COERCECLOCALE"
    r"|PYCACHEPREFIX|DONTWRITEBYTECODE|USERBASE|EXECUTABLE|PLATLIBDIR|INSPECT|INTMAXSTRDIGITS)"
)
"""Paths, versions, how text is written, and what packages set for themselves on import: they change no speed."""

OPENBLAS_WITHOUT_AVX512 = (
    "haswell", "zen", "sandybridge", "bulldozer", "piledriver", "steamroller", "excavator", "nehalem", "prescott",
    "core2", "penryn", "dunnington", "atom", "barcelona", "bobcat", "opteron", "opteron_sse3", "generic",
)  # fmt: skip
"""Names of OpenBLAS kernels; all behind the first two do not use AVX2 either."""

Slows = Callable[[str, str], str]
"""Value and processor features -> what it does to speed, '' if nothing."""


def speed_variables(environment: Mapping[str, str] | None = None, ours: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that may change speed, by name; a path below the home folder begins with ``~``.

    Args:
        environment: by default this process's.
        ours: names that the harness itself sets, which are the same in every process of a comparison.
    """
    known = os.environ if environment is None else environment
    home = str(Path(known.get("HOME", "/nonexistent")))
    return {
        name: value.replace(home, "~") if len(home) > 1 else value
        for name, value in sorted(known.items())
        if value and name not in ours and _changes_speed(name)
    }


def as_text(variables: Mapping[str, str]) -> str:
    """Return variables as ``NAME=value; NAME=value``."""
    return "; ".join(f"{name}={value}" for name, value in sorted(variables.items()))


def slowdowns(variables: Mapping[str, str], cpu_features: str = "") -> tuple[str, ...]:
    """Return a line for each variable that is known to slow numerical code down: what it does, and the remedy.

    Args:
        variables: as `speed_variables` gives them.
        cpu_features: of this processor, as in the fingerprint.
    """
    lines = []
    for name, value in variables.items():
        if (slows := SLOWS.get(name)) and (effect := slows(value, cpu_features)):
            lines.append(f"{name}={value}: {effect}; unset it")
    return tuple(lines)


def _changes_speed(name: str) -> bool:
    return (name.startswith(PREFIXES) or name in NAMES) and not HARMLESS.fullmatch(name)


def _set(effect: str) -> Slows:
    """Return the rule of a switch: any value but 0, false, off and no has this effect."""
    return lambda value, _: "" if value.lower() in ("0", "false", "off", "no", "") else effect


def _off(effect: str) -> Slows:
    """Return the rule of a switch that helps when it is on."""
    return lambda value, _: effect if value.lower() in ("0", "false", "off", "no") else ""


def _always(effect: str) -> Slows:
    return lambda value, _: effect.format(value=value)


def _openblas_kernels(value: str, features: str) -> str:
    if "avx512f" in features.split() and value.lower() in OPENBLAS_WITHOUT_AVX512:
        kernels = "AVX2" if value.lower() in ("haswell", "zen") else value
        return f"numpy runs {kernels} kernels on an AVX-512 processor"
    if "avx2" in features.split() and value.lower() in OPENBLAS_WITHOUT_AVX512[2:]:
        return f"numpy runs {value} kernels on an AVX2 processor"
    return ""


def _xla_flags(value: str, _: str) -> str:
    slow = {
        "--xla_cpu_multi_thread_eigen=false": "JAX computes with one thread",
        "--xla_cpu_max_isa": "JAX compiles for an older processor",
        "--xla_backend_optimization_level=0": "JAX compiles without optimisation",
        "--xla_backend_optimization_level=1": "JAX compiles with little optimisation",
        "--xla_disable_hlo_passes": "JAX compiles with some passes left out",
        "--xla_dump_to": "JAX writes every compilation to disk",
    }
    return ", ".join(effect for flag, effect in slow.items() if flag in value)


def _blas_path(value: str, features: str) -> str:
    newest = "avx512" if "avx512f" in features.split() else "avx2"
    return f"oneDNN and torch compute with {value} alone" if newest not in value.lower() else ""


SLOWS: Mapping[str, Slows] = {
    "OPENBLAS_CORETYPE": _openblas_kernels,
    "NPY_DISABLE_CPU_FEATURES": _always("numpy's own loops run without {value}"),
    "NUMBA_CPU_NAME": lambda value, _: "" if value in ("host", "native") else f"numba compiles for {value}",
    "NUMBA_CPU_FEATURES": _always("numba compiles for other processor features than this machine's"),
    "NUMBA_DISABLE_JIT": _set("numba compiles nothing"),
    "NUMBA_ENABLE_AVX": _off("numba compiles without AVX"),
    "NUMBA_LOOP_VECTORIZE": _off("numba compiles without vector loops"),
    "NUMBA_OPT": lambda value, _: "" if value in ("3", "max") else f"numba compiles at optimisation level {value}",
    "NUMBA_BOUNDSCHECK": _set("numba checks the bounds of every access"),
    "NUMBA_DEBUGINFO": _set("numba compiles for a debugger"),
    "JAX_DISABLE_JIT": _set("JAX runs operation by operation"),
    "JAX_DEBUG_NANS": _set("JAX checks every result for NaN"),
    "JAX_DEBUG_INFS": _set("JAX checks every result for infinities"),
    "JAX_CHECK_TRACER_LEAKS": _set("JAX checks for leaked tracers"),
    "JAX_ENABLE_CHECKS": _set("JAX checks itself"),
    "JAX_DEFAULT_MATMUL_PRECISION": lambda value, _: "" if value == "default" else f"JAX's products take {value}",
    "XLA_FLAGS": _xla_flags,
    "ONEDNN_MAX_CPU_ISA": _blas_path,
    "DNNL_MAX_CPU_ISA": _blas_path,
    "ATEN_CPU_CAPABILITY": _blas_path,
    "MKL_ENABLE_INSTRUCTIONS": _blas_path,
    "MKL_CBWR": lambda value, _: "" if value.upper() in ("OFF", "AUTO") else "MKL takes slower, reproducible kernels",
    "MKL_DEBUG_CPU_TYPE": _always("MKL is told another processor"),
    "TORCH_COMPILE_DISABLE": _set("torch.compile does nothing"),
    "PYTORCH_JIT": _off("TorchScript runs operation by operation"),
    "TRITON_INTERPRET": _set("Triton's kernels are interpreted"),
    "CUDA_LAUNCH_BLOCKING": _set("every CUDA kernel is waited for"),
    "MALLOC_CHECK_": _set("the C library checks every allocation"),
    "MALLOC_PERTURB_": _set("the C library writes over every allocation"),
    "PYTHONMALLOC": lambda value, _: "Python checks every allocation" if "debug" in value else "",
    "PYTHONDEVMODE": _always("Python runs in development mode"),
    "PYTHONTRACEMALLOC": _set("Python traces every allocation"),
    "PYTHONPROFILEIMPORTTIME": _set("Python times every import"),
}
"""Rules for the variables that people were seen to set. A variable without a rule is recorded and not judged."""
