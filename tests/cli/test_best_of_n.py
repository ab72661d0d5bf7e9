"""`guerdon optimize best-of-n`: from a policy and from a file, cut short and gone on with, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import guerdon
from guerdon.cli.main import main
from json_lines import write_lines

PROMPTS = ["How do I boil an egg?", "planet?", "怎样煮鸡蛋？"]
SAMPLED = ["--n", "4", "--max-new-tokens", "6"]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    return write_lines(tmp_path / "prompts.jsonl", *({"prompt": prompt} for prompt in PROMPTS))


def test_answers_of_a_policy(tiny_llama: str, prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["optimize", "best-of-n", "longest", prompts, "--policy", tiny_llama, "--out", str(out), *SAMPLED]
    assert main([*command, "--gold", "shortest"]) == 0
    printed = capsys.readouterr().out
    assert "longest (picks)" in printed
    assert "shortest" in printed
    candidates, best = read(out / "candidates.jsonl"), read(out / "sft.jsonl")
    assert [row["prompt"] for row in candidates] == PROMPTS
    for row, kept in zip(candidates, best, strict=True):
        assert len(row["responses"]) == len(row["longest"]) == 4
        assert kept["completion"] == max(row["responses"], key=len)
    assert json.loads((out / "curve.json").read_text())["ns"] == [1, 2, 4]
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert all(len(row["chosen"]) - len(row["rejected"]) == row["margin"] > 0 for row in read(out / "pairs.jsonl"))


def test_a_run_cut_short_goes_on(
    tiny_llama: str, prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = ["optimize", "best-of-n", "longest", prompts, "--policy", tiny_llama, *SAMPLED]
    assert main([*command, "--out", str(whole)]) == 0
    assert main([*command, "--out", str(cut)]) == 0
    kept = (cut / "answers.jsonl").read_bytes()
    (cut / "answers.jsonl").write_bytes(kept[: kept.index(b"\n") + 5])
    assert main([*command, "--out", str(cut)]) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert main([*command, "--out", str(cut), "--resume", "--seed", "1"]) == 2
    assert "seed was 0" in capsys.readouterr().err
    said = Path(prompts).read_text(encoding="utf-8")
    Path(prompts).write_text(said.replace(PROMPTS[0], "another question"), encoding="utf-8")
    assert main([*command, "--out", str(cut), "--resume"]) == 2
    assert "the data differs (3 rows then, 3 now)" in capsys.readouterr().err
    Path(prompts).write_text(said, encoding="utf-8")
    assert main([*command, "--out", str(cut), "--resume"]) == 0
    assert (cut / "candidates.jsonl").read_bytes() == (whole / "candidates.jsonl").read_bytes()


def test_answers_of_a_file_with_scores_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ({"prompt": f"p{i}", "responses": ["a", "bbb", "cc"], "scores": [3, 1, 2]} for i in range(5))
    data = write_lines(tmp_path / "in.jsonl", *rows)
    assert main(["optimize", "best-of-n", "longest", data, "--out", str(tmp_path / "out")]) == 0
    assert "score in the data" in capsys.readouterr().out
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert curve["ns"] == [1, 2, 3]
    assert curve["curves"][1]["means"][-1]["point"] == 1.0


def test_function_and_command_write_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ({"prompt": f"p{i}", "responses": ["aa", "bbbb", ""] if i else ["a"], "id": f"i{i}"} for i in range(3))
    data = write_lines(
        tmp_path / "in.jsonl", *({**row, "responses": [text or "cc" for text in row["responses"]]} for row in rows)
    )
    options = ["--n", "3", "--gold", "shortest", "--out", str(tmp_path / "command")]
    assert main(["optimize", "best-of-n", "longest", data, *options]) == 0
    printed = capsys.readouterr().out
    assert "1 prompts are left out" in printed
    assert "in.jsonl:1: it has 1 response, the curve goes to n = 3" in printed
    guerdon.run_best_of_n("longest", data, tmp_path / "function", guerdon.BestOfNConfig(n=3), gold=["shortest"])
    made = {path.name: path.read_bytes() for path in (tmp_path / "command").rglob("*.*")}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "function").rglob("*.*")}
    assert {"candidates.jsonl", "sft.jsonl", "pairs.jsonl", "curve.json", "curve.png", "run.json"} == made.keys()


def test_a_reward_alone_does_not_pass_for_a_gain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "responses": ["a", "bbb"]})
    assert main(["optimize", "best-of-n", "longest", data, "--out", str(tmp_path / "out")]) == 0
    assert "Whether the responses got better, --gold tells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--endpoint", "http://127.0.0.1:9/v1"], "server's name"),
        (["--n", "1"], "--n must be 2 or more"),
        (["--policy", "no/such-policy"], "cannot load the policy"),
        (["--policy", "tiny", "--temperature", "-1"], "temperature must be 0 or more"),
        (["--policy", "tiny", "--max-new-tokens", "5000"], "prompts.jsonl:1: too long: the prompt takes"),
        ([], "no prompt has two responses"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], words: str, prompts: str, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [tiny_llama if option == "tiny" else option for option in options]
    data = prompts if "--policy" in options else write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "a"})
    assert main(["optimize", "best-of-n", "longest", data, "--out", str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_rule_that_lacks_its_references_is_found_before_sampling(
    tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_lines(tmp_path / "sums.jsonl", {"prompt": "2+2?", "solution": "4"}, {"prompt": "word " * 2000})
    command = ["optimize", "best-of-n", "numeric", data, "--out", str(tmp_path / "out"), "--max-new-tokens", "6"]
    assert main([*command, "--policy", "no/such-policy"]) == 2
    assert "'solution' looks like it. Fix: --map reference=solution" in capsys.readouterr().err
    data = write_lines(
        tmp_path / "sums.jsonl",
        {"prompt": "2+2?", "solution": "4"},
        {"prompt": "1+1?", "solution": "2"},
        {"prompt": "word " * 2000, "solution": "2"},
    )
    assert main([*command, "--policy", tiny_llama, "--n", "2", "--map", "reference=solution"]) == 0
    assert "1 of 3 prompts are left out: " in capsys.readouterr().err
    assert [row["numeric"] for row in read(tmp_path / "out" / "candidates.jsonl")] == [[0.0, 0.0]] * 2


def test_a_file_of_responses_with_the_answer_beside_them(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "2+2?", "responses": ["4", "It is 5"], "answer": "4"})
    out = str(tmp_path / "out")
    assert main(["optimize", "best-of-n", "numeric", data, "--out", out, "--map", "reference=answer"]) == 0
    assert [row["numeric"] for row in read(tmp_path / "out" / "candidates.jsonl")] == [[1.0, 0.0]]


def test_a_folder_of_something_else_is_left_alone(
    prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", "best-of-n", "longest", prompts, "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
