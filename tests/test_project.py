"""The project as a stranger meets it: what importing costs, what the command line says, what a wheel holds."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from backends.registry import BUILT_IN, ENTRY_POINT_GROUP
from bench import cli

HELP_LIMIT_S = 0.3
MOST_MODULES_OF_HELP = 130
"""With Python's own that `--help` needs; a module takes a third of a millisecond."""


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run a fresh interpreter and return what it prints; fail with its errors when it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported_by(program: str, project: Path) -> set[str]:
    """Return the modules that a program imports in a fresh process."""
    listing = f"import sys\nbefore = set(sys.modules)\n{program}\nprint()\nprint(*set(sys.modules) - before)"
    return set(python("-c", listing, cwd=project).splitlines()[-1].split())


def third_party(modules: set[str]) -> set[str]:
    """Return the top-level modules among some, less Python's own and ours."""
    top = {name.partition(".")[0] for name in modules}
    return {name for name in top - sys.stdlib_module_names - {"backends", "bench"} if not name.startswith("_")}


def tracked_files(project: Path) -> list[Path]:
    """Return the files that git tracks, or skip where this is no checkout."""
    if not (project / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    return [path for name in names.split("\0") if name and (path := project / name).is_file()]


@pytest.fixture(scope="module")
def pyproject(project: Path) -> dict:
    """The contents of ``pyproject.toml``."""
    return tomllib.loads((project / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def readme(project: Path) -> str:
    """The text of the README."""
    return (project / "README.md").read_text()


def test_import_backends_brings_numpy_alone(project):
    """Importing `backends` imports no package but numpy."""
    assert third_party(imported_by("import backends", project)) == {"numpy"}


def test_asking_what_is_available_imports_no_framework(project):
    """`available` finds frameworks without importing them."""
    assert third_party(imported_by("import backends; backends.available()", project)) == {"numpy"}


def test_import_bench_brings_nothing_heavy(project):
    """Importing `bench` imports neither a framework nor pandas."""
    assert third_party(imported_by("import bench, bench.cli", project)) <= {"numpy"}


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_imports_little(project, command):
    """`--help` imports no package and few modules: what it costs by count, however busy the machine is."""
    arguments = [*command.split(), "--help"]
    shown = (
        f"from contextlib import suppress\nfrom bench import cli\nwith suppress(SystemExit):\n    cli.main({arguments})"
    )
    modules = imported_by(shown, project)
    assert third_party(modules) == set()
    assert len(modules) <= MOST_MODULES_OF_HELP


@pytest.mark.timing
def test_help_is_instant(project):
    """`--help` of the command that imports most answers in under 0.3 s: the fastest of several."""
    took_s = []
    for _ in range(7):
        start = time.perf_counter()
        python("-m", "bench", "certify", "--help", cwd=project)
        took_s.append(time.perf_counter() - start)
        if took_s[-1] < HELP_LIMIT_S:
            break
    assert min(took_s) < HELP_LIMIT_S


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_command_keeps_the_protocol(command):
    """Every command is a module of `bench.cli` with `add_flags` and `run`."""
    module = importlib.import_module(f"bench.cli.{command}")
    assert callable(module.add_flags)
    assert callable(module.run)


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_fits_80_columns(command, capsys, monkeypatch):
    """`--help` fits a terminal of 80 columns and says what the command is for."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exited:
        cli.main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert exited.value.code == 0
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert not command or cli.COMMANDS[command][1:20] in " ".join(text.split())


def test_unknown_command_is_wrong_usage(capsys):
    """A command that does not exist ends with status 2 and names those that do."""
    with pytest.raises(SystemExit) as exited:
        cli.main(["measure"])
    assert exited.value.code == 2
    assert "recommend" in capsys.readouterr().err


def test_plain_checkout_needs_no_install(project, tmp_path):
    """Copied sources on PYTHONPATH work where nothing of this project is installed."""
    for package in ("backends", "bench"):
        shutil.copytree(project / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])
    # -S: no path files, so an editable install cannot lend its sources.
    where = python("-S", "-c", "import bench; print(bench.__file__)", cwd=elsewhere, PYTHONPATH=path)
    assert Path(where.strip()).is_relative_to(tmp_path)
    listing = python("-S", "-m", "bench", "backends", cwd=elsewhere, PYTHONPATH=path)
    assert all(entry.name in listing for entry in BUILT_IN if entry.role == "best")


PYTEST_ENTRY_POINT = "backprop_bench_pytest.py"


def test_wheel_holds_both_packages_and_nothing_else(project, tmp_path):
    """A wheel built from the tracked files holds both packages, the entry point for pytest, and nothing else."""
    source = tmp_path / "source"
    for path in tracked_files(project):
        copy = source / path.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    build = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    wheel = tmp_path / python("-W", "ignore", "-c", build, str(tmp_path), cwd=source).split()[-1]
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {
        str(path.relative_to(source)) for name in ("backends", "bench") for path in (source / name).rglob("*.py")
    }
    assert {name for name in held if name.endswith(".py")} == modules | {PYTEST_ENTRY_POINT}
    assert {"backends/py.typed", "bench/py.typed"} <= held
    assert {name.split("/")[0] for name in held} == {"backends", "bench", PYTEST_ENTRY_POINT}


def test_console_script_is_the_module(pyproject):
    """`backprop-bench` runs the same function as `python -m bench`."""
    module, _, function = pyproject["project"]["scripts"]["backprop-bench"].partition(":")
    assert getattr(importlib.import_module(module), function) is cli.main


def test_every_remedy_names_an_extra(pyproject):
    """The extra that a missing backend's message names exists, and `all` has that of every framework and MPI."""
    extras = pyproject["project"]["optional-dependencies"]
    assert {entry.extra for entry in BUILT_IN if entry.extra} <= extras.keys()
    frameworks = {entry.extra for entry in BUILT_IN if entry.extra and entry.role == "best"}
    assert set(re.findall(r"\w+", extras["all"][0].partition("[")[2])) == frameworks | {"mpi"}


def test_parity_has_a_leg_for_each_backend(project):
    """Nox and the workflow run one parity leg for each built-in backend."""
    names = tuple(entry.name for entry in BUILT_IN if entry.role == "best")
    assignments = {
        node.targets[0].id: node.value
        for node in ast.parse((project / "noxfile.py").read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(assignments["FRAMEWORKS"]) == names
    workflow = (project / ".github" / "workflows" / "ci.yml").read_text()
    assert f"backend: [{', '.join(names)}]" in workflow


def test_readme_names_every_command(readme):
    """The README's reference lists every command."""
    assert [name for name in cli.COMMANDS if f"`{name}`" not in readme] == []


def test_readme_names_only_sessions_that_exist(project, readme):
    """Every `noxfile.py -s NAME` of the README is a session."""
    tree = ast.parse((project / "noxfile.py").read_text())
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    named = set(re.findall(r"(?:noxfile\.py|nox) -s ([a-z]+)", readme))
    assert {"bench", "tests"} <= named
    assert named <= sessions | cli.COMMANDS.keys()


def commands_of(page: str) -> list[str]:
    """Return the arguments of every `python -m bench` line in the shell blocks of a page."""
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    return re.findall(r"^python -m bench (.*?) *(?:#.*)?$", shell, re.MULTILINE)


def test_commands_of_the_readme_and_contributing_parse(project, readme, monkeypatch):
    """Every command line that they show has flags that exist and values that they take."""
    parsed = []
    monkeypatch.setattr(cli, "_run", lambda args: parsed.append(args.command) or cli.SUCCESS)
    shown = [*commands_of(readme), *commands_of((project / "CONTRIBUTING.md").read_text())]
    assert [cli.main(shlex.split(line)) for line in shown] == [cli.SUCCESS] * len(shown)
    assert {"recommend", "train", "check", "run", "gate"} <= set(parsed)


def test_readme_programs_run(readme):
    """Every program that the README shows runs as it stands; its own assertions hold."""
    programs = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert any("assert losses" in program for program in programs)
    for program in programs:
        exec(program, {})


def test_backends_page_documents_the_entry_point_group(project):
    """docs/backends.md shows the entry-point group that `backends.load` reads."""
    assert f'[project.entry-points."{ENTRY_POINT_GROUP}"]' in (project / "docs" / "backends.md").read_text()


def test_backends_page_shows_the_example(project):
    """The backend that docs/backends.md shows is the file that the next test proves."""
    source = (project / "examples" / "own_backend.py").read_text()
    assert f"```python\n{source}```" in (project / "docs" / "backends.md").read_text()


def test_readme_is_read_in_a_few_minutes(readme):
    """The README has at most 150 lines, and the answer of `recommend` stands in its first 40."""
    lines = readme.splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("Use ") for line in lines[:40])


def links_of(page: Path) -> list[str]:
    """Return the files that a Markdown page links to or shows."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    return [target for target in targets if "://" not in target]


def test_documents_link_to_files_that_exist(project):
    """Every relative link of the README, CONTRIBUTING and docs leads to a file of the project."""
    pages = [project / "README.md", project / "CONTRIBUTING.md", *sorted((project / "docs").glob("*.md"))]
    broken = [f"{page.name}: {link}" for page in pages for link in links_of(page) if not (page.parent / link).exists()]
    assert broken == []


def test_contributing_names_every_room_and_files_that_exist(project):
    """CONTRIBUTING lists the folders of `bench` and no others, and each file of its tables is there."""
    page = (project / "CONTRIBUTING.md").read_text()
    rooms = {path.parent.name for path in (project / "bench").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `([a-z]+)/` \|", page, re.MULTILINE)) == rooms
    files = {name for line in page.splitlines() if line.startswith("|") for name in re.findall(r"`([\w/]+\.py)`", line)}
    assert len(files) > 15
    assert [name for name in sorted(files) if not any((project / top / name).is_file() for top in ("", "bench"))] == []


@pytest.mark.parametrize("judged", [("--dtype", "float32"), ("--dtype", "float64", "--quick")])
def test_example_backend_passes_the_kit(project, judged):
    """The README's example passes `bench check` as a stranger would run it."""
    python("-m", "bench", "check", "--backend", "examples.own_backend:OwnBackend", *judged, cwd=project)


def test_changelog_has_this_version(project, pyproject):
    """The changelog has a section for the version in `pyproject.toml`."""
    assert f"\n## {pyproject['project']['version']}" in (project / "CHANGELOG.md").read_text()


def test_tracked_files_name_no_folder_of_a_machine(project):
    """No tracked file names a folder of the machine that it was written on."""
    folder = re.compile(r"(?<![\w.$}~/-])/(?:home|root|work|opt|mnt|Users)/\w[^\s\"'`]*")
    named = {
        f"{path.relative_to(project)}: {found.group()}"
        for path in tracked_files(project)
        if path != Path(__file__).resolve()
        for found in folder.finditer(path.read_text(errors="replace"))
    }
    assert named == set()


def test_every_module_has_a_test_or_names_one(project):
    """A module of `backends` or `bench` has a test module of its name, or its docstring names test files that exist."""
    tested = {path.stem.removeprefix("test_") for path in (project / "tests").rglob("test_*.py")}
    without = []
    for path in [path for package in ("backends", "bench") for path in sorted((project / package).rglob("*.py"))]:
        if path.name in ("__init__.py", "__main__.py", "conftest.py") or path.name.startswith("test_"):
            continue
        named = re.findall(r"`(tests/[\w/]+\.py)`", ast.get_docstring(ast.parse(path.read_text())) or "")
        if not (path.stem in tested or (named and all((project / name).is_file() for name in named))):
            without.append(str(path.relative_to(project)))
    assert without == []
