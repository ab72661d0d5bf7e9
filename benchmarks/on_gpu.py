"""Everything that is to be measured on a machine with a GPU, the most worth first; what is there already is kept.

Each measurement is a program of its own, with a file of results that holds the facts of the device. Started again, this
goes on with what is missing, and what has failed comes last; to measure anew, delete a file of results. `--minutes` is
the time in all: none is begun that has no chance to end within it.

    python benchmarks/on_gpu.py --pairs DIALOGUES.jsonl.gz --arguments PAIRS.jsonl.gz --out gpu --minutes 9

It needs the extra `bench` (TRL, sentence-transformers) for the peers, and the development tools for the tests; with
vLLM installed, RL is measured beside TRL with vLLM too. `--tiny` shows on any machine, with toy sizes, that all of it
runs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from device_facts import device_facts
from guerdon.files import atomic_write

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Measurement:
    """One program, and what it is good for."""

    name: str
    """Of its files: `NAME.json`, and `NAME.log` with what it printed."""
    words: Sequence[str]
    """A script of this folder with its options; or `pytest` and its options, of which the end is kept as the result."""
    minutes: float
    """About how long it takes on an H100, imports included."""
    tiny: Sequence[str] = ()
    """Options that make it small."""


def measurements(pairs: str, arguments: str, out: Path) -> list[Measurement]:
    """All of them, in the order of their worth.

    Args:
        pairs: comparisons of dialogues, by which speeds are taken.
        arguments: comparisons of arguments, by which the quality is; empty leaves that out.
        out: folder of the results.
    """
    tests = HERE.parent / "tests"
    marked = [
        path for path in sorted(tests.rglob("test_*.py")) if "pytest.mark.gpu" in path.read_text(encoding="utf-8")
    ]
    # Rooms whose extras are not installed cannot be collected: they are among the faults, and the others run.
    quick = [str(tests), "-m", "not slow and not gpu", "-n", "8", "--continue-on-collection-errors"]
    large = ["train_decoder.py", "--data", pairs, "--model", "Llama-3.2-1B", "--pairs", "256"]
    scoring, budgets = ["score_encoder.py", "--data", pairs], ["16384", "65536", "262144"]
    step = ["rl_step.py", "--data", pairs]
    small_step = ["--responses", "8", "--repeats", "1"]
    found = [
        Measurement("train", ["train_decoder.py", "--data", pairs], 5, ["--pairs", "8", "--batch-size", "8"]),
        Measurement(
            "train-1b", [*large, "--micro-batches"], 4, ["--pairs", "8", "--batch-size", "8", "--model", "smollm2"]
        ),
        Measurement("score", [*scoring, "--budgets", *budgets], 4, ["--texts", "16", "--budgets", "0"]),
        Measurement("generate", ["generate.py", "--data", pairs], 5, ["--prompts", "2", "--each", "2"]),
        Measurement("rl", [*step, "--workloads", "125/45"], 5, small_step),
        Measurement("tests-gpu", ["pytest", "-q", "-m", "gpu", *map(str, marked)], 4, ["-k", "verdicts"]),
        Measurement("rl-long", [*step, "--workloads", "25/128"], 5, small_step),
        Measurement("tests-quick", ["pytest", "-q", *quick], 6, ["-n", "0", "-k", "conftest"]),
        Measurement("memory", ["memory.py", "--measure", "SmolLM2-135M", "Llama-3.2-1B"], 2),
    ]
    if find_spec("vllm"):
        found.append(Measurement("rl-vllm", [*step, "--workloads", "125/45", "--generation", "vllm"], 6, small_step))
    if arguments:
        quality = ["precision.py", "--data", arguments, "--out", str(out / "precision")]
        found.insert(
            5, Measurement("precision", [*quality, "--seeds", "0", "1", "2"], 8, ["--seeds", "0", "--limit", "64"])
        )
    return found


def command_of(measurement: Measurement, target: Path, *, tiny: bool) -> list[str]:
    """What is run, results going to `target`."""
    script, *options = measurement.words
    options += measurement.tiny if tiny else ()
    if script == "pytest":
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return [sys.executable, str(HERE / script), *options, "--json", str(target)]


def run(measurement: Measurement, out: Path, seconds: float, *, tiny: bool) -> bool:
    """Runs one; its log says why where there is no result. Gives whether there is one."""
    target, log = out / f"{measurement.name}.json", out / f"{measurement.name}.log"
    command = command_of(measurement, target, tiny=tiny)
    with log.open("w", encoding="utf-8") as file:
        file.write(f"{shlex.join(command)}\n")
        file.flush()
        try:
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            file.write(f"\nended after {seconds:.0f} s: it is begun anew next time\n")
            code = -1
    if measurement.words[0] == "pytest" and code in (0, 1):  # some tests may fail: that is a result
        write_tests(log, target)
    elif code and target.exists():  # results so far of what did not come to its end
        target.replace(out / f"{measurement.name}.partial.json")
    return target.exists()


def write_tests(log: Path, target: Path) -> None:
    """Writes what pytest said at its end, and the tests that failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {"end": lines[-1], "faults": [line for line in lines if line.startswith(("FAILED", "ERROR"))]}
    with atomic_write(target) as file:
        json.dump({"benchmark": target.stem, "facts": device_facts(), "results": found}, file, indent=2)


def main() -> None:
    """Runs what is missing, as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", default="starter", help="comparisons of dialogues")
    parser.add_argument("--arguments", default="", help="comparisons whose subset is topic_side, for the quality")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder of the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="time in all")
    parser.add_argument("--only", nargs="+", default=[], help="names of measurements")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that all of it runs")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given.minutes
    every = measurements(given.pairs, given.arguments, out)
    listed = [one for one in every if not given.only or one.name in given.only]
    missing = [one for one in listed if not (out / f"{one.name}.json").exists()]
    # What has been tried without a result may fail again: it does not keep the others from their turn.
    for one in sorted(missing, key=lambda one: (out / f"{one.name}.log").exists()):
        start = time.monotonic()
        if end - start < 60 * one.minutes * (0 if given.tiny else 0.6):
            print(f"{one.name}: takes about {one.minutes} minutes, {(end - start) / 60:.1f} are left", flush=True)
            continue
        there = run(one, out, end - start, tiny=given.tiny)
        said = "done" if there else f"no result, see {one.name}.log"
        print(f"{one.name}: {said}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{sum((out / f'{one.name}.json').exists() for one in listed)} of {len(listed)} are there", flush=True)


if __name__ == "__main__":
    main()
