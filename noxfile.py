"""Everything that this project does for its developers and users, as sessions: ``python noxfile.py -s bench``.

Needs nothing but Python >= 3.11: run as a script, it installs nox for itself where that is missing, in a private
environment below ``.nox``, and goes on with it; ``nox -s ...`` does the same. Sessions share one environment, so that
the frameworks are installed once; what must hold fewer packages (`parity`, `browser`) or more (`peers`) has its own.

An environment is made by uv where there is one, else by pip. Neither is told of an index: both follow the pip
configuration of the machine (``PIP_FIND_LINKS`` and ``PIP_EXTRA_INDEX_URL`` may point to CPU builds of torch).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / ".nox"
PYTHON_VERSION = ".".join(map(str, sys.version_info[:2]))
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
STAMP = "made-from.txt"


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / SCRIPTS / ("python.exe" if os.name == "nt" else "python")


def bootstrap() -> int:
    """Run this file again with a private nox, installed first where it is missing; return the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a script meets every interpreter
        print(f"error: Python 3.11 or later is needed, got {sys.version.split()[0]}", file=sys.stderr)
        return 2
    environment = ENVIRONMENTS / f"bootstrap-{PYTHON_VERSION}"
    if not (environment / SCRIPTS / "nox").exists() and not (environment / SCRIPTS / "nox.exe").exists():
        print(f"nox is not installed: putting it into {environment.relative_to(ROOT)}", flush=True)
        try:
            venv.create(environment, clear=True, with_pip=True)
        except subprocess.CalledProcessError:
            print("error: this Python has no ensurepip; on Debian: apt-get install python3-venv", file=sys.stderr)
            return 2
        install = [python_of(environment), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if status := subprocess.call([*install, "nox>=2024.4.15", "uv>=0.5"]):
            shutil.rmtree(environment)
            return status
    try:
        return subprocess.call([python_of(environment), __file__, *sys.argv[1:]])
    except KeyboardInterrupt:
        return 130


try:
    import nox
except ModuleNotFoundError:
    if __name__ != "__main__":
        raise
    sys.exit(bootstrap())

# Sessions start hundreds of processes: what the first compiles to bytecode, the others read.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

sys.path.insert(0, str(ROOT))
from bench.cli import CHECK_FAILED, COMMANDS  # noqa: E402 - standard library alone, from this checkout

nox.options.sessions = ["lint", "types", "tests", "parity"]
nox.options.default_venv_backend = "none"  # `environment` makes them: shared, stamped, kept

FRAMEWORKS = ("numpy", "numba", "jax", "torch")
SIDE_BY_SIDE = ("-m", "not timing and not browser", "--numprocesses=2", "--dist=worksteal")
"""Options of pytest for two processes: each has its half of the tests, so that few kernels are compiled in both, and
who is done takes from the other."""

LOWEST_TESTS = (
    "tests/bench/report",
    "tests/bench/results",
    "tests/bench/verdicts",
    "tests/bench/training/test_reading.py",
)
"""What leans on the libraries whose versions may be old, and on no framework but numpy."""
NOT_LOWEST = ("test_certify.py", "test_gate_trials.py", "test_thread_choice.py")
"""Among them: many trials of the same verdicts, and campaigns."""


# Environments


def environment(
    session: nox.Session, name: str, *extras: str, resolution: str = "highest", compiled: bool = True
) -> str:
    """Return the interpreter of an environment below ``.nox`` that holds this project and some of its extras.

    Its versions are the newest that fit, or with ``lowest-direct`` the oldest that the project admits, which takes uv.
    All of its modules are compiled to bytecode unless it is for a few processes, which import some of them.

    It is made anew whenever ``pyproject.toml``, the Python version or this folder differs from what its stamp says.
    """
    folder = ENVIRONMENTS / f"{name}-{PYTHON_VERSION}"
    stamp = folder / STAMP
    ingredients = (sys.version, str(ROOT), *extras, (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    made_from = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != made_from:
        session.log(f"Making {folder.relative_to(ROOT)} with extras {', '.join(extras)}: once, about a minute")
        shutil.rmtree(folder, ignore_errors=True)
        install(session, folder, f"{ROOT}[{','.join(extras)}]", resolution, compiled)
        stamp.write_text(made_from)
    return str(python_of(folder))


def install(session: nox.Session, folder: Path, project: str, resolution: str, compiled: bool) -> None:
    """Make a virtual environment and install the project into it, editable: by uv, or by pip where uv cannot."""
    target = str(python_of(folder))
    if uv := find_uv():
        settings = uv_settings()
        try:
            session.run(uv, "venv", "--quiet", "--python", sys.executable, str(folder), env=settings)
            options = ["--quiet", "--resolution", resolution, "--python", target]
            session.run(uv, "pip", "install", *options, "--editable", project, env=settings)
            if compiled:
                compile_bytecode(session, folder)
        except nox.command.CommandFailed:
            if resolution != "highest":
                raise
            session.warn("uv could not install; trying pip")
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return
    session.run(sys.executable, "-m", "venv", str(folder))
    options = ("--quiet", "--disable-pip-version-check")
    session.run(target, "-m", "pip", "install", *options, "--editable", project)


def compile_bytecode(session: nox.Session, folder: Path) -> None:
    """Compile the modules of an environment, on all cores: else the first import of each would pay for it, and may be
    timed. Libraries' own tests, a quarter of all, are left out; a file that is no Python of this version stays.
    """
    options = ("-qq", "-j", "0", "-x", r"[/\\]tests[/\\]")
    packages = folder / ("Lib" if os.name == "nt" else "lib")
    session.run(str(python_of(folder)), "-m", "compileall", *options, str(packages), success_codes=[0, 1], silent=True)


def find_uv() -> str | None:
    """Return the uv beside this interpreter, else the one on the path."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def uv_settings() -> dict[str, str]:
    """Return environment variables that tell uv what the pip configuration of this machine says.

    uv reads none of it, and would fetch from elsewhere, or CUDA builds where pip finds the CPU's. Where pip is told
    nothing and there is no NVIDIA driver, uv is asked for the CPU build of torch; what the caller set for uv stands.
    """
    pip = pip_configuration()
    settings = {
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": pip.get("extra-index-url", ""),
        "UV_CONSTRAINT": pip.get("constraint", ""),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if "extra-index-url" in pip else "",  # as pip does
    }
    told = {"find-links", "index-url", "extra-index-url"} & pip.keys()
    if sys.platform == "linux" and not shutil.which("nvidia-smi") and not told:
        settings["UV_TORCH_BACKEND"] = "cpu"
    return {name: value for name, value in settings.items() if value and name not in os.environ}


def pip_configuration() -> dict[str, str]:
    """Return pip's settings by their long option, from its files and, before them, its environment variables."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    found = {}
    for scope in ("global.", "install.", ":env:."):
        for name, value in settings.items():
            if name.startswith(scope):
                found[name.removeprefix(scope)] = value.strip("'").replace("\\n", " ")
    return found


def shared(session: nox.Session) -> str:
    """Return the interpreter of the environment that most sessions share: every framework and every tool."""
    return environment(session, "shared", "all", "idioms", "test", "lint")


def bench_command(session: nox.Session, *arguments: str) -> None:
    """Run ``python -m bench`` in the shared environment."""
    session.run(shared(session), "-m", "bench", *arguments)


# The project's own health


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format of the source, by ruff; the direction of imports, by import-linter."""
    python = shared(session)
    session.run(python, "-m", "ruff", "check", ".")
    session.run(python, "-m", "ruff", "format", "--check", ".")
    session.run(python, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Types of `backends` and `bench`, by mypy in strict mode."""
    session.run(shared(session), "-m", "mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; arguments after -- go to pytest."""
    python = shared(session)
    if session.posargs:
        session.run(python, "-m", "pytest", *session.posargs)
        return
    session.run(python, "-m", "pytest", *SIDE_BY_SIDE, "--durations=25")
    session.run(python, "-m", "pytest", "-m", "timing", *timed())  # alone: nothing takes the cores of what they measure


def timed() -> list[str]:
    """Return the files of tests that assert times, so that no others are collected for them."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in files if "@pytest.mark.timing" in path.read_text(encoding="utf-8")]


@nox.session
def coverage(session: nox.Session) -> None:
    """The lines and branches that the test suite runs; its tracer makes Python half as slow again."""
    python = shared(session)
    # Without the plugin that the project itself installs, which would import `backends` before coverage starts.
    covered = ("--cov", "--cov-report=", "-p", "no:backends.conformance.plugin")
    session.run(python, "-m", "pytest", *SIDE_BY_SIDE, *covered)
    session.run(python, "-m", "coverage", "report")


@nox.session
@nox.parametrize("framework", FRAMEWORKS, ids=FRAMEWORKS)
def parity(session: nox.Session, framework: str) -> None:
    """One backend proven in an environment that holds only its framework."""
    python = environment(session, f"parity-{framework}", *[framework] * (framework != "numpy"), compiled=False)
    expected = "-".join(sorted({"numpy", framework}))
    only = (
        "import sys, backends; found = '-'.join(sorted(backends.available())); sys.exit(found != sys.argv[1] and found)"
    )
    session.run(python, "-c", only, expected)
    session.run(python, "-m", "bench", "check", "--backend", framework, *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests of tables, verdicts and the page with the lowest versions that ``pyproject.toml`` admits."""
    python = environment(session, "lowest", "test", resolution="lowest-direct", compiled=False)
    few = [f"--ignore-glob=*/verdicts/{name}" for name in NOT_LOWEST]
    session.run(python, "-m", "pytest", "-q", "-m", "not timing", *(session.posargs or [*LOWEST_TESTS, *few]))


@nox.session
def browser(session: nox.Session) -> None:
    """The report in a headless Chromium, which is installed where it is missing."""
    python = environment(session, "browser", "test", "browser", compiled=False)
    session.run(python, "-m", "pytest", "tests/browser", *session.posargs, env={"CHROMIUM": chromium(session, python)})


def chromium(session: nox.Session, python: str) -> str:
    """Return the path of a Chromium: one of this machine, else the distribution's, else playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if not any(map(shutil.which, names)) and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run(
            "apt-get", "update", "-qq", env=quiet, success_codes=range(256)
        )  # one dead mirror is no reason to stop
        session.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", env=quiet)
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    session.run(python, "-m", "playwright", "install", "chromium")
    where = "import playwright.sync_api as p; print(p.sync_playwright().start().chromium.executable_path)"
    return str(session.run(python, "-c", where, silent=True)).strip()


# What users come for


@nox.session
def bench(session: nox.Session) -> None:
    """Which backend for which batch on this machine, in four minutes, six the first time; flags of `run` after --."""
    failed = False  # `run` proves every backend on the very cases that it times, before and after
    try:
        bench_command(session, "run", *(session.posargs or ["--budget", "210s", "--warm"]))
    except nox.command.CommandFailed as error:
        if error.return_code != CHECK_FAILED:
            raise
        failed = True  # a backend that fails costs its own cells: the others are compared, and the end says so
    bench_command(session, "compare")
    bench_command(session, "report")
    bench_command(session, "compare", "--brief")
    session.log(f"The pictures: {ROOT / 'report.html'}")
    session.log("Your own case: python noxfile.py -s recommend -- --network 3-2-1 --batch 5000 --steps 1000")
    if failed:
        session.error("some backend failed; the lines above that start with FAILED say which and why")


@nox.session
def results(session: nox.Session) -> None:
    """Write the figures of README.md and docs/results.md from the stored runs, and draw the README's picture."""
    python = shared(session)
    session.run(python, "docs/write_results.py", *session.posargs)


def add_command_session(command: str, summary: str) -> None:
    """Make a session of one command of the project, which takes the command's flags after --."""

    def run_command(session: nox.Session) -> None:
        bench_command(session, command, *session.posargs)

    run_command.__doc__ = f"{summary[0].upper()}{summary[1:]}."
    nox.session(run_command, name=command)


for name, summary in COMMANDS.items():
    add_command_session(name, summary)


@nox.session
def peers(session: nox.Session) -> None:
    """The same work next to TensorFlow, Keras, scikit-learn, flax, optax and MLX."""
    python = environment(session, "peers", "all", "peers", "test")
    session.run(python, "-m", "bench", "limits", *session.posargs)


if __name__ == "__main__":
    nox.main()
