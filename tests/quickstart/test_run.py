from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.read import load_rows
from guerdon.data.starter import starter_rows
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError
from guerdon.quickstart import workload
from guerdon.quickstart.config import QuickstartConfig
from guerdon.quickstart.events import QuickstartEvents
from guerdon.quickstart.run import PRODUCTS, run_quickstart
from guerdon.quickstart.workload import (
    TrainTest,
    Workload,
    choose_backbone,
    choose_workload,
    limit_rows,
    load_tokenizer,
    read_train_test,
    readable,
    sample_coverage,
    training_config,
)
from guerdon.rewards.rules import LengthReward
from guerdon.types import AnyRow, Comparison, Rating, group_key


def polite(count: int = 40) -> list[Comparison]:
    rng = random.Random(0)
    words = ["egg", "planet", "water", "answer", "function", "number"]
    return [
        Comparison(
            prompt=f"How do I boil {rng.choice(words)} {i // 2}?",
            chosen=f"Put the {rng.choice(words)} into boiling water. It is good and polite.",
            rejected=f"I do not know the {rng.choice(words)}, and I am rude. It is off the topic, too.",
            subset=f"s{i % 2}",
        )
        for i in range(count)
    ]


@pytest.fixture
def data(tmp_path: Path) -> str:
    write_rows(polite(), tmp_path / "polite.jsonl")
    return str(tmp_path / "polite.jsonl")


def run(tiny_bert: str, out: Path, *options: str) -> int:
    return main(["quickstart", "--backbone", tiny_bert, "--out", str(out), *options])


