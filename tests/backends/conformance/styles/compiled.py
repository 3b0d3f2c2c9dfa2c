"""A style in C: naive loops, which the compiler may contract, vectorise and unroll."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from backends.base import Array
from tests.backends.conformance.styles.style import Style

SOURCE = """
void product(const REAL *restrict a, const REAL *restrict b, REAL *restrict c, long n, long m, long o)
{
    for (long i = 0; i < n; i++)
        for (long j = 0; j < o; j++) {
            REAL sum = 0;
            for (long k = 0; k < m; k++)
                sum += a[i * m + k] * b[k * o + j];
            c[i * o + j] = sum;
        }
}
"""


class ContractedC(Style):
    """Products in C, compiled for this machine with contraction to fused multiply-adds and reassociation of sums."""

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("cc") else "no C compiler named cc"

    def product(self, a: Array, b: Array) -> Array:
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        made = np.empty((a.shape[0], b.shape[1]), self.dtype)
        places = [ctypes.c_void_p(array.ctypes.data) for array in (a, b, made)]
        _library(self.dtype).product(*places, *(ctypes.c_long(size) for size in (*a.shape, b.shape[1])))
        return made


@cache
def _library(dtype: str) -> ctypes.CDLL:
    real = "float" if dtype == "float32" else "double"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "product.so"
        command = ["cc", "-x", "c", "-", f"-DREAL={real}", "-shared", "-fPIC", "-o", str(made)]
        flags = [
            "-O3",
            "-march=native",
            "-ffp-contract=fast",
            "-fassociative-math",
            "-fno-signed-zeros",
            "-fno-trapping-math",
        ]
        subprocess.run([*command, *flags], input=SOURCE, text=True, check=True, capture_output=True)
        return ctypes.CDLL(str(made))


STYLES = (ContractedC,)
