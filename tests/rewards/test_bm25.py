"""BM25 gives the values of a search library, and keeps what it counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import ContractError
from guerdon.rewards.bm25 import Bm25Reward
from guerdon.rewards.load import load_scorer
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Ranking

DOCUMENTS = [
    "Put it into boiling water for eight minutes, then cool it.",
    "The largest planet is Jupiter, the largest planet of all planets.",
    "Water boils at 100 degrees; boiling water is hot water.",
    "",
    "木星是太阳系中最大的行星。",
]
QUERIES = ["How long do eggs stay in boiling water?", "the largest planet", "最大的行星是哪一颗？", "water water"]
BY_BM25S = [
    [0.722036, 0.0, 0.984495, 0.0, 0.0],
    [0.0, 2.428545, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 3.528712],
    [0.722036, 0.0, 1.215162, 0.0, 0.0],
]
"""bm25s 0.3.16, `BM25(method="lucene", k1=1.2, b=0.75)`, on the same words."""


def test_the_values_are_those_of_bm25s() -> None:
    reward = Bm25Reward.fit(DOCUMENTS)
    for query, expected in zip(QUERIES, BY_BM25S, strict=True):
        np.testing.assert_allclose(reward.score([query] * 5, DOCUMENTS), expected, rtol=0, atol=2e-6)


def test_a_score_does_not_depend_on_the_batch_and_new_words_are_rare_ones() -> None:
    reward = Bm25Reward.fit(DOCUMENTS)
    alone = reward.score(QUERIES[:1], DOCUMENTS[2:3])
    assert alone == reward.score(QUERIES[:1] * 5, DOCUMENTS)[2:3]
    known, unheard = reward.score(["water", "eggs"], ["water for tea", "eggs for tea"])
    assert 0 < known < unheard


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    reward = Bm25Reward.fit([*DOCUMENTS, "half \ud83d a pair"])
    reward.save(tmp_path)
    loaded = load_scorer(tmp_path)
    np.testing.assert_array_equal(loaded.score(QUERIES, DOCUMENTS[:4]), reward.score(QUERIES, DOCUMENTS[:4]))
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    (tmp_path / "guerdon.json").write_text(json.dumps(card | {"frequencies": ["water"]}), encoding="utf-8")
    with pytest.raises(ContractError, match="is not that of BM25"):
        load_scorer(tmp_path)


def test_counts_come_from_the_responses_of_data(tmp_path: Path) -> None:
    record = {"prompt": "q", "responses": DOCUMENTS[:3]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(record), encoding="utf-8")
    named, fitted = load_scorer(f"bm25:{tmp_path / 'rows.jsonl'}"), Bm25Reward.fit(DOCUMENTS[:3])
    np.testing.assert_array_equal(named.score(QUERIES[:3], DOCUMENTS[:3]), fitted.score(QUERIES[:3], DOCUMENTS[:3]))


def test_a_blend_of_rankings_takes_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        texts = [f"word{number} is here", *(f"word{other} is there" for other in 100 + rng.integers(99, size=3))]
        rows.append(Ranking(prompt=f"where is word{number}", responses=tuple(texts), scores=(3.0, 1.0, 1.0, 0.0)))
    fitted = fit_reward(rows, tmp_path / "model", FitConfig(members=("longest", "bm25")))
    assert {one.name: one.agreement.point for one in fitted.measured()}["bm25"] > 0.75
    loaded = load_scorer(tmp_path / "model")
    assert "bm25" in fitted.reward.members
    texts = rows[0].responses
    np.testing.assert_array_equal(
        loaded.score([rows[0].prompt] * 4, texts), fitted.reward.score([rows[0].prompt] * 4, texts)
    )
