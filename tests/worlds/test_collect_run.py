"""Pieces of play become comparisons that rewards are trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import guerdon
from guerdon.errors import DataError
from guerdon.worlds.collect_run import collect_play
from guerdon.worlds.world_config import CollectConfig

CONFIG = CollectConfig(episodes=8, pairs=60, length=2, max_steps=30, walkthrough_share=0.75)


def test_the_piece_that_ends_higher_is_chosen(simple_game: Path, tmp_path: Path) -> None:
    found = collect_play([simple_game], tmp_path, CONFIG)
    rows = guerdon.load_rows(str(tmp_path / "pairs.jsonl"))
    assert len(rows) == len(found.rows) == 60
    for row in rows:
        assert isinstance(row, guerdon.Comparison)
        assert row.extra["score_chosen"] > row.extra["score_rejected"]
        assert row.chosen.count("\n> ") + row.chosen.startswith("> ") == 2
        assert "score" not in row.chosen + row.rejected
        assert row.group == simple_game.stem
    levels = {one.score for episode in found.episodes for one in episode.situations[CONFIG.length :]}
    assert sum(row.extra["score_chosen"] == max(levels) for row in rows) > len(rows) / len(levels)
    assert 0 < found.led < 1
    episodes = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert [len(one["turns"]) for one in episodes] == [len(one.situations) for one in found.episodes]
    fitted = guerdon.fit_reward(tmp_path / "pairs.jsonl", config=guerdon.FitConfig(members=("tfidf",)))
    row = found.rows[0]
    chosen, rejected = fitted.reward.score([row.prompt] * 2, [row.chosen, row.rejected])
    assert chosen > rejected


def test_a_person_chooses(coin_game: Path, tmp_path: Path) -> None:
    answers = iter("ab=q")
    asked = []

    def choose(objective: str, a: str, b: str) -> str:
        asked.append((a, b))
        return next(answers)

    config = CollectConfig(episodes=4, pairs=60, length=1, max_steps=10, judge="person")
    found = collect_play([coin_game], tmp_path, config, choose_piece=choose)
    assert [(row.chosen, row.rejected) for row in found.rows] == [asked[0], asked[1][::-1]]
    assert len(asked) == 4


def test_play_without_a_difference_is_refused(coin_game: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no two pieces differ"):
        collect_play([coin_game], tmp_path, CollectConfig(episodes=1, max_steps=1, length=1, walkthrough_share=0))
