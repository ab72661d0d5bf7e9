"""The whole explanation: what function and files say, in English and Chinese, of every kind of reward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError, DataError, OutputError
from guerdon.explain.explain_config import ExplainConfig
from guerdon.explain.explain_page import explain_page
from guerdon.explain.explain_run import explain_reward
from guerdon.rewards.blend import Blend
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison
from json_lines import write_lines
from scorers_to_explain import FIRST, OTHER, PROMPT, FirstPlace, Words


def rows() -> list[Comparison]:
    return [Comparison(prompt=f"p{i}", chosen=f"{FIRST} {i}", rejected=f"{OTHER} {i % 3}") for i in range(10)]


def test_a_pair_on_a_transformer(encoder_reward: TransformerReward, tmp_path: Path) -> None:
    page, file = tmp_path / "page.html", tmp_path / "values.json"
    found = explain_reward(encoder_reward, prompt=PROMPT, response=FIRST, versus=OTHER, page=page, json=file)
    (case,) = found.cases
    first, other = encoder_reward.score([PROMPT] * 2, [FIRST, OTHER])
    assert (case.score, case.other_score) == (pytest.approx(first, abs=1e-5), pytest.approx(other, abs=1e-5))
    assert case.margin == pytest.approx(first - other, abs=1e-5)
    assert case.preferred == pytest.approx(float(encoder_reward.compare([PROMPT], [FIRST], [OTHER])[0]), abs=1e-5)
    assert case.attribution.error < 0.01
    assert set(case.attention) == {"response", "other"}
    assert case.curves["response"].sentences == (
        "Put it into boiling water for eight minutes, then cool it. ",
        "I am sorry.",
    )
    assert case.curves["response"].scores[-1] == pytest.approx(first, abs=1e-5)
    values = json.loads(file.read_text(encoding="utf-8"))
    assert values == found.to_dict()
    written: dict[str, Any] = values["cases"][0]
    for level in ("tokens", "words", "sentences"):
        units = written["attribution"][level]
        assert {unit["part"] for unit in units} == {"response", "other"}
    assert "".join(unit["text"] for unit in written["attribution"]["words"] if unit["part"] == "response") == FIRST
    assert np.array(written["attention"]["response"]["heads"]).shape[:2] == (2, 4)
    assert written["flip"]["passes"] <= 200
    text = page.read_text(encoding="utf-8")
    assert text == explain_page(found)
    assert "The shortest edit" in text
    assert "Where the model looks, which is not why" in text
    assert "integrated gradients" in text


def test_chinese_pages_are_in_chinese_and_escape_what_they_show() -> None:
    found = explain_reward(
        "longest", prompt="<b>为什么？</b>", response="因为大气散射蓝光。<script>", versus="不知道。"
    )
    text = explain_page(found)
    assert 'lang="zh-Hans"' in text
    assert "怎样" not in text or "阅读" in text
    assert "使结果反转的最短改动" in text
    assert "<script>" not in text
    assert "&lt;b&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    english = explain_page(found, "en")
    assert "The shortest edit that turns it round" in english


def test_a_data_set_says_what_moves_its_scores_and_how_faithful_that_is(tmp_path: Path) -> None:
    texts = [(f"p{i}", " ".join(["egg"] * (i % 3) + ["so"] * 6 + ["pot", "sorry"][: 1 + i % 2])) for i in range(24)]
    data = write_lines(
        tmp_path / "rows.jsonl",
        *({"prompt": prompt, "chosen": text + " egg", "rejected": text} for prompt, text in texts),
    )
    config = ExplainConfig(faithfulness=True, faithfulness_rows=4, rows=2, sample=30, segments=6)
    seen: list[str] = []
    found = explain_reward(
        Words(egg=2.0, sorry=-1.0), data, config=config, progress=lambda what, done, total: seen.append(what)
    )
    assert len(found.cases) == 2
    assert found.importance is not None
    assert found.importance.movers[0].name == "egg"
    assert found.importance.responses == 30
    assert found.faithfulness is not None
    assert found.faithfulness.rows <= 4
    assert {"what moves the scores", "attributions", "faithfulness"} <= set(seen)
    text = explain_page(found)
    assert "What moves the scores of the whole data" in text
    assert "How far these explanations can be trusted" in text
    json.dumps(found.to_dict(), allow_nan=False)


def test_members_and_features_of_a_blend() -> None:
    surface = LinearReward.fit(SurfaceFeatures(), JudgedResponses.of(rows()), penalty=3.0)
    members = {"words": fit_tfidf(rows()), "form": surface, "longest": LengthReward()}
    blend = Blend(members, [1.0, 1.0, 0.5], means=[0, 0, 9], deviations=[1, 1, 30])
    found = explain_reward(blend, prompt=PROMPT, response=FIRST, versus=OTHER)
    (case,) = found.cases
    assert [one.name for one in case.members] == list(members)
    assert sum(one.difference for one in case.members) == pytest.approx(case.margin, abs=1e-5)
    assert {one.member for one in case.features} <= {"words", "form"}
    assert "what each member adds" in explain_page(found).lower()
    weighted = WeightedSum({"a": LengthReward(), "b": LengthReward(-1)}, {"a": 2.0, "b": 1.0})
    (case,) = explain_reward(weighted, prompt="?", response="four").cases
    assert {one.name: one.values for one in case.members} == {"a": (8.0,), "b": (-4.0,)}


def test_a_judge_is_explained_on_pairs_alone(tmp_path: Path) -> None:
    data = write_lines(
        tmp_path / "rows.jsonl", {"prompt": "?", "response": "One."}, {"prompt": "!", "chosen": "Two", "rejected": "T"}
    )
    found = explain_reward(FirstPlace(), data)
    assert len(found.cases) == 1
    assert found.importance is None
    assert "no scores" in found.notes[0]
    assert np.isnan(found.cases[0].score)
    assert found.cases[0].preferred == pytest.approx(1 / (1 + np.exp(-0.2)), abs=1e-4)
    assert "compares the two and prefers this response" in explain_page(found)


def test_options_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a response to explain"):
        explain_reward("longest")
    with pytest.raises(ConfigError, match="not both"):
        explain_reward("longest", "rows.jsonl", response="a")
    with pytest.raises(ConfigError, match="--versus goes with --response"):
        explain_reward("longest", "rows.jsonl", versus="a")
    with pytest.raises(ConfigError, match=r"--method must be one of.*--rows must be 0 or more|--rows.*--method"):
        ExplainConfig(method="magic", rows=-1)  # type: ignore[arg-type]
    with pytest.raises(OutputError):
        explain_reward("longest", response="a", page=tmp_path)


def test_a_response_without_a_score_is_told_and_in_data_left_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no score to explain: the row has no reference answer"):
        explain_reward("exact", prompt="?", response="4")
    assert explain_reward("exact", prompt="?", response="4", reference="4").cases[0].score == 1
    data = write_lines(
        tmp_path / "rows.jsonl",
        {"prompt": "?", "response": "5 it is", "reference": "4"},
        {"prompt": "!", "response": "No idea at all", "reference": "4"},
        {"prompt": "!!", "response": "four, or so"},
    )
    found = explain_reward("numeric", data)
    assert len(found.cases) == 2
    assert any("left out" in note for note in found.notes)
    assert any("1 of 3 responses take no part" in note for note in found.notes)


def test_rows_that_a_model_would_cut_are_refused_as_elsewhere(
    encoder_reward: TransformerReward, tmp_path: Path
) -> None:
    long = [{"prompt": "p", "chosen": "good " * 3000, "rejected": "bad"}] * 3
    with pytest.raises(DataError, match="3 of 6 responses"):
        explain_reward(encoder_reward, write_lines(tmp_path / "long.jsonl", *long))
