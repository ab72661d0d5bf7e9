from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.check import check_data, describe_data, hash64
from guerdon.errors import DataError
from json_lines import write_lines


def pair(chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"prompt": "Q?", "chosen": chosen, "rejected": rejected, **more}


def test_check_counts_kinds_faults_repeats_and_contradictions(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "a.jsonl",
        pair("a", "b"),
        pair("a", "c"),
        pair("a", ""),
        pair("a", "b", margin=2),
        pair("b", "a"),
        pair("a", "b", preference=0.5),
        {"prompt": "Q?", "response": "a", "score": 1},
        {"prompt": "Q?", "response": "a", "score": 2},
        pair("a", "b") | {"prompt": "R?"},
    )
    found: list[DataError] = []
    report = check_data(source, on_fault=found.append)
    assert report.rows == 8
    assert report.kinds == {"Comparison": 6, "Rating": 2}
    assert report.faults == 1
    assert report.first_faults == [f"{source}:3: column 'rejected' is empty"] == [str(fault) for fault in found]
    assert (report.repeats, report.repeat_lines) == (2, [(4, 1), (8, 7)])
    assert report.contradictions == 1
    assert set(report.contradiction_lines[0]) in ({1, 5}, {4, 5})
    assert json.loads(report.to_json())["faults"] == 1


def test_check_keeps_only_the_first_faults(tmp_path: Path) -> None:
    report = check_data(write_lines(tmp_path / "a.jsonl", *[pair("a", "")] * 100))
    assert (report.rows, report.faults, len(report.first_faults)) == (0, 100, 20)
    with pytest.raises(DataError, match="there is no row in it"):
        check_data(write_lines(tmp_path / "empty.jsonl"))


def test_info_tells_what_a_file_holds(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "a.jsonl",
        pair("longer", "short", subset="x_1"),
        pair("ab", "cd", subset="x_2", margin=1),
        pair("a", "bcd", subset="x_2", preference=0.75),
        pair("a", "b", subset="x_2", preference=0.5),
        pair("a", ""),
        {"prompt": [{"role": "user", "content": "Q?"}], "response": "a", "score": 3, "subset": "y_1"},
        {"prompt": "R?", "responses": ["a", "b"], "scores": [1, 2], "subset": "y_1"},
    )
    report = describe_data(source, group="subset", group_regex="(.)_")
    assert (report.rows, report.faults) == (6, 1)
    assert report.kinds == {"Comparison": 4, "Rating": 1, "Ranking": 1}
    assert report.subsets == {"x_2": 3, "y_1": 2, "x_1": 1}
    assert (report.prompts, report.groups, report.chats) == (2, 2, 1)
    assert (report.ties, report.soft, report.margins) == (1, 1, 1)
    assert report.longer_chosen == 0.5
    assert (report.lengths["chosen"].high, report.lengths["response"].n) == (6.0, 3)
    assert (report.scores["score"].mean, report.scores["score"].n) == (2.0, 3)
    with pytest.raises(DataError, match="1 of 1 rows cannot be used"):
        describe_data(write_lines(tmp_path / "bad.jsonl", pair("a", "")))


def test_info_tells_how_a_file_was_understood(tmp_path: Path) -> None:
    rated = {"messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}], "score": 3}
    source = write_lines(
        tmp_path / "a.jsonl",
        {"question": "Who?", "gut": "I.", "schlecht": "You.", "note": "x", "absent": None},
        {
            "question": [{"role": "system", "content": "S."}, {"role": "user", "content": "U?"}],
            "gut": "b",
            "schlecht": "c",
        },
        {"question": "Who?", "gut": "I.", "schlecht": "None."},
        {"question": "Who?", "gut": "I.", "schlecht": "All."},
    )
    given = {"prompt": "question", "chosen": "gut", "rejected": "schlecht"}
    report = describe_data(source, map=",".join("=".join(pair) for pair in given.items()))
    assert (report.layouts, report.map, report.not_read) == ({"comparison": 4}, given, ["note"])
    assert sorted(report.columns) == ["chosen", "prompt", "rejected"]
    assert len(report.examples) == 3
    assert report.examples[1] == [("prompt", "system: S.\nuser: U?"), ("chosen", "b"), ("rejected", "c")]
    kept = describe_data(source)  # the map was kept for files of these columns
    assert (kept.map, kept.examples) == (given, report.examples)
    steps = {"prompt": "P", "steps": ["s", "t"], "labels": [1, None]}
    ranking = {"prompt": "P", "responses": ["a", "b"], "scores": [1, 2]}
    judged = [pair("a", "b", preference=0.5), pair("a", "b", preference=0.75, margin=2)]
    several = describe_data(write_lines(tmp_path / "b.jsonl", rated, steps, ranking))
    assert several.layouts == {"messages with ratings": 1, "steps": 1, "ranking": 1}
    assert [[name for name, _ in one] for one in several.examples] == [
        ["prompt", "response (score 3)"],
        ["prompt", "step (label 1)", "step (not judged)"],
        ["prompt", "response (score 1)", "response (score 2)"],
    ]
    pairs = describe_data(write_lines(tmp_path / "c.jsonl", *judged))
    assert [one[1][0] for one in pairs.examples] == ["chosen (a tie)", "chosen (preferred by 0.75, margin 2)"]
    starter = describe_data("starter:test:en")
    assert list(starter.layouts) == ["starter set"]
    assert len(starter.examples) == 3


def test_hashes_tell_texts_and_their_borders_apart() -> None:
    assert hash64("ab", "c") != hash64("a", "bc") != hash64("abc")
    assert hash64("ab", "c") == hash64("ab", "c") < 2**64


@pytest.mark.slow
def test_a_million_pairs_are_checked_in_little_memory_and_time(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    filler = "The quick brown fox jumps over the lazy dog and thinks about reward models. " * 4
    with path.open("w") as file:
        for at in range(1_000_000):
            # The last thousand lines repeat the first thousand.
            number = at % 999_000
            file.write(json.dumps(pair(f"{number} good {filler}", f"{number} bad", id=str(at))) + "\n")
    code = (
        "import json, resource, sys, time\nfrom guerdon.data.check import check_data\nstart = time.perf_counter()\n"
        "report = check_data(sys.argv[1])\nseconds = time.perf_counter() - start\n"
        "print(json.dumps([report.rows, report.repeats, report.faults, seconds,"
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    path.unlink()
    rows, repeats, faults, seconds, gigabytes = json.loads(result.stdout)
    assert (rows, repeats, faults) == (1_000_000, 1000, 0)
    assert gigabytes < 1.0
    assert seconds < 120
    print(f"1,000,000 pairs: {seconds:.0f} s, {gigabytes:.2f} GiB")
