"""``python -m bench check``: what it prints, and how it ends."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backends.conformance import check
from bench.cli import main

MUTANT = "backends.conformance.mutants:"
CLAIMS = "outputs,weights gradients,refusals"


def test_command_prints_claims_by_backends_within_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a claim, ratios for both dtypes, the worst case of each, and status 0."""
    assert main(["check", "--backend", "numpy", "backends.conformance.plain:Plain", "--quick", "--claim", CLAIMS]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for expected in ("numpy", "Plain", "weights gradients", "refusals", "numpy float64", "All right"):
        assert expected in text


def test_command_fails_with_the_claim_the_case_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Ascent ends with status 1; the command that it names fails as well."""
    assert main(["check", "--backend", f"{MUTANT}Ascent", "--dtype", "float32", "--quick"]) == 1
    text = capsys.readouterr().out
    assert "FAIL" in text
    first = check(f"{MUTANT}Ascent", quick=True).failures[0]
    (again,) = [line.strip() for line in text.splitlines() if line.strip().startswith("python -m bench")]
    assert again == f"python -m bench check --backend {MUTANT}Ascent --dtype float32 --case {first.case}"
    assert main(again.split()[3:]) == 1


def test_command_writes_a_junit_test_case_for_each_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure tells its ratio, its case and the command that judges it again; a right claim tells its ratio."""
    written = tmp_path / "check.xml"
    names = ["numpy", f"{MUTANT}Ascent"]
    asked = ["check", "--backend", *names, "--dtype", "float32", "--quick", "--claim", "outputs,sign"]
    assert main([*asked, "--junit", str(written)]) == 1
    right, wrong = ElementTree.parse(written).getroot().findall("testsuite")
    assert (right.get("tests"), right.get("failures")) == ("2", "0")
    assert (wrong.get("tests"), wrong.get("failures")) == ("2", "1")
    outputs, sign = wrong.findall("testcase")
    assert "error / bound 0." in outputs.findtext("system-out", "")
    failure = sign.find("failure")
    assert failure is not None
    assert "error / bound inf on 3-2-1/n=3/tutorial" in failure.get("message", "")
    assert "python -m bench check --backend" in (failure.text or "")


def test_command_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but JSON on stdout, with every claim of every report."""
    assert main(["check", "--backend", "numpy", "--dtype", "float64", "--quick", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert [report["dtype"] for report in document["reports"]] == ["float64"]
    assert {claim["status"] for claim in document["reports"][0]["claims"]} == {"pass"}


@pytest.mark.parametrize(
    "arguments", [["--case", "3-2-1/n=64/tanh/seed=9"], ["--network", "4-3-2", "--quick", "--dtype", "float32"]]
)
def test_command_judges_one_case_or_one_network(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A case by any name of the form, or the stated cases of one network."""
    assert main(["check", "--backend", "numpy", *arguments]) == 0
    assert "All right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "numpi"], "did you mean 'numpy'"),
        (["--backend", "numpy", "--dtype", "float16"], "no dtype 'float16'"),
        (["--backend", "numpy", "--device", "cuda"], "no device 'cuda'"),
        (["--backend", "no.such.module:Class"], "no.such.module"),
        (["--case", "anything"], "a case is written like"),
        (["--case", "3-2-1/n=8/normal", "--network", "3-2-1"], "leave out --network"),
        (["--case", "3-2-1/n=8/normal", "--claim", "state"], "leave out --case"),
        (["--claim", "beauty"], "no claim 'beauty'"),
        (["--deep", "--quick"], "--deep and --quick are opposites"),
    ],
)
def test_command_refuses_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and one line that says what is wrong."""
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_command_prints_plain_lines_without_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With numpy alone there is a line a claim, each failure with its command, and the same verdict."""
    monkeypatch.setattr("bench.cli.check.find_spec", lambda name: None)
    for module in ("rich", "rich.text", "bench.terminal.terminal", "bench.terminal.conformance"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    asked = ["check", "--backend", f"{MUTANT}Ascent", "--dtype", "float32", "--quick", "--claim", "outputs,sign"]
    assert main(asked) == 1
    text = capsys.readouterr().out
    lines = [" ".join(line.split()[2:4]) for line in text.splitlines()[:2]]
    assert lines == ["outputs pass", "sign fail"]
    assert f"  python -m bench check --backend {MUTANT}Ascent" in text
    assert "not right" in text.splitlines()[-1]
