"""Every method on every kind of reward: values add up, change their sign with the responses, and are the right ones."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from guerdon.errors import ConfigError, MissingExtraError
from guerdon.explain.methods import Method, attribute, default_method
from guerdon.explain.target import System, Target
from guerdon.explain.units import Case
from guerdon.rewards.blend import Blend
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison
from scorers_to_explain import FIRST, OTHER, PROMPT, FirstPlace, Words

PAIR = Case(PROMPT, FIRST, OTHER)


def rows() -> list[Comparison]:
    return [Comparison(prompt=f"p{i}", chosen=f"{FIRST} {i}", rejected=f"{OTHER} {i % 3}") for i in range(10)]


def surface() -> LinearReward:
    return LinearReward.fit(SurfaceFeatures(), JudgedResponses.of(rows()), penalty=3.0)


@pytest.fixture(scope="module")
def systems(encoder_reward: TransformerReward, tiny_bert: str) -> dict[str, System]:
    other = TransformerReward.create(tiny_bert, seed=1)
    other.contract = replace(other.contract, mean=0.5, std=2.0)
    tfidf = fit_tfidf(rows())
    members = {"words": tfidf, "form": surface(), "net": encoder_reward, "longest": LengthReward()}
    return {
        "encoder": encoder_reward,
        "ensemble": Ensemble([encoder_reward, other]),
        "tfidf": tfidf,
        "blend": Blend(members, [1.0, 0.5, 2.0, 0.3], means=[0, 1, 0, 9], deviations=[1, 2, 1, 30], shift=0.7, scale=2),
        "longest": LengthReward(),
        "words": Words(egg=2.0, water=1.0, sorry=-3.0),
        "judge": FirstPlace(),
    }


KINDS = {
    "encoder": "integrated-gradients", "ensemble": "integrated-gradients", "tfidf": "exact", "blend": "members",
    "longest": "exact", "words": "occlusion", "judge": "occlusion",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_method_and_its_difference_changes_sign(kind: str, systems: dict[str, System]) -> None:
    system = systems[kind]
    assert default_method(system) == KINDS[kind]
    found, swapped = (attribute(Target(system), case) for case in (PAIR, PAIR.swapped()))
    assert found.total == pytest.approx(-swapped.total, abs=1e-5)
    for part, opposite in (("response", "other"), ("other", "response")):
        values, others = (dict(enumerate(one.part(name))) for one, name in ((found, part), (swapped, opposite)))
        assert [text for text, _ in values.values()] == [text for text, _ in others.values()]
        np.testing.assert_allclose(
            [value for _, value in values.values()], [-value for _, value in others.values()], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("kind", ["encoder", "ensemble", "tfidf", "longest"])
@pytest.mark.parametrize("other", [None, OTHER])
def test_values_add_up(kind: str, other: str | None, systems: dict[str, System]) -> None:
    case = Case(PROMPT, FIRST, other)
    target = Target(systems[kind])
    found = attribute(target, case)
    assert found.error < 0.01
    assert found.total == pytest.approx(float(target.ask([case]).values[0]), abs=1e-5)
    for level in ("word", "sentence"):
        coarser = found.at(level)  # type: ignore[arg-type]
        assert coarser.values.sum() + coarser.elsewhere == pytest.approx(found.total - found.reference, abs=0.02)


def test_prompt_and_response_are_attributed_to_apart(encoder_reward: TransformerReward) -> None:
    target = Target(encoder_reward)
    both = attribute(target, Case(PROMPT, FIRST), parts=("prompt", "response"))
    alone = attribute(target, Case(PROMPT, FIRST))
    assert both.part("response") == alone.part("response")
    assert "".join(text for text, _ in both.at("word").part("prompt")) == PROMPT
    assert any(value for _, value in both.part("prompt"))


def test_a_blend_is_the_sum_of_its_members(systems: dict[str, System]) -> None:
    blend = systems["blend"]
    assert isinstance(blend, Blend)
    found = attribute(Target(blend), Case(PROMPT, FIRST))
    expected = np.zeros(len(found.units))
    for place, member in enumerate(blend.members.values()):
        own = attribute(Target(member), Case(PROMPT, FIRST), grain="word")
        expected += blend.scale * blend.weights[place] / blend.deviations[place] * own.onto(found.units)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-6)
    assert found.total == pytest.approx(float(blend.score([PROMPT], [FIRST])[0]))


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_of_a_sum_of_words_removal_gives_each_word_its_value(method: Method) -> None:
    found = attribute(Target(Words(egg=2.0, sorry=-3.0)), Case("?", "Sorry, no egg here."), method=method, grain="word")
    np.testing.assert_allclose([value for _, value in found.part("response")], [-3, 0, 2, 0], atol=1e-5)
    assert found.total == -1
    if method == "shapley":
        assert found.error < 1e-5


def test_shapley_shares_what_two_words_do_together() -> None:
    class Both:
        def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
            return np.float32([float("not" in text and "bad" in text) for text in responses])

    case = Case("?", "It is not so bad")
    found = attribute(Target(Both()), case, method="shapley", grain="word")
    values = dict(found.part("response"))
    assert values["not "] + values["bad"] == pytest.approx(1)
    assert values["not "] == pytest.approx(0.5, abs=0.3)
    assert values["so "] == 0
    again = attribute(Target(Both()), case, method="shapley", grain="word")
    np.testing.assert_array_equal(found.values, again.values)


def test_sentences_are_left_out_unless_words_are_asked_for() -> None:
    scorer = Words(egg=2.0)
    found = attribute(Target(scorer), Case("?", "An egg. No."))
    assert found.part("response") == [("An egg. ", 2.0), ("No.", 0.0)]
    assert scorer.asked == found.passes == 3


def test_a_judge_is_explained_without_its_liking_for_a_place() -> None:
    target = Target(FirstPlace())
    found = attribute(target, Case("?", "Four. Five!", "Six"), grain="word")
    assert found.total == pytest.approx(0.8, abs=1e-4)
    assert dict(found.part("response")) == pytest.approx({"Four. ": 0.6, "Five!": 0.6}, abs=1e-4)
    assert dict(found.part("other")) == pytest.approx({"Six": -0.3}, abs=1e-4)
    with pytest.raises(ConfigError, match="--versus"):
        attribute(target, Case("?", "Four."))


def test_what_does_not_fit_is_told_with_what_does(systems: dict[str, System]) -> None:
    with pytest.raises(ConfigError, match="exact does not fit a Words; these do: occlusion, shapley"):
        attribute(Target(systems["words"]), PAIR, method="exact")
    with pytest.raises(ConfigError, match="does not fit a LinearReward; these do: exact, occlusion, shapley"):
        attribute(Target(systems["tfidf"]), PAIR, method="integrated-gradients")
    with pytest.raises(ConfigError, match="does not fit a FirstPlace"):
        attribute(Target(systems["judge"]), PAIR, method="gradient-x-input")


@pytest.mark.parametrize("method", ["integrated-gradients", "gradient-x-input", "shapley"])
def test_a_missing_library_is_told_with_the_command(
    method: Method, encoder_reward: TransformerReward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtraError, match=r'pip install "guerdon\[explain\]"'):
        attribute(Target(encoder_reward), Case(PROMPT, FIRST), method=method)


def test_a_response_without_a_score_has_no_values_and_a_reason() -> None:
    class Picky:
        def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
            return np.float32([len(text) if len(text) > 9 else np.nan for text in responses])

    found = attribute(Target(Picky()), Case("?", "Short. Quite a bit longer."))
    assert found.values[0] == 7
    assert np.isnan(attribute(Target(Picky()), Case("?", "Short. And this.")).values[1])
    gone = attribute(Target(Picky()), Case("?", "Short."), method="shapley")
    assert np.isnan(gone.values).all()
    assert gone.reasons == ("the scorer gave nan",)
