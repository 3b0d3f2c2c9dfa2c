"""Write the figures of README.md and docs/results.md from the stored runs: ``python docs/write_results.py``.

A figure stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``, and the function of that name below makes it
from the runs in `RUNS`. A test holds the committed files against what this writes. ``nox -s results`` calls it, and
draws the picture of the README as well.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import results  # noqa: E402 - from this checkout
from bench.advice.held_out_transfer import MOST_LOSS  # noqa: E402
from bench.basics.formats import counted, format_count, format_ratio, format_seconds  # noqa: E402
from bench.basics.names import FASTEST, NONE_FASTER  # noqa: E402
from bench.cli import main  # noqa: E402
from bench.terminal import gate_trials as gate_text  # noqa: E402
from bench.verdicts import gate_trials  # noqa: E402

RUNS = {
    "map": "20261129-095813-4d5b",
    "limits": "20261129-093454-b1e8",
    "limits64": "20261129-094926-c41b",
    "second-map": "20261129-043159-ceb2",
    "second-limits": "20261129-003328-3fa7",
}
"""The stored runs that the documents show; those of a second kind of machine have names of their own."""

PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
PICTURE = "8-32-1"
"""The network of the README's picture."""

GOOD = "*"
LEGEND = f"In brackets: not decided among the backends named; {GOOD}: no other is over 5 % faster."

