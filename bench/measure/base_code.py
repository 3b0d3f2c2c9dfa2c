"""The code of one side of a gate: a git revision, an installed version or a folder, ready to be imported.

Only the package of the backend under test comes from there. The instrument stays the one that runs, so that both sides
are measured in the same way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends import catalogue
from bench.basics.errors import UsageError
from bench.measure import repository

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds `backends` and `bench`."""

CACHES = ".caches"


@dataclass(frozen=True)
class BaseCode:
    """Where the code of one side is.

    Attributes:
        label: what it was asked for: ``main``, ``==0.1.0`` or a folder.
        revision: the commit, in full; '' if it is no git revision.
        path: a folder to put before all others on the import path.
        python: the interpreter that runs it.
        differing: a line for each dependency that the two sides declare differently.
        dirty: whether the other side, the checkout as it stands, has changes that are not committed.
    """

    label: str
    revision: str
    path: Path
    python: str = sys.executable
    differing: tuple[str, ...] = ()
    dirty: bool = False

    @property
    def caches(self) -> Path:
        """The folder of its compile caches, which go with it."""
        return self.path / CACHES


@contextlib.contextmanager
def base_code(
    spec: str, backends: Sequence[str], python: str | None = None, flag: str = "--against"
) -> Iterator[BaseCode]:
    """Give the code of one side for as long as it is needed; its folder is removed on every way out.

    Args:
        spec: a git revision; ``==VERSION`` of the installed distribution that brings the backends; or a folder.
        backends: names of the backends under test, all from one package.
        python: the interpreter for it, by default the one that runs.
        flag: that ``spec`` was written after, for messages.

    Raises:
        UsageError: there is no such revision, version or folder, or it has no such package.
    """
    package, root = package_of(backends)
    interpreter = checked_interpreter(python) if python else sys.executable
    folder = Path(tempfile.mkdtemp(prefix="backprop-bench-base-"))
    try:
        revision, dirty, differing = "", False, tuple[str, ...]()
        if spec.startswith("=="):
            _install(spec, package, folder, interpreter, flag)
        elif _is_folder(spec):
            _copy(Path(spec), package, folder)
        else:
            top = repository.top_of(root)
            revision = repository.revision(spec, top, flag)
            inside = root.relative_to(top) / package
            _extract(revision, inside, top, folder)
            dirty = _has_changes(top, inside)
            differing = tuple(differing_dependencies(_declared_at(revision, top), _declared(top / "pyproject.toml")))
        if not (folder / package).exists() and not (folder / f"{package}.py").exists():
            raise UsageError(
                f"{flag} {spec}: there is no package {package!r}, which brings {', '.join(backends)}; give a revision "
                "or folder that has it"
            )
        yield BaseCode(spec, revision, folder, interpreter, differing, dirty)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def package_of(backends: Sequence[str]) -> tuple[str, Path]:
    """Return the top-level package that brings the backends, and the folder that it is in.

    Raises:
        UsageError: they come from several packages, or theirs cannot be found.
    """
    targets = {entry.name: entry.target for entry in catalogue()}
    packages = {targets.get(name, name).partition(":")[0].partition(".")[0] for name in backends}
    if len(packages) > 1:
        raise UsageError(f"--against compares two versions of one package, got {', '.join(sorted(packages))}")
    package = packages.pop()
    if package == "backends":
        return package, CHECKOUT
    module_spec = importlib.util.find_spec(package)
    if module_spec is not None and not module_spec.origin and module_spec.submodule_search_locations:
        return package, Path(next(iter(module_spec.submodule_search_locations))).resolve().parent
    if module_spec is None or not module_spec.origin:
        raise UsageError(f"no package {package!r} here; run this in the folder that has it, or install it")
    origin = Path(module_spec.origin).resolve()
    return package, origin.parent.parent if module_spec.submodule_search_locations else origin.parent


