"""``python -m tests.two_hosts.forecasts``: how right `recommend --hosts 2` is, on two hosts without hardware.

Each host is one core of this machine, in a network namespace, with a wire of a delay and a rate between both. First the
steps of one core are measured as any run, at a few numbers of rows, and the all-reduce is probed on this machine; that
is what a forecast rests on. Then other numbers of rows are trained on one host and on both, and compared with it.

A forecast of a step has an error; one of whether the second host pays is right or wrong, unless both are as fast to the
margin. Ends with 1 if the median error or the part that is right misses its aim. Takes about three minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends import Network, available
from bench import cli, results
from bench.advice.job import Job
from bench.advice.sharing import Sharing, predicted
from bench.basics.formats import format_seconds
from bench.basics.names import FASTER, MARGIN, SLOWER
from bench.machine import physical_cores
from bench.ranks.allreduce import AllReduce, Link, known_or_probed
from tests.two_hosts.hosts import Hosts, NotHereError, two_hosts

CASES = {
    "3-2-1": (3, 20_000, 200_000, 700_000, 2_000_000),
    "32-64-1": (300, 3_000, 15_000, 60_000),
    "784-512-10": (60, 700, 3_000),
}
MEASURED_ROWS = {"3-2-1": "1,4096,65536,1048576", "32-64-1": "64,1024,32768", "784-512-10": "32,256,2048"}
"""Rows that are measured on one core first; the cases lie between them and beyond."""

ONE_CORE = ("--phases", "step,train", "--threads", "1", "--dtypes", "float32", "--aa", "none", "--warm")
MOST_ERROR, LEAST_RIGHT = 0.15, 0.90
TIMED_S, LIMIT_S = 0.25, 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare, print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.two_hosts.forecasts", description=__doc__)
    parser.add_argument("--link", type=Link.parse, default=Link.parse("1Gbit,0.1ms"), help="the wire (1Gbit,0.1ms)")
    parser.add_argument("--engine", choices=("mpi", "torch"), default="mpi", help="(mpi)")
    parser.add_argument("--backends", default=",".join(available("best")), help="(all)")
    parser.add_argument("--networks", default=",".join(CASES), help=f"of {', '.join(CASES)} (all)")
    parser.add_argument("--results", type=Path, help="keep what the forecasts rest on here, and use it if it is there")
    parser.add_argument("--measure", action="store_true", help="add to what they rest on, and end")
    parser.add_argument("--budget", default="25s", help="for the run of one network that they rest on (25s)")
    parser.add_argument("--json", type=Path, help="write every case to this file")
    asked = parser.parse_args(arguments)
    if len(physical_cores()) < 2:
        print("skipped: two hosts take two cores")
        return cli.SUCCESS
    backends, networks = asked.backends.split(","), asked.networks.split(",")
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = asked.results or Path(folder)
        if asked.measure or not results.runs(root):
            for network in networks:
                measure_one_core(network, asked.backends, asked.budget, root)
        known = known_or_probed(asked.engine, root)
        print(f"one core and the all-reduce: {time.monotonic() - begun_s:.0f} s", flush=True)
        if asked.measure:
            return cli.SUCCESS
        try:
            with two_hosts(asked.link) as hosts:
                link = replace(asked.link, latency_s=latency_s(hosts))
                print(f"a wire of {asked.link}; half of a round trip: {link.latency_s * 1e3:.3f} ms", flush=True)
                truth = [record for name in backends for record in measured(hosts, asked.engine, name, networks)]
        except NotHereError as error:
            print(f"skipped: {error}")
            return cli.SUCCESS
        judged = compare(truth, root, known, link)
    if asked.json:
        asked.json.write_text(json.dumps(judged, indent=1))
    status = show(judged)
    print(f"{time.monotonic() - begun_s:.0f} s")
    return status


def measure_one_core(network: str, backends: str, budget: str, root: Path) -> None:
    """Keep a run of one thread."""
    what = ["--networks", network, "--batches", MEASURED_ROWS[network], "--backends", backends]
    command = [sys.executable, "-m", "bench", "run", *what, *ONE_CORE, "--budget", budget, "--results", str(root)]
    if (ended := subprocess.run(command, capture_output=True, text=True)).returncode:
        raise SystemExit(f"{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")


def latency_s(hosts: Hosts) -> float:
    """Return seconds one way between the hosts."""
    answer, ask = hosts.start([sys.executable, "-m", "tests.two_hosts.round_trip"])
    said = ask.communicate(timeout=LIMIT_S)[0]
    answer.communicate(timeout=LIMIT_S)
    return float(said)


def measured(hosts: Hosts, engine: str, backend: str, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Return what one backend's cases take on one host and on both."""
    specs = [
        {
            "network": network, "rows": rows, "dtype": "float32", "device": "cpu", "backend": backend,
            "engine": engine, "threads": 1, "timed_s": TIMED_S,
        }
        for network in networks
        for rows in CASES[network]
    ]  # fmt: skip
    file = hosts.folder / f"{backend}.jsonl"
    command = [sys.executable, "-m", "tests.two_hosts.measured", engine, str(file), json.dumps(specs)]
    started = [hosts.start_mpi(command)] if engine == "mpi" else hosts.start(command)
    begun_s = time.monotonic()
    texts = [process.communicate(timeout=LIMIT_S)[0] for process in started]
    if any(process.returncode for process in started):
        print(f"{backend}: {' '.join(texts)[-2000:]}")
    print(f"{backend}: {time.monotonic() - begun_s:.0f} s", flush=True)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def compare(truth: Sequence[dict[str, Any]], root: Path, known: AllReduce, link: Link) -> list[dict[str, Any]]:
    """Return the cases with their forecasts."""
    frame = results.load(*results.runs(root), root=root)
    how, judged = Sharing(2, 1, link), []
    jobs = dict.fromkeys((record["network"], record["rows"]) for record in truth)
    forecasts = {
        (network, rows, said["backend"], said["parts"]): said
        for network, rows in jobs
        for said in predicted(frame, Job(Network.parse(network), rows, threads=1), how, known)
    }
    for record in truth:
        one, two = (forecasts[record["network"], record["rows"], record["backend"], parts] for parts in (1, 2))
        speed_up = record["one_s"] / record["two_s"]
        judged.append(
            record
            | {
                "forecast_one_s": one["step_s"], "forecast_two_s": two["step_s"], "forecast_sum_s": two["sum_s"],
                "speed_up": speed_up, "forecast_speed_up": two["speed_up"], "verdict": two["verdict"],
                "error": two["step_s"] / record["two_s"] - 1,
                "tie": abs(math.log(speed_up)) <= math.log(1 + MARGIN),
                "right": (two["speed_up"] > 1) == (speed_up > 1),
            }
        )  # fmt: skip
    return judged


