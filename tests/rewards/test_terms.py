"""TF-IDF really learns, in both languages and from every kind of row, and is saved without pickle, exactly."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy.sparse import hstack, vstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from guerdon.errors import ContractError, DataError
from guerdon.metrics import spearman
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.rewards.terms import MAX_CHARACTERS, TermFeatures, fit_tfidf
from guerdon.types import AnyRow, Comparison, Ranking, Rating, Reference, Scorer

ENGLISH = ("thank you for a clear and polite answer", "go away you silly fool", "the river runs past an old mill")
CHINESE = ("谢谢，这个回答很清楚也很有礼貌", "走开，你这个笨蛋", "河水流过一座旧磨坊")


def texts(language: tuple[str, str, str], count: int, seed: int) -> tuple[list[str], list[str]]:
    """Good and bad responses: the words of one of two sentences, shuffled among neutral words."""
    rng = np.random.default_rng(seed)
    space = " " if " " in language[0] else ""
    good, bad, neutral = (sentence.split() if space else list(sentence) for sentence in language)

    def mix(words: list[str]) -> str:
        chosen = [*rng.choice(words, 3), *rng.choice(neutral, rng.integers(3, 9))]
        return space.join(rng.permutation(chosen))

    return [mix(good) for _ in range(count)], [mix(bad) for _ in range(count)]


@pytest.mark.parametrize("language", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_learns_words_from_comparisons(language):
    rows = [Comparison(prompt="p", chosen=c, rejected=r) for c, r in zip(*texts(language, 150, 0), strict=True)]
    reward = fit_tfidf(rows)
    good, bad = texts(language, 100, 1)
    margins = reward.score(["p"] * 100, good) - reward.score(["p"] * 100, bad)
    assert (margins > 0).mean() > 0.9
    assert margins.dtype == np.float32
    assert reward.score([], []).shape == (0,)


@pytest.mark.parametrize("kind", ["rankings", "references", "ratings and comparisons"])
def test_learns_from_every_kind_of_row(kind):
    good, bad = texts(ENGLISH, 100, 0)
    rows: list[AnyRow] = []
    for i, (g, b) in enumerate(zip(good, bad, strict=True)):
        if kind == "rankings":
            rows.append(Ranking(prompt="p", responses=(b, g), scores=(1.0, 4.0)))
        elif kind == "references":
            rows.append(Reference(prompt="p", reference=g, generated=(b,)))
        elif i % 2:
            rows.append(Comparison(prompt="p", chosen=g, rejected=b))
        else:
            rows += [Rating(prompt=f"p{i}", response=t, scores={"score": s}) for t, s in ((g, 5.0), (b, 2.0))]
    test_good, test_bad = texts(ENGLISH, 60, 1)
    reward = fit_tfidf(rows)
    assert (reward.score([""] * 60, test_good) > reward.score([""] * 60, test_bad)).mean() > 0.85


def test_ratings_are_met_in_their_own_units():
    good, bad = texts(ENGLISH, 100, 0)
    rows = [Rating(prompt="p", response=t, scores={"score": s}) for b, s in ((good, 70.0), (bad, 30.0)) for t in b]
    test_good, test_bad = texts(ENGLISH, 60, 1)
    scores = fit_tfidf(rows).score(["p"] * 120, test_good + test_bad)
    assert 40 < scores.mean() < 60
    assert spearman(scores, np.repeat([1, 0], 60)) > 0.7


def test_vote_shares_and_ties_soften_the_reward():
    def fitted(preference: float) -> float:
        rows = [Comparison(prompt="p", chosen="a kind word", rejected="an ugly noise", preference=preference)] * 20
        kind, ugly = fit_tfidf(rows).score(["p", "p"], ["a kind word", "an ugly noise"])
        return float(kind - ugly)

    assert fitted(1.0) > fitted(0.7) > 0
    with pytest.raises(DataError, match="ties and single responses order nothing"):
        fitted(0.5)


def test_a_fit_is_repeatable():
    rows = [Comparison(prompt="p", chosen=c, rejected=r) for c, r in zip(*texts(ENGLISH, 50, 0), strict=True)]
    np.testing.assert_array_equal(fit_tfidf(rows).weights, fit_tfidf(rows).weights)


def test_saved_without_pickle_and_loaded_exactly(tmp_path):
    rows = [Comparison(prompt="p", chosen=c, rejected=r) for c, r in zip(*texts(CHINESE, 60, 0), strict=True)]
    reward = fit_tfidf([*rows, Comparison(prompt="p", chosen="half \ud83d a pair", rejected="no")])
    reward.save(tmp_path / "baseline")
    assert sorted(file.name for file in (tmp_path / "baseline").iterdir()) == [
        "guerdon.json", "linear.safetensors", "training_prompts.json",
    ]  # fmt: skip
    loaded = load_scorer(tmp_path / "baseline")
    fresh = [*texts(CHINESE, 20, 1)[0], "something else \ud83d entirely", "", " "]
    np.testing.assert_array_equal(loaded.score(fresh, fresh), reward.score(fresh, fresh))
    assert isinstance(loaded, Scorer)


@pytest.mark.parametrize("fault", ["missing", "not json", "other format", "no weights", "other length"])
def test_a_broken_folder_is_one_clear_error(tmp_path, fault):
    rows = [Comparison(prompt="p", chosen="a kind word", rejected="an ugly noise")] * 3
    fit_tfidf(rows).save(tmp_path)
    card = tmp_path / "guerdon.json"
    if fault == "missing":
        card.unlink()
    elif fault == "not json":
        card.write_text("{", encoding="utf-8")
    elif fault == "other format":
        card.write_text(json.dumps({"format": 99, "kind": "linear"}), encoding="utf-8")
    elif fault == "no weights":
        (tmp_path / "linear.safetensors").write_bytes(b"\x00" * 40)
    else:
        record = json.loads(card.read_text(encoding="utf-8"))
        record["features"]["terms"][0].pop()
        card.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ContractError, match="guerdon.json"):
        LinearReward.load(tmp_path)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(DataError, match="0 rows have none"):
        fit_tfidf([])
    with pytest.raises(DataError, match="all 2 are 3"):
        fit_tfidf([Rating(prompt="p", response=t, scores={"score": 3.0}) for t in "ab"])
    with pytest.raises(DataError, match="not a word in 2 responses"):
        fit_tfidf([Comparison(prompt="p", chosen=" ", rejected="")])
    with pytest.raises(ValueError, match="1 prompts, 2 responses"):
        fit_tfidf([Comparison(prompt="p", chosen="yes", rejected="no")]).score(["p"], ["a", "b"])


def test_only_the_beginning_of_a_long_response_is_read():
    reward = fit_tfidf([Comparison(prompt="p", chosen="yes and", rejected="no but")])
    start = ("yes and " * MAX_CHARACTERS)[:MAX_CHARACTERS]
    one, other = reward.score(["p", "p"], [start, start + " no but"])
    assert one == other


WORDS = r"[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]"


def test_features_are_those_of_scikit_learn():
    known = [
        *texts(ENGLISH, 20, 0)[0],
        *texts(CHINESE, 20, 0)[1],
        "a",
        "",
        "two  words,\tand a_b: I\u0307 don't!",
        "a a a",
    ]
    fresh = [*texts(ENGLISH, 10, 1)[1], "never seen", " ", "a, A a", "走开 走 a_b"]
    parts = [
        TfidfVectorizer(**settings, sublinear_tf=True, dtype=np.float32).fit(known)
        for settings in (
            {"token_pattern": WORDS, "ngram_range": (1, 2)},
            {"analyzer": "char_wb", "ngram_range": (2, 4)},
        )
    ]
    features = TermFeatures.fit(known)
    assert features.names() == [term for part in parts for term in part.get_feature_names_out()]
    expected = hstack([part.transform(fresh) for part in parts]).toarray()
    np.testing.assert_allclose(features.compute(fresh, fresh).values.toarray(), expected, rtol=1e-5, atol=1e-7)


def test_the_most_frequent_terms_are_kept(monkeypatch):
    monkeypatch.setattr("guerdon.rewards.terms._MAX_TERMS", 3)
    features = TermFeatures.fit(["b a b", "a b c", "d b"])
    assert features.words() == ["a", "a b", "b"]
    assert len(features.names()) == 6


def test_rewards_are_those_of_logistic_and_ridge_regression():
    good, bad = texts(ENGLISH, 150, 0)
    fresh = [*texts(ENGLISH, 30, 1)[0], *texts(ENGLISH, 30, 1)[1]]
    features = TermFeatures.fit([text for pair in zip(good, bad, strict=True) for text in pair])
    left, right, new = (features.compute(part, part).values for part in (good, bad, fresh))
    rows = [Comparison(prompt="p", chosen=c, rejected=r) for c, r in zip(good, bad, strict=True)]
    pairs = LogisticRegression(fit_intercept=False, tol=1e-8).fit(
        vstack([left - right, right - left]), np.repeat([1, 0], 150), sample_weight=np.full(300, 0.5)
    )
    np.testing.assert_allclose(fit_tfidf(rows).score(fresh, fresh), new @ pairs.coef_[0], rtol=0, atol=1e-3)
    grades = np.random.default_rng(0).normal(50, 20, 300)
    ratings = [
        Rating(prompt="p", response=text, scores={"score": grade})
        for text, grade in zip([*good, *bad], grades, strict=True)
    ]
    ridge = Ridge(alpha=1.0, solver="sparse_cg", tol=1e-8).fit(vstack([left, right]), grades)
    np.testing.assert_allclose(fit_tfidf(ratings).score(fresh, fresh), ridge.predict(new), rtol=0, atol=2e-2)


@pytest.mark.slow
def test_ten_thousand_pairs_fit_in_a_minute():
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(8000)])
    popularity = 1 / np.arange(1, 8001)
    drawn = rng.choice(words, (20_000, 80), p=popularity / popularity.sum())
    lines = [" ".join(row) for row in drawn]
    rows = [Comparison(prompt="p", chosen=c, rejected=r) for c, r in zip(lines[::2], lines[1::2], strict=True)]
    start = time.process_time()
    fit_tfidf(rows)
    assert time.process_time() - start < 60
