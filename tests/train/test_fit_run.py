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
