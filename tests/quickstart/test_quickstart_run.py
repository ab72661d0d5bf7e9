from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.read import load_rows
from guerdon.data.write import write_rows
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.quickstart_run import PRODUCTS, run_quickstart
from guerdon.recipes.job_events import JobEvents
from guerdon.rewards.load import load_scorer
from guerdon.rewards.training_data import read_training_prompts
from guerdon.train.cross_validation import BLEND
from guerdon.train.fit_config import FitConfig
from guerdon.types import Comparison, Rating

Polite = Callable[..., list[Comparison]]


@pytest.fixture
def data(polite: Polite, tmp_path: Path) -> str:
    write_rows(polite(), tmp_path / "polite.jsonl")
    return str(tmp_path / "polite.jsonl")


def run(tiny_bert: str, out: Path, *options: str) -> int:
    return main(["quickstart", "--encoder", tiny_bert, "--gold", tiny_bert, "--out", str(out), *options])


def test_every_product_is_there_and_the_rows_are_unseen(
    data: str, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(tiny_bert, out, "--data", data, "--max-train-pairs", "20") == 0
    captured = capsys.readouterr()
    for step in ("[1/5] data", "[2/5] fit", "[3/5] evaluate", "[4/5] score", "[5/5] report"):
        assert step in captured.out
    assert "Learning from 20 of 32 comparisons; --max-train-pairs 0 for all." in captured.out
    assert f"Open {out / 'report.html'}" in captured.out
    assert {path.name for path in out.iterdir()} == set(PRODUCTS) - {"answers.json", "gold", "fine-tuned"}

    test = load_rows(str(out / "test.jsonl"))
    assert len(test) == 8
    assert load_scorer(out / "model").training_prompts.count == 20  # type: ignore[attr-defined]
    scores = [json.loads(line) for line in (out / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["chosen"] for row in scores] == [row.chosen for row in test]
    assert all(isinstance(row["reward_rejected"], float) for row in scores)
    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    right = np.mean([row["reward_chosen"] > row["reward_rejected"] for row in scores])
    found = evaluation["sections"][0]["overall"]["systems"]["model"]
    assert found["metrics"]["accuracy"]["point"] == pytest.approx(right)
    assert evaluation["seen"] == {}
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in ("on polite.jsonl", "TF-IDF (same training data)", "The candidates", "What it rests on", "--data"):
        assert text in page
    evidence = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    assert evidence["candidates"][0]["name"] == BLEND
    assert {one["name"] for one in evidence["candidates"]} == {BLEND, *FitConfig().members}
    assert "handed over" in captured.out
    assert "On 8 unseen prompts, the reward" in captured.out

    (out / "mine.txt").write_text("not of the quickstart")
    before = (out / "report.html").read_bytes()
    assert run(tiny_bert, out, "--data", data) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == before
    assert run(tiny_bert, out, "--data", data, "--overwrite") == 0
    assert (out / "report.html").read_bytes() != before
    assert (out / "mine.txt").exists()


def check_answers(folder: Path, said: str, policy: str) -> None:
    """What a policy gained is in the file, on screen and on the page."""
    found = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    assert found["ns"] == [1, 2, 4, 8]
    assert found["prompts"] == len({row.prompt for row in load_rows(str(folder / "test.jsonl"))})
    picks, gold, near, length = found["curves"]
    points = [mean["point"] for mean in picks["means"]]
    assert points == sorted(points), "what picks always rises"
    for curve in (gold, near, length):
        assert curve["gains"][-1]["low"] <= curve["gains"][-1]["point"] <= curve["gains"][-1]["high"]
    assert "[5/6] respond" in said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Better responses from a language model" in page
    (sentence,) = {line for line in said.splitlines() if "y the gold reward" in line or ": the gold reward" in line}
    assert sentence in page
    assert f"--policy {policy}" in page
    for pick in found["shown"]:
        assert pick["first"] != pick["best"]
        assert pick["rewards"][1] >= pick["rewards"][0]


def test_a_policy_responds_and_function_and_command_write_the_same_files(
    data: str,
    tiny_bert: str,
    tiny_llama: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard: list[str] = []

    class Events(JobEvents):
        def step_started(self, number: int, count: int, name: str, what: str) -> None:
            heard.append(f"{number}/{count} {name}")

        def trained(self, metrics: Mapping[str, float]) -> None:
            heard.append("trained")

    monkeypatch.chdir(tmp_path)
    by_function, by_command = Path("out"), Path("by-command")
    assert run(tiny_bert, by_function, "--data", data, "--policy", tiny_llama) == 0
    check_answers(by_function, capsys.readouterr().out, tiny_llama)
    by_function.rename(by_command)
    config = QuickstartConfig(encoder=tiny_bert, gold=tiny_bert, policy=tiny_llama)
    result = run_quickstart(data, by_function, config, events=Events())
    names = [{path.name for path in folder.iterdir()} for folder in (by_command, by_function)]
    assert names[0] == names[1] == set(PRODUCTS) - {"fine-tuned"}
    files = {name for name in names[0] if (by_command / name).is_file()} - {"report.html"}
    same = ["model/guerdon.json", "model/surface/linear.safetensors", "gold/model.safetensors", *sorted(files)]
    for name in same:  # the report tells how long each step took
        assert (by_command / name).read_bytes() == (by_function / name).read_bytes(), name
    assert heard[:2] == ["1/6 data", "2/6 fit"]
    assert heard[-1] == "6/6 report"
    assert "trained" in heard
    assert list(result.seconds) == ["data", "fit", "evaluate", "score", "respond", "report"]
    assert result.policy_gain is not None
    assert json.loads(Path("out/evaluation.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(result.evaluation.to_dict())
    )


def test_ratings_end_with_a_report(tiny_bert: str, tmp_path: Path) -> None:
    rows = [
        Rating(prompt=f"How do I boil egg {i // 4}?", response="good " * (1 + i % 4), scores={"score": float(i % 4)})
        for i in range(60)
    ]
    write_rows(rows, tmp_path / "ratings.csv")
    out = tmp_path / "out"
    assert run(tiny_bert, out, "--data", str(tmp_path / "ratings.csv")) == 0
    assert "Spearman" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "--epochs must be above 0"),
        (["--data", "nothing.jsonl"], "no such file"),
        (["--data", "polite.jsonl", "--encoder", "no model"], "no model"),
        (["--data", "polite.jsonl", "--policy", "no model"], "no model"),
    ],
)
def test_what_the_user_can_put_right_leaves_nothing(
    data: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart", "--out", "out", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_fine_tuned_model_joins_the_candidates(polite: Polite, tiny_bert: str, tmp_path: Path) -> None:
    write_rows(polite(160), tmp_path / "polite.jsonl")
    out = tmp_path / "out"
    assert run(tiny_bert, out, "--data", str(tmp_path / "polite.jsonl"), "--backbone", tiny_bert) == 0
    evidence = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    assert "fine-tuned" in {one["name"] for one in evidence["candidates"]}
    tuned = read_training_prompts(out / "fine-tuned")
    assert tuned is not None
    test = {row.prompt for row in load_rows(str(out / "test.jsonl"))}
    assert not any(tuned.seen(test))
    assert evidence["pairs"] == 64, "the half of 128 training rows that it did not learn from"


def test_folder_of_another_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert main(["quickstart", "--out", str(tmp_path), "--overwrite"]) == 2
    assert "no quickstart wrote it" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"