def show(judged: Sequence[dict[str, Any]]) -> int:
    """Print the cases and how right they are; return the exit status."""
    print(f"{'':26}{'two hosts':>20}{'':7}{'one host':>20}{'all-reduce':>20}{'speed-up':>15}")
    print(
        f"{'backend, network, rows':26}"
        + f"{'forecast':>10}{'measured':>10}" * 1
        + f"{'error':>7}"
        + 2 * f"{'forecast':>10}{'measured':>10}"
    )
    for case in judged:
        pairs = [(case[f"forecast_{name}_s"], case[f"{name}_s"]) for name in ("two", "one", "sum")]
        texts = ["".join(f"{format_seconds(s):>10}" for s in pair) for pair in pairs]
        name = f"{case['backend']} {case['network']} {case['rows']:,}"
        pays = f"{case['forecast_speed_up']:6.2f} /{case['speed_up']:5.2f}"
        word = "a tie" if case["tie"] else "right" if case["right"] else "WRONG"
        print(f"{name:26}{texts[0]}{case['error']:+7.0%}{texts[1]}{texts[2]}{pays:>15} {word} ({case['verdict']})")
    clear = [case for case in judged if not case["tie"]]
    error = statistics.median(abs(case["error"]) for case in judged)
    right = sum(case["right"] for case in clear) / len(clear)
    wrong = sum(case["verdict"] in (FASTER, SLOWER) and not case["right"] for case in clear)
    print(f"{len(judged)} forecasts, median error {error:.1%} (aim {MOST_ERROR:.0%})")
    print(
        f"whether the second host pays: right in {right:.1%} of the {len(clear)} cases outside a tie "
        f"(aim {LEAST_RIGHT:.0%}); said for sure and wrong: {wrong}"
    )
    return cli.SUCCESS if error <= MOST_ERROR and right >= LEAST_RIGHT else cli.CHECK_FAILED


if __name__ == "__main__":
    sys.exit(main())