def checked_interpreter(python: str) -> str:
    """Return the path of an interpreter that can run a backend's process.

    Raises:
        UsageError: there is none, or it has no numpy.
    """
    path = shutil.which(python)
    if path is None:
        raise UsageError(f"--python-base {python}: there is no such program")
    tried = subprocess.run([path, "-c", "import numpy, pytest, pytest_benchmark"], capture_output=True, text=True)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["it failed"])[-1]
        raise UsageError(f"--python-base {python}: {last}; {shlex.quote(path)} -m pip install backprop-bench")
    return path


def differing_dependencies(base: Sequence[str], change: Sequence[str]) -> Iterator[str]:
    """Yield a line for each declared dependency that only one side has, or that the two declare differently."""
    for line in sorted(set(base) - set(change)):
        yield f"only the base declares {line}"
    for line in sorted(set(change) - set(base)):
        yield f"only the change declares {line}"


def _is_folder(spec: str) -> bool:
    """Return whether a text means a folder: it has a separator or is absolute, and it is there."""
    looks = os.sep in spec or spec in (".", "..")
    return looks and Path(spec).is_dir()


def _has_changes(top: Path, package: Path) -> bool:
    """Return whether tracked files differ from the commit, or the package has files that are not tracked."""
    tracked = repository.git(top, "status", "--porcelain", "--untracked-files=no")
    return bool(tracked.strip() or repository.git(top, "status", "--porcelain", "--", package.as_posix()).strip())


def _install(spec: str, package: str, folder: Path, python: str, flag: str) -> None:
    """Install one version of the distribution that brings a package, without its dependencies."""
    from importlib.metadata import packages_distributions

    names = packages_distributions().get(package, [])
    name = "backprop-bench" if package == "backends" else (names[0] if names else package)
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), f"{name}{spec}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.strip().splitlines() if "[notice]" not in line] or ["pip failed"]
        remedy = "give another version, a git revision or a folder"
        if "No module named pip" in errors[-1]:
            remedy = f"get it: {shlex.quote(python)} -m ensurepip, or {remedy}"
        raise UsageError(f"{flag} {spec}: {errors[-1]}; {remedy}")
    shutil.rmtree(folder / "bench", ignore_errors=True)  # the instrument stays the one that runs


def _copy(source: Path, package: str, folder: Path) -> None:
    """Copy a package from a folder: it is there, or below ``src``."""
    for place in (source, source / "src"):
        if (place / package).is_dir():
            shutil.copytree(place / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
            return
        if (place / f"{package}.py").is_file():
            shutil.copy(place / f"{package}.py", folder)
            return


def _extract(revision: str, inside: Path, top: Path, folder: Path) -> None:
    """Write one package of a revision, a folder or a single file, into a folder."""
    if repository.git(top, "cat-file", "-t", f"{revision}:{inside.as_posix()}").strip() != "tree":
        inside = inside.with_suffix(".py")
    archive = subprocess.run(
        ["git", "-C", str(top), "archive", "--format=tar", revision, "--", inside.as_posix()], capture_output=True
    )
    if archive.returncode:
        return  # no such package there: the caller says so
    with tempfile.TemporaryFile() as file:
        file.write(archive.stdout)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            tar.extractall(folder / ".archive", filter="data")
    shutil.move(folder / ".archive" / inside, folder / inside.name)
    shutil.rmtree(folder / ".archive")


def _declared(pyproject: Path) -> list[str]:
    """Return the dependencies that a ``pyproject.toml`` declares, those of its extras included; none without one."""
    return _requirements(pyproject.read_text(encoding="utf-8")) if pyproject.is_file() else []


def _declared_at(revision: str, top: Path) -> list[str]:
    """Return the dependencies that a revision declares."""
    return _requirements(repository.git(top, "show", f"{revision}:pyproject.toml"))


def _requirements(text: str) -> list[str]:
    try:
        project = tomllib.loads(text).get("project", {})
    except tomllib.TOMLDecodeError:
        return []
    extras = project.get("optional-dependencies", {}).values()
    return [*project.get("dependencies", ()), *(line for lines in extras for line in lines)]
