"""`action.yml` and the workflows of docs/ci.md: its steps are run as a runner would, the examples name what exists."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from xml.etree import ElementTree

import pytest
import yaml

from bench.cli import parsed
from bench.machine import speed
from tests.bench import theirs

PIP = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "false",  # pip reads it as the value of what the flag switches off
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
SMALL = "--networks 3-2-1 --batches 1 --processes 2"


@pytest.fixture(scope="module")
def action(project):
    """The composite action."""
    return yaml.safe_load((project / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def installed(project, tmp_path_factory):
    """A clone of this checkout as it stands, and an environment in which the action's first step may install it.

    The environment sees the libraries of the one that tests run in, so that nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("runner")
    listed = theirs.git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ":!results")
    for name in filter(None, listed.split("\0")):
        if (project / name).is_file():
            (folder / "action" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "action" / name).write_bytes((project / name).read_bytes())
    venv.create(folder / "environment", with_pip=True, symlinks=True)
    site = folder / "environment" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for old in site.glob("setuptools*"):  # of Python 3.11's own, too old to build this project
        shutil.rmtree(old)
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def substituted(text, inputs):
    """Return a text with the inputs in the place of their expressions."""
    return re.sub(r"\$\{\{\s*inputs\.([\w-]+)\s*\}\}", lambda found: inputs[found[1]], str(text))


def applies(step, inputs):
    """Return whether a step is to be run."""
    if "if" not in step:
        return True
    name, wanted = re.fullmatch(r"inputs\.(\w+) == '(\w*)'", step["if"]).groups()
    return inputs[name] == wanted


def run_steps(action, installed, folder, summary, leave_out=(), **given):
    """Run the steps of the action in a folder as a runner does, some left out; return the last that ran."""
    inputs = {name: str(it["default"]) for name, it in action["inputs"].items()} | given
    done = None
    steps = [it for it in action["runs"]["steps"] if applies(it, inputs) and it["name"] not in leave_out]
    for number, step in enumerate(steps):
        assert step["shell"] == "bash"
        script = summary.parent / f"step-{number}.sh"
        script.write_text(substituted(step["run"], inputs))
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG", speed.VARIABLE) if name in os.environ}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=folder,
            env={
                **kept,
                **{name: substituted(value, inputs) for name, value in step.get("env", {}).items()},
                "PATH": f"{installed / 'environment' / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_ACTION_PATH": str(installed / "action"),
                "GITHUB_STEP_SUMMARY": str(summary),
                **PIP,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            break
    return done


def test_steps_check_and_gate_a_third_partys_backend(action, installed, tmp_path, monkeypatch):
    """Installed by its own first step, the action proves a backend in another repository right, and gates it."""
    folder = theirs.fast_and_now(tmp_path, monkeypatch)
    (folder / "examples").mkdir()
    example = installed / "action" / "examples" / "own_backend.py"
    (folder / "examples" / "own_backend.py").write_text(example.read_text())
    summary = tmp_path / "summary.md"
    checked = run_steps(
        action, installed, folder, summary, backends=theirs.NAME,
        arguments="--dtype float32 --case 3-2-1/n=64/normal/seed=1",
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "All right" in checked.stdout
    assert list(ElementTree.parse(folder / "backprop-bench.xml").getroot().iter("testcase"))
    gate = {"command": "gate", "backends": theirs.NAME, "budget": "3s", "junit": "gate.xml", "arguments": SMALL}
    gated = run_steps(action, installed, folder, summary, ["Install"], against="fast", **gate)
    assert gated.returncode in (0, 1), gated.stdout + gated.stderr
    (cell,) = ElementTree.parse(folder / "gate.xml").getroot().iter("testcase")
    assert cell.get("classname") == theirs.NAME
    assert "1 cell:" in summary.read_text()
    where = [str(installed / "environment" / "bin" / "python"), "-P", "-c", "import bench; print(bench.__file__)"]
    printed = subprocess.run(where, capture_output=True, text=True, check=True, env={}).stdout
    assert str(installed / "environment") in printed
    refused = run_steps(action, installed, folder, summary, ["Install"], against="nosuch", **gate)
    assert refused.returncode == 2
    assert "no such revision" in refused.stderr


def test_other_version_under_another_interpreter_is_a_base(installed, project, tmp_path, monkeypatch):
    """``==0.1.0``, run by ``--python-base``, is a base; a version that is nowhere is wrong usage."""
    folder = theirs.fast_and_now(tmp_path, monkeypatch)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    info = "gated_package-0.1.0.dist-info"
    files = {
        "gated_package/__init__.py": "",
        "gated_package/mine.py": theirs.BACKEND.format(wait_s=100e-6),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: gated-package\nVersion: 0.1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(shelf / "gated_package-0.1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    python = installed / "environment" / "bin" / "python"
    done = {}
    for version in ("0.1.0", "0.2.0"):
        sides = ["--against", f"=={version}", "--python-base", str(python), "--backend", theirs.NAME]
        done[version] = subprocess.run(
            [sys.executable, "-m", "bench", "gate", *sides, *SMALL.split(), "--budget", "2s", "--json",
             "--results", str(tmp_path / "kept")],
            env={**os.environ, **PIP, "PIP_FIND_LINKS": str(shelf), "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    assert done["0.1.0"].returncode in (0, 1), done["0.1.0"].stderr
    document = json.loads(done["0.1.0"].stdout)
    assert document["against"] == "==0.1.0"
    assert [cell["backend"] for cell in document["cells"]] == [theirs.NAME]
    assert done["0.2.0"].returncode == 2
    said = " ".join(done["0.2.0"].stderr.split())
    assert "--against ==0.2.0: ERROR: No matching distribution found for gated_package==0.2.0" in said
    assert theirs.left_over(folder) == []


def fenced(project, language):
    """Return the blocks of docs/ci.md in a language."""
    text = (project / "docs" / "ci.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_documented_workflows_name_what_exists(project, action):
    """Each example is a whole workflow, gives the action inputs that it has, and fetches the base that it gates."""
    commands = []
    for block in fenced(project, "yaml"):
        workflow = yaml.safe_load(block)
        assert workflow[True], "on: is read as a truth value by YAML 1.1"
        for job in workflow["jobs"].values():
            assert job["runs-on"]
            steps = {step["uses"].partition("@")[0]: step.get("with", {}) for step in job["steps"] if "uses" in step}
            given = steps["backprop-bench/backprop-bench"]
            assert set(given) <= set(action["inputs"])
            commands.append(given["command"])
            if given["command"] == "gate":
                assert steps["actions/checkout"]["fetch-depth"] == 0
                assert given["against"] == "origin/${{ github.base_ref }}"
                assert "pull_request" in workflow[True]
    assert sorted(commands) == ["check", "gate"]


def test_documented_commands_parse(project):
    """Every ``python -m bench`` line of docs/ci.md is one that the command line understands."""
    lines = [line for block in fenced(project, "sh") for line in block.splitlines() if "-m bench" in line]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line, comments=True)
        assert parsed(words[words.index("bench") + 1 :]).run


def test_every_input_is_used_and_described(action):
    """No input is without a description, and each is handed to a step."""
    used = set(re.findall(r"inputs\.([\w-]+)", yaml.safe_dump(action["runs"])))
    assert used == set(action["inputs"])
    assert all(it["description"] for it in action["inputs"].values())