def test_every_product_is_there_and_the_rows_are_unseen(
    data: str, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(tiny_bert, out, "--data", data, "--max-train-pairs", "20") == 0
    captured = capsys.readouterr()
    for step in ("[1/5] data", "[2/5] train", "[3/5] evaluate", "[4/5] score", "[5/5] report"):
        assert step in captured.out
    assert "Training on 20 of 32 comparisons; --max-train-pairs 0 for all." in captured.out
    assert f"Open {out / 'report.html'}" in captured.out
    assert {path.name for path in out.iterdir()} == set(PRODUCTS) - {"answers.json"}, "no --policy"

    test = load_rows(str(out / "test.jsonl"))
    trained = json.loads((out / "model" / "guerdon.json").read_text(encoding="utf-8"))["contract"]["data"]
    assert len(test) == 8
    assert trained["rows"] == 20
    scores = [json.loads(line) for line in (out / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["chosen"] for row in scores] == [row.chosen for row in test]
    assert all(isinstance(row["reward_rejected"], float) for row in scores)
    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    right = np.mean([row["reward_chosen"] > row["reward_rejected"] for row in scores])
    found = evaluation["sections"][0]["overall"]["systems"]["model"]
    assert found["metrics"]["accuracy"]["point"] == pytest.approx(right)
    assert evaluation["seen"] == {}
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in ("Reward model on polite.jsonl", "TF-IDF (same training data)", "Worked examples", "sha256", "--data"):
        assert text in page

    (out / "mine.txt").write_text("not of the quickstart")
    before = (out / "report.html").read_bytes()
    assert run(tiny_bert, out, "--data", data) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == before
    assert run(tiny_bert, out, "--data", data, "--overwrite") == 0
    assert (out / "report.html").read_bytes() != before
    assert (out / "mine.txt").exists()


def test_a_policy_responds_and_the_reward_picks(
    data: str, tiny_bert: str, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(tiny_bert, out, "--data", data, "--policy", tiny_llama) == 0
    said = capsys.readouterr().out
    assert "[5/6] respond" in said
    found = json.loads((out / "answers.json").read_text(encoding="utf-8"))
    assert found["ns"] == [1, 2, 4, 8]
    unseen = {row.prompt for row in load_rows(str(out / "test.jsonl"))}
    assert found["prompts"] == len(unseen)
    picks, gold, near, length = found["curves"]
    points = [mean["point"] for mean in picks["means"]]
    assert points == sorted(points), "what picks always rises"
    for curve in (gold, near, length):
        assert curve["gains"][-1]["low"] <= curve["gains"][-1]["point"] <= curve["gains"][-1]["high"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Better responses from a language model" in page
    (sentence,) = [line for line in said.splitlines() if "y the gold reward" in line or ": the gold reward" in line]
    assert sentence in page
    for pick in found["shown"]:
        assert pick["first"] != pick["best"]
        assert pick["rewards"][1] >= pick["rewards"][0]
        assert f"--policy {tiny_llama}" in page


def test_function_and_command_write_the_same_files(
    data: str, tiny_bert: str, tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Events(QuickstartEvents):
        def step_started(self, number: int, count: int, name: str, what: str) -> None:
            heard.append(f"{number}/{count} {name}")

        def trained(self, metrics: Mapping[str, float]) -> None:
            heard.append("trained")

    monkeypatch.chdir(tmp_path)
    by_function, by_command = Path("out"), Path("by-command")
    assert run(tiny_bert, by_function, "--data", data, "--policy", tiny_llama) == 0
    by_function.rename(by_command)
    config = QuickstartConfig(backbone=tiny_bert, policy=tiny_llama)
    result = run_quickstart(data, by_function, config, events=Events())
    names = [{path.name for path in folder.iterdir()} for folder in (by_command, by_function)]
    assert names[0] == names[1] == set(PRODUCTS)
    same = ["model/model.safetensors", *sorted(set(PRODUCTS) - {"model", "report.html"})]
    for name in same:  # the report tells how long each step took
        assert (by_command / name).read_bytes() == (by_function / name).read_bytes(), name
    assert heard[:2] == ["1/6 data", "2/6 train"]
    assert heard[-1] == "6/6 report"
    assert "trained" in heard
    assert list(result.seconds) == ["data", "train", "evaluate", "score", "respond", "report"]
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
        (["--data", "polite.jsonl", "--backbone", "no model"], "no model"),
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


def test_long_responses_are_refused_unless_they_may_be_cut(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [replace(row, chosen=row.chosen * 20) for row in polite()]
    write_rows(rows, tmp_path / "long.jsonl")
    common = ["--data", str(tmp_path / "long.jsonl")]
    assert run(tiny_bert, tmp_path / "out", *common) == 2
    assert "--overlong cut" in capsys.readouterr().err
    assert run(tiny_bert, tmp_path / "out", *common, "--overwrite", "--overlong", "cut") == 0
    assert "responses were too long even alone" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_folder_of_another_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert main(["quickstart", "--out", str(tmp_path), "--overwrite"]) == 2
    assert "no quickstart wrote it" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"


# --- decisions


def test_starter_set_comes_divided() -> None:
    parts = read_train_test("starter", group=None, group_regex=None, seed=0)
    assert parts.train == starter_rows("train")
    assert not {group_key(row) for row in parts.train} & {group_key(row) for row in parts.test}


def test_rows_are_measured_by_whether_they_are_read(tiny_bert: str) -> None:
    from guerdon.quickstart.report_data import evaluate_by_coverage
    from guerdon.rewards.transformer import TransformerReward

    odd = [Comparison(prompt=f"q{i}", chosen="龘靐齉", rejected="爩麤") for i in range(30)]
    reward, scorer = TransformerReward.create(tiny_bert), LengthReward()
    found = evaluate_by_coverage(reward, scorer, [*polite(), *odd], {"shortest": LengthReward(-1)}, seed=0)
    assert [part.sections[0].overall.rows for part in found.values()] == [40, 30]
    assert evaluate_by_coverage(reward, scorer, polite(), {}, seed=0) == {}


def test_constant_prompt_divides_ratings_by_answer_and_refuses_comparisons(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    write_rows([Rating(prompt="p", response=f"r{i % 20}", scores={"score": i}) for i in range(40)], path)
    parts = read_train_test(str(path), group=None, group_regex=None, seed=0)
    assert "All rows share one prompt" in parts.notes[0]
    assert not {row.response for row in parts.train} & {row.response for row in parts.test}
    write_rows([replace(row, prompt="p") for row in polite()], path)
    with pytest.raises(ConfigError, match="--group COLUMN"):
        read_train_test(str(path), group=None, group_regex=None, seed=0)


def test_prompts_in_both_parts_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows([replace(row, prompt="same", group=str(i)) for i, row in enumerate(polite())], path)
    parts = read_train_test(str(path), group=None, group_regex=None, seed=0)
    assert "1 prompts of the test part are in the training part too" in parts.notes[0]


def test_limit_takes_whole_groups_by_seed_and_keeps_the_order() -> None:
    rows = [Comparison(prompt=f"p{i // 4}", chosen=f"a{i}", rejected=f"b{i}") for i in range(400)]
    kept = limit_rows(rows, 100, seed=1)
    assert 96 <= len(kept) <= 100
    assert [row for row in rows if row in kept] == list(kept)
    sizes = {sum(row.prompt == prompt for row in kept) for prompt in {row.prompt for row in kept}}
    assert sizes == {4}
    assert kept == limit_rows(rows, 100, seed=1)
    assert kept != limit_rows(rows, 100, seed=2)
    assert limit_rows(rows, 0, seed=1) is rows
    assert limit_rows(rows, 400, seed=1) is rows


def test_large_groups_do_not_crowd_out_others() -> None:
    rows: list[AnyRow] = [Comparison(prompt=f"p{i % 8}", chosen=f"a{i}", rejected=f"b{i}") for i in range(800)]
    kept = limit_rows(rows, 100, seed=0)
    assert {row.prompt for row in kept} == {row.prompt for row in rows}


def test_ratings_count_half_a_pair() -> None:
    rows = [Rating(prompt=f"p{i}", response="r", scores={"score": 1}) for i in range(100)]
    assert len(limit_rows(rows, 30, seed=0)) == 60


def test_backbone_that_cannot_read_the_answers_is_changed(
    tiny_bert: str, tiny_llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"minilm": tiny_bert, "smollm2": tiny_llama}
    monkeypatch.setattr(workload, "resolve", lambda name: folders.get(name, name))
    monkeypatch.setattr(workload, "smollm2_installed", lambda: True)
    odd = [Comparison(prompt="p", chosen="龘靐齉", rejected="爩麤灪")]
    chosen = choose_backbone("auto", TrainTest(odd, odd), starter=False)
    assert chosen.name == "smollm2"
    assert "MiniLM does not know 100% of the text" in chosen.notes[0]
    assert choose_backbone("auto", TrainTest(odd, odd), starter=True).name == "minilm"
    assert choose_backbone("auto", TrainTest(polite(), polite()), starter=False).name == "minilm"
    monkeypatch.setattr(workload, "smollm2_installed", lambda: False)
    stays = choose_backbone("auto", TrainTest(odd, odd), starter=False)
    assert stays.name == "minilm"
    assert "pip install" in stays.notes[0]


def planned(tiny_bert: str, rows: list[Comparison], *, gpu: bool = False, pairs: int | None = None) -> Workload:
    backbone = choose_backbone(tiny_bert, TrainTest(rows, rows), starter=False)
    return choose_workload(TrainTest(rows, rows), backbone, pairs=pairs, epochs=None, seed=0, gpu=gpu)


def test_long_texts_mean_fewer_pairs_and_passes(tiny_bert: str) -> None:
    rows = polite(1000)
    long = [replace(row, chosen=row.chosen * 9, rejected=row.rejected * 9) for row in rows]
    assert len(planned(tiny_bert, long).train) < len(planned(tiny_bert, rows).train) <= 1000
    assert planned(tiny_bert, long).epochs == 1.0
    assert 1.0 < planned(tiny_bert, polite(300)).epochs <= 2.0
    assert any("guerdon evaluate takes all" in note for note in planned(tiny_bert, long).notes)


def test_gpu_or_zero_take_all_rows(tiny_bert: str) -> None:
    rows = [replace(row, chosen=row.chosen * 9) for row in polite(1000)]
    assert planned(tiny_bert, rows, gpu=True).train == rows
    assert planned(tiny_bert, rows, gpu=True).test == rows
    assert planned(tiny_bert, rows, pairs=0).train == rows
    assert planned(tiny_bert, rows, pairs=0).epochs == 1.0


def test_rows_with_unread_answers_are_left_out_of_training_and_measured(tiny_bert: str) -> None:
    odd = [Comparison(prompt=f"q{i}", chosen="龘靐齉", rejected="爩麤灪") for i in range(50)]
    found = planned(tiny_bert, [*polite(400), *odd])
    assert not {row.chosen for row in found.train} & {"龘靐齉"}
    assert {row.chosen for row in found.test} >= {"龘靐齉"}
    assert found.notes[0].startswith("50 of 450 comparisons are left out of the training")
    few = [*polite(100), *odd]
    assert readable(load_tokenizer(tiny_bert), few) is few


def test_byte_level_vocabulary_knows_every_text(tiny_bert: str, tiny_llama: str) -> None:
    rows = [Comparison(prompt="p", chosen="龘", rejected="good answer")]
    assert sample_coverage(load_tokenizer(tiny_llama), rows)[0] == 0.0
    assert 0 < sample_coverage(load_tokenizer(tiny_bert), rows)[0] < 1


def test_large_backbones_learn_adapters_that_are_folded_in() -> None:
    chosen = Workload([], [], epochs=1.5, notes=(), max_length=512)
    assert training_config("minilm", chosen, QuickstartConfig(seed=3)).lora_r == 0
    large = training_config("smollm2", chosen, QuickstartConfig(seed=3, overlong="error"))
    assert (large.lora_r, large.merge_lora) == (16, True)
    assert (large.epochs, large.max_length, large.seed, large.overlong) == (1.5, 512, 3, "error")
