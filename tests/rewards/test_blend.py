"""A blend comes back from its folder as it was, with members of every kind; a broken one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import ConfigError, ContractError
from guerdon.rewards.blend import Blend
from guerdon.rewards.embedding import CosineReward, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison

ROWS = [
    Comparison(prompt=f"p{i}", chosen="boiling water, please" + "!" * (i % 3), rejected="I do not know " * (1 + i % 4))
    for i in range(12)
]
TEXTS = ["boiling water", "I do not know", "the largest planet", ""]


@pytest.fixture
def blend(tiny_bert: str) -> Blend:
    judged = JudgedResponses.of(ROWS)
    members = {
        "shortest": LengthReward(-1),
        "surface": LinearReward.fit(SurfaceFeatures(), judged, penalty=3.0),
        "tfidf": fit_tfidf(ROWS),
        "near": CosineReward(text_encoder(tiny_bert)),
        "trained": TransformerReward.create(tiny_bert, seed=1),
    }
    return Blend(
        members,
        [0.3, 1 / 3, 2.0, 0.7, 1.1],
        means=[-5.0, 0.1, 0.2, 0.3, 0.4],
        deviations=[7.0, 0.5, 0.6, 0.7, 0.8],
        shift=0.25,
        scale=1.5,
    )


def test_saved_and_loaded_to_the_last_bit(blend: Blend, tmp_path: Path) -> None:
    blend.save(tmp_path / "blend")
    loaded = load_scorer(tmp_path / "blend")
    assert isinstance(loaded, Blend)
    assert list(loaded.members) == list(blend.members)
    for one in (blend, loaded):
        found = one.score_with_reasons(TEXTS, TEXTS)
        assert np.isfinite(found.values).all()
        np.testing.assert_array_equal(found.values, blend.score(TEXTS, TEXTS))
    np.testing.assert_array_equal(loaded.contributions(TEXTS, TEXTS), blend.contributions(TEXTS, TEXTS))


@pytest.mark.parametrize("fault", ["no member", "no weight", "all weights 0", "broken member"])
def test_a_broken_folder_is_one_clear_error(fault: str, blend: Blend, tmp_path: Path) -> None:
    blend.save(tmp_path)
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    if fault == "no member":
        (tmp_path / "surface" / "guerdon.json").unlink()
    elif fault == "no weight":
        del card["members"][1]["weight"]
    elif fault == "all weights 0":
        card["members"] = [entry | {"weight": 0.0} for entry in card["members"]]
    else:
        (tmp_path / "tfidf" / "linear.safetensors").write_bytes(b"\x00" * 40)
    (tmp_path / "guerdon.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError):
        load_scorer(tmp_path)


def test_weights_that_make_no_reward_are_refused() -> None:
    members = {"longest": LengthReward(), "shortest": LengthReward(-1)}
    for weights in ([0.0, 0.0], [1.0, -0.5]):
        with pytest.raises(ConfigError, match="0 or more, and not all 0"):
            Blend(members, weights, means=[0, 0], deviations=[1, 1])
    with pytest.raises(ConfigError, match="for each of 2 members"):
        Blend(members, [1.0], means=[0], deviations=[1])


def test_order_and_batch_make_no_difference(blend: Blend) -> None:
    whole = blend.score(TEXTS, TEXTS)
    np.testing.assert_allclose(blend.score(TEXTS[::-1], TEXTS[::-1])[::-1], whole, rtol=0, atol=1e-5)
    alone = np.concatenate([blend.score([text], [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, whole, rtol=0, atol=1e-5)
