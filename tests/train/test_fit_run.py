from __future__ import annotations

from pathlib import Path

import numpy as np

from guerdon.evaluate.baselines import default_baselines
from guerdon.rewards.load import load_scorer
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison


def test_the_folder_stands_alone_with_its_baseline(tmp_path: Path, tiny_bert: str) -> None:
    rows = [
        Comparison(prompt=f"p{i}", chosen=f"a good answer {i}", rejected=f"no idea {i}, and {'x' * (i % 20)}")
        for i in range(40)
    ]
    config = FitConfig(members=("longest", "surface", "tfidf", "embedding", "cosine"), encoder=tiny_bert)
    fitted = fit_reward(rows, tmp_path / "model", config)
    assert not fitted.learnt.any()
    assert fitted.judged.agreement(fitted.margins["blend"]) == 1.0
    loaded = load_scorer(tmp_path / "model")
    texts = [row.chosen for row in rows], [row.rejected for row in rows]
    prompts = [row.prompt for row in rows]
    for responses in texts:
        assert np.allclose(loaded.score(prompts, responses), fitted.reward.score(prompts, responses), atol=1e-6)
    baselines = default_baselines(rows, {"model": loaded})
    assert "TF-IDF (same training data)" in baselines


def test_mismatched_comparisons_teach_the_topic_and_are_not_measured() -> None:
    topics = [f"{first}{second}a" for first in "bdfgk" for second in ("ala", "ere", "imi", "oro", "unu", "asta")]
    rows = [
        Comparison(
            prompt=f"What is a {topic}?",
            chosen=f"A {topic} is a round, blue stone.",
            rejected=f"What a {topic} is? A {topic} is a {topic}, perhaps.",
        )
        for topic in topics
    ]
    prompts = [row.prompt for row in rows]
    elsewhere = [row.chosen for row in [*rows[1:], rows[0]]]
    ahead = {}
    for share in (0.0, 0.5):
        fitted = fit_reward(rows, config=FitConfig(members=("surface", "tfidf"), mismatched_share=share))
        gain = fitted.reward.score(prompts, [row.chosen for row in rows]) - fitted.reward.score(prompts, elsewhere)
        ahead[share] = float((gain > 0).mean())
        assert len(fitted.measurable) == len(rows)
        assert [one.name for one in fitted.measured()] == ["surface", "tfidf", "blend"]
        assert fitted.measured()[-1].agreement.point == 1.0
        assert fitted.gain_over("tfidf").point == 0.0
    assert ahead[0.5] == 1.0
    assert ahead[0.0] < 0.8
