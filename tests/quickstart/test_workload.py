from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from guerdon.data.starter import starter_rows
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError
from guerdon.quickstart import workload
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.workload import (
    Note,
    Workload,
    choose_workload,
    limit_rows,
    load_tokenizer,
    read_by,
    read_train_test,
    readable,
    sample_coverage,
    tuning_work,
)
from guerdon.types import AnyRow, Comparison, Rating, group_key

Polite = Callable[..., list[Comparison]]


def read(source: object, notes: list[str]) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
    return read_train_test(str(source), QuickstartConfig(), notes.append)


def test_a_third_of_the_starter_prompts_is_measured_with_its_test_part() -> None:
    train, test = read("starter", [])
    groups = {group_key(row) for row in train}, {group_key(row) for row in test}
    assert not groups[0] & groups[1]
    assert len(groups[1]) >= 90
    assert {group_key(row) for row in starter_rows("test")} <= groups[1]
    assert len(train) + len(test) == len(starter_rows())


def test_constant_prompt_divides_ratings_by_answer_and_refuses_comparisons(polite: Polite, tmp_path: Path) -> None:
    path, notes = tmp_path / "ratings.jsonl", []
    write_rows([Rating(prompt="p", response=f"r{i % 20}", scores={"score": i}) for i in range(40)], path)
    train, test = read(path, notes)
    assert "All rows share one prompt" in notes[0]
    assert not {row.response for row in train} & {row.response for row in test}
    write_rows([replace(row, prompt="p") for row in polite()], path)
    with pytest.raises(ConfigError, match="--group COLUMN"):
        read(path, notes)


def test_prompts_in_both_parts_are_told(polite: Polite, tmp_path: Path) -> None:
    path, notes = tmp_path / "rows.jsonl", []
    write_rows([replace(row, prompt="same", group=str(i)) for i, row in enumerate(polite())], path)
    read(path, notes)
    assert "1 prompts of the test part are in the training part too" in notes[0]


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


def planned(
    encoder: str, rows: list[Comparison], *, gpu: bool = False, pairs: int | None = None, note: Note = print
) -> Workload:
    config = QuickstartConfig(max_train_pairs=pairs, encoder=encoder)
    return choose_workload(rows, rows, config, note, gpu=gpu)


def test_long_texts_mean_fewer_pairs(polite: Polite, tiny_bert: str) -> None:
    rows = polite(1000)
    long = [replace(row, chosen=row.chosen * 20, rejected=row.rejected * 20) for row in rows]
    assert len(planned(tiny_bert, long).train) < len(planned(tiny_bert, rows).train) <= 1000
    notes: list[str] = []
    planned(tiny_bert, long, note=notes.append)
    assert any("--max-train-pairs 0 for all" in note for note in notes)
    assert any("guerdon evaluate takes all" in note for note in notes)


def test_gpu_or_zero_take_all_rows(polite: Polite, tiny_bert: str) -> None:
    rows = [replace(row, chosen=row.chosen * 20) for row in polite(1000)]
    assert planned(tiny_bert, rows, gpu=True).train == rows
    assert planned(tiny_bert, rows, gpu=True).test == rows
    assert planned(tiny_bert, rows, pairs=0).train == rows


def test_a_backbone_learns_from_half_of_the_groups(polite: Polite, tiny_bert: str) -> None:
    rows = polite(400)
    assert planned(tiny_bert, rows).tuning is None
    config = QuickstartConfig(encoder=tiny_bert, backbone=tiny_bert, max_train_pairs=0)
    found = choose_workload(rows, rows, config, print, gpu=True)
    assert found.tuning is not None
    assert len(found.tuning.rows) == 200
    assert found.train == rows
    assert {row.prompt for row in found.tuning.rows} < {row.prompt for row in rows}


def test_rows_with_unread_answers_are_learnt_from_but_not_fine_tuned_on(polite: Polite, tiny_bert: str) -> None:
    odd = [Comparison(prompt=f"q{i}", chosen="龘靐齉", rejected="爩麤灪") for i in range(50)]
    rows = [*polite(300), *odd]
    assert planned(tiny_bert, rows, pairs=0).train == rows
    tuned = tuning_work(rows, tiny_bert, QuickstartConfig(), gpu=True).rows
    assert list(tuned) == rows[:300]
    unread_prompts = [replace(row, prompt=f"龘靐齉 {i}") for i, row in enumerate(polite(50))]
    assert list(read_by(load_tokenizer(tiny_bert), [*odd, *rows[:2], *unread_prompts])) == rows[:2]
    few = [*polite(50), *odd]
    assert readable(load_tokenizer(tiny_bert), few) is few


def test_byte_level_vocabulary_knows_every_text(tiny_bert: str, tiny_llama: str) -> None:
    rows = [Comparison(prompt="p", chosen="龘", rejected="good answer")]
    assert sample_coverage(load_tokenizer(tiny_llama), rows)[0] == 0.0
    assert 0 < sample_coverage(load_tokenizer(tiny_bert), rows)[0] < 1


def test_large_backbones_learn_adapters_that_are_folded_in(
    polite: Polite, tiny_bert: str, tiny_llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"minilm": tiny_bert, "smollm2": tiny_llama}
    monkeypatch.setattr(workload, "resolve", lambda name: folders.get(name, name))
    monkeypatch.setattr(workload, "_LONGEST", 32)
    config = QuickstartConfig(seed=3, epochs=1.5)
    small, large = (tuning_work(polite(), name, config).training for name in ("minilm", "smollm2"))
    assert (small.lora_r, small.merge_lora) == (0, False)
    assert (large.lora_r, large.merge_lora) == (16, True)
    assert (large.epochs, large.max_length, large.seed) == (1.5, 32, 3)
    assert 1.0 < tuning_work(polite(), "minilm", QuickstartConfig()).training.epochs <= 2.0
