"""The words that are defined once."""

import subprocess
import sys
import typing

import backends
from bench.basics import names
from bench.workload import work


def test_phases_dtypes_and_devices_are_those_of_the_other_packages():
    """What is named here so that nothing heavy need be imported is what `backends` offers and `work` can count."""
    assert names.DTYPES == backends.DTYPES
    assert names.DEVICES == backends.DEVICES
    assert names.PHASES == typing.get_args(work.Phase) == work.PHASES


def test_names_import_the_standard_library_alone(project):
    """Any module may import them: no numpy comes along."""
    code = "import sys, bench.basics.names; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=project).returncode == 0