JOB = ("--network", "8-32-1", "--batch", "100000", "--steps", "1000")
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def said(*arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Return what a command prints in 80 columns, from the stored runs of this checkout.

    Raises:
        RuntimeError: its exit status is not among those allowed.
    """
    out = io.StringIO()
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR", "BACKPROP_BENCH_RESULTS")}
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1", "BACKPROP_BENCH_RESULTS": str(ROOT / "results")}
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            status = main(list(arguments))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if status not in allowed:
        raise RuntimeError(f"python -m bench {' '.join(arguments)} ended with status {status}")
    return out.getvalue()


def document(*arguments: str) -> dict[str, Any]:
    """Return what a command says as JSON."""
    parsed: dict[str, Any] = json.loads(said(*arguments, "--json"))
    return parsed


def table(head: list[str], rows: list[list[str]], right: int = 0) -> str:
    """Return a Markdown table; columns from ``right`` on are aligned to the right."""
    rule = ["---" if k < right or not right else "---:" for k in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


# One function for each figure


def answer() -> str:
    """What `recommend` answers for one job, as the terminal shows it."""
    text = said("recommend", *JOB, "--run", RUNS["map"])
    # What follows depends on the machine that writes this page: which commands would say more there.
    kept = re.split(r"^(?:Note:|To )", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    shown = "\n".join(map(str.rstrip, kept)).strip()
    return f"```\n$ python -m bench recommend {' '.join(JOB)}\n{shown}\n```"


def where() -> str:
    """On which machine and when the map was measured."""
    run = results.resolve(RUNS["map"], ROOT / "results")
    return f"Measured on {machine(run)}, {run.created[:10]}: `python -m bench compare {run.id}`."


def fastest_map() -> str:
    """The fastest backend and its time of a step, by network and rows."""
    cells = fastest(document("compare", RUNS["map"], "--phases", "step"))
    rows = sorted({cell[1] for cell in cells})
    networks = list(dict.fromkeys(cell[0] for cell in cells))
    body = [[network, *(cells.get((network, count), "-") for count in rows)] for network in networks]
    head = ["one step, by rows", *map_heads(rows)]
    legend = f"{LEGEND} -: left out, too large for this machine."
    other = maker(results.resolve(RUNS["second-map"], ROOT / "results"))
    more = f"On an {other}: [results](docs/results.md#on-another-kind-of-machine)."
    return f"{table(head, body)}\n\n{legend} {where()} {more}"


def map_heads(rows: list[int]) -> list[str]:
    """Return the numbers of rows as headings."""
    return [format_count(count) for count in rows]


def fastest(compared: dict[str, Any]) -> dict[tuple[str, int], str]:
    """Return by network and rows who is fastest, with its time, marked as `LEGEND` says.

    Each backend has its best number of threads, which is given if it is not the most that was tried.
    """
    keys = ("network", "batch", "backend", "threads")
    seconds = {tuple(row[key] for key in keys): row["seconds"] for row in compared["rows"]}
    found = {}
    for cell in compared["best"] or compared["winners"]:
        case = cell["network"], cell["batch"]
        most = max(cell.get("tried_threads", [cell["threads"]]))
        threads = {name: cell.get("best_threads", {}).get(name, most) for name in cell["backends"]}
        names = [
            name if count == most else f"{name} with {counted(count, 'thread')}" for name, count in threads.items()
        ]
        first = cell["backends"][0]
        name = f"{names[0]}{GOOD}" if cell["outcome"] == NONE_FASTER else f"({', '.join(names)})"
        name = names[0] if len(names) < 2 else name
        found[case] = f"{name} {format_seconds(seconds[(*case, first, threads[first])])}"
    return found


def steps() -> str:
    """The time of a step of every backend, with how many times the fastest it takes."""
    return phase_table("step")


def train() -> str:
    """The time of a step inside `train`."""
    return phase_table("train")


def phase_table(phase: str) -> str:
    """Return the table of one phase, with all threads: the fastest, its time, the others as multiples."""
    compared = document("compare", RUNS["map"], "--phases", phase)["rows"]
    compared = [row for row in compared if row["threads"] == max(row["threads"] for row in compared)]
    names = list(dict.fromkeys(row["backend"] for row in compared))
    groups: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in compared:
        groups.setdefault((row["network"], row["batch"]), {})[row["backend"]] = row
    body = []
    for network, count in in_order(groups):
        rows = groups[network, count]
        first = min(rows.values(), key=lambda row: row["seconds"])
        others = [format_ratio(rows[name]["to_fastest"]) if name in rows else "" for name in names]
        proven = {FASTEST: first["backend"], NONE_FASTER: f"{first['backend']}{GOOD}"}
        body.append(
            [
                network,
                format_count(count),
                proven.get(first["verdict"], f"({first['backend']})"),
                format_seconds(first["seconds"]),
                *others,
            ]
        )
    return table(["network", "rows", "fastest", "time", *names], body, right=3) + f"\n\n{where()}"


def in_order(cases: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return networks and numbers of rows: networks in the order of their first case, each with its rows ascending."""
    cases = list(cases)
    networks = list(dict.fromkeys(network for network, _ in cases))
    return sorted(cases, key=lambda case: (networks.index(case[0]), case[1]))


def machines() -> str:
    """The fastest backend on two kinds of machine, side by side."""
    runs = [results.resolve(RUNS[name], ROOT / "results") for name in ("map", "second-map")]
    found = [fastest(document("compare", run.id, "--phases", "step")) for run in runs]
    body = [
        [network, format_count(count), *(of_run[network, count] for of_run in found)]
        for network, count in in_order(found[0])
        if (network, count) in found[1]
    ]
    legend = f"{LEGEND} Of {', and of '.join(map(machine, runs))}."
    commands = " and ".join(f"`python -m bench compare {run.id}`" for run in runs)
    return f"{table(['network', 'rows', *map(maker, runs)], body)}\n\n{legend} {commands}."


def carried() -> str:
    """How good answers are that are carried over from one kind of machine to the other."""
    body = []
    for there, here in (("map", "second-map"), ("second-map", "map")):
        flags = ("--transfer", RUNS[there], "--truth", RUNS[here])
        judged = document("validate", *flags)
        runs = [results.resolve(RUNS[name], ROOT / "results") for name in (there, here)]
        rows = judged["rows"]
        shares = [sum(row[name] <= MOST_LOSS for row in rows) / len(rows) for name in ("loss", "as_it_was")]
        command = f"`python -m bench validate {' '.join(flags)}`"
        body.append([*map(maker, runs), str(len(rows)), *(f"{share:.1%}" for share in shares), command])
    return table(["from", "to", "answers", "within 15 % of the best", "not carried over", "command"], body)


def maker(run: results.Run) -> str:
    """Return who made the processor of a run, and what it is called."""
    return str(run.manifest.get("fingerprint", {}).get("cpu_model", run.machine)).replace("(R)", "").split(" Proc")[0]


def machine(run: results.Run) -> str:
    """Return the processor of a run in words."""
    facts = run.manifest.get("fingerprint", {})
    model = [
        f"{name} {facts[key]}"
        for name, key in (("family", "cpu_family"), ("model", "cpu_model_number"))
        if facts.get(key)
    ]
    detail = f" ({', '.join(model)})" if model else ""
    return f"{facts.get('cores', '?')} cores of a shared {facts.get('cpu_model', run.machine)}{detail}"


def targets() -> str:
    """What the project aims at, and what was reached, in float32."""
    return judged_targets(RUNS["limits"])


def targets64() -> str:
    """The same in float64."""
    return judged_targets(RUNS["limits64"])


def second_targets() -> str:
    """In float32, on the second kind of machine."""
    return judged_targets(RUNS["second-limits"])


def judged_targets(run: str) -> str:
    """Return the text of `limits --targets` for a stored run."""
    stored = results.resolve(run, ROOT / "results")
    text = said("limits", "--run", run, "--targets", allowed=(0, 1))
    text = text[text.index("\ntargets") : text.index("\nno share")]
    return f"```\n{text.strip()}\n```\n\n`python -m bench limits --run {run} --targets`, on {machine(stored)}."


def gate() -> str:
    """What real gates of the same code, and of planted slow-downs, came to, by condition and machine."""
    every = []
    for condition, words in gate_trials.CONDITIONS.items():
        for path in sorted((ROOT / "results").glob(f"*/{gate_trials.FOLDER}/{condition}.jsonl")):
            for suffix, cells in (("", "three cells"), (", all cells", "nine cells")):
                rates = gate_trials.rates(condition, gate_trials.outcomes(path), suffix)
                every.append([f"{condition}, {cells}", *gate_text.line(rates)[1:], words])
    if not every:
        return "No gate was tried yet: `python -m bench certify --gates 200`."
    heads = [head if isinstance(head, str) else head[0] for head in gate_text.COLUMNS]
    rows = ", ".join(f"{rows:,}" for rows in gate_trials.ROWS)
    what = (
        f"One gate: a backend (numpy) and a copy of its code, {gate_trials.PROCESSES} fresh processes of each side in "
        f"turns, {1e3 * gate_trials.TIMED_S:.0f} ms of rounds a cell, {rows} rows of one network; with nine cells, of "
        f"{', '.join(map(str, gate_trials.NETWORKS))} together. Planted: lines at the end of the source file that let "
        "every step take so much longer. A false alarm is a gate that fails on the same code. +-: half an interval of "
        "a ratio; load: of the machine; both medians. `python -m bench certify --gates 200`, with `--condition`."
    )
    return f"{table([*heads, 'what is going on'], every)}\n\n{what}"


def gate_commits() -> str:
    """Real commits, each gated against its parent."""
    found = sorted((ROOT / "results").glob(f"*/{gate_trials.FOLDER}/commits.jsonl"))
    kept = [it for path in found for it in gate_trials.outcomes(path)]
    if not kept:
        return "No commit was gated yet: `python -m bench certify --commits 10`."
    heads = [head if isinstance(head, str) else head[0] for head in gate_text.COMMIT_COLUMNS]
    lines = [[part.replace("|", "\\|") for part in gate_text.commit_line(it)] for it in kept]
    return f"{table(heads, lines)}\n\n`python -m bench certify --commits {len(kept)}`."


FIGURES: dict[str, Callable[[], str]] = {
    "answer": answer,
    "map": fastest_map,
    "steps": steps,
    "train": train,
    "machines": machines,
    "carried": carried,
    "targets": targets,
    "second-targets": second_targets,
    "targets64": targets64,
    "gate": gate,
    "gate-commits": gate_commits,
}


def rendered(text: str) -> str:
    """Return a page with every figure made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}{FIGURES[match[2]]()}\n{match[3]}", text)


def draw_picture() -> Path:
    """Draw the map of one network, as the report has it; return the file."""
    import vl_convert

    from bench.report import figures
    from bench.report.page import page

    made = page(results.load(results.resolve(RUNS["map"], ROOT / "results")), {}, {})
    spec = dict(figures.figures(made))[figures.named("map", PICTURE)]
    path = ROOT / "docs" / "which-backend.svg"
    path.write_text(vl_convert.vegalite_to_svg(json.dumps({**spec, "config": figures.CONFIG})), encoding="utf-8")
    return path


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"written: {path.relative_to(ROOT)}")
    print(f"drawn: {draw_picture().relative_to(ROOT)}")
