from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from guerdon.collect.choosing.acquisition import choose, expected_change, information
from guerdon.collect.choosing.choosing_config import RULES, ChoosingConfig, Rule
from guerdon.collect.choosing.head import Head, head_features
from guerdon.collect.choosing.learning import as_pairs
from guerdon.errors import ConfigError
from guerdon.metrics import Floats, sigmoid
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import Member
from guerdon.types import Comparison


def observed(count: int) -> JudgedResponses:
    return as_pairs([Comparison(prompt=f"{n}?", chosen=f"good {n}", rejected=f"bad {n}") for n in range(count)])


@pytest.fixture
def head() -> Head:
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(40, 3)) * [1.0, 0.5, 0.1] + [0.5, 0, 0]
    return Head.fit(asked, observed(40), np.arange(40))


@pytest.fixture
def pool() -> Floats:
    return np.random.default_rng(1).normal(size=(30, 3))


def test_the_head_is_the_most_probable_one(head: Head) -> None:
    chance = sigmoid(head.asked @ head.weights)
    slope = -head.asked.T @ (1 - chance) + head.weights
    assert np.abs(slope).max() < 1e-3
    expected = np.eye(3) + sum(p * (1 - p) * np.outer(x, x) for p, x in zip(chance, head.asked, strict=True))
    assert head.covariance() @ expected == pytest.approx(np.eye(3), abs=1e-10)


def test_expected_change_is_the_mean_length_of_the_gradient(head: Head, pool: Floats) -> None:
    x = pool[4]
    p = 1 / (1 + math.exp(-x @ head.weights))
    gradients = [(p, np.linalg.norm((1 - p) * x)), (1 - p, np.linalg.norm(-p * x))]
    assert expected_change(head, pool)[4] == pytest.approx(sum(chance * length for chance, length in gradients))


@pytest.mark.parametrize(("margin", "variance"), [(0.0, 1.0), (1.5, 0.3), (-3.0, 4.0)])
def test_information_is_the_integral(margin: float, variance: float) -> None:
    def entropy(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    def mean(value: object) -> float:
        density = stats.norm(margin, math.sqrt(variance)).pdf
        return float(integrate.quad(lambda m: value(sigmoid(m).item()) * density(m), margin - 12, margin + 12)[0])

    found = information(np.array([margin]), np.array([variance]))[0]
    assert found == pytest.approx(entropy(mean(lambda p: p)) - mean(entropy), abs=2e-3)


@pytest.mark.parametrize("rule", RULES)
def test_which_response_comes_first_makes_no_difference(rule: Rule, head: Head, pool: Floats) -> None:
    signs = np.random.default_rng(2).choice([-1.0, 1.0], size=(len(pool), 1))
    found, turned = (choose(rule, head, one, 10, np.random.default_rng(3)) for one in (pool, pool * signs))
    assert found.tolist() == turned.tolist()
    assert len(set(found.tolist())) == 10
    assert sorted(choose(rule, head, pool, 99, np.random.default_rng(3)).tolist()) == list(range(30))


def test_d_optimal_takes_what_adds_most_to_the_determinant(head: Head, pool: Floats) -> None:
    information_now = np.linalg.inv(head.covariance())
    chance = sigmoid(pool @ head.weights)
    expected: list[int] = []
    for _ in range(4):
        sizes = [
            -math.inf
            if at in expected
            else np.linalg.slogdet(information_now + chance[at] * (1 - chance[at]) * np.outer(pool[at], pool[at]))[1]
            for at in range(len(pool))
        ]
        best = int(np.argmax(sizes))
        expected.append(best)
        information_now = information_now + chance[best] * (1 - chance[best]) * np.outer(pool[best], pool[best])
    assert choose("d-optimal", head, pool, 4, np.random.default_rng(0)).tolist() == expected


def test_expected_step_is_the_mean_length_of_a_newton_step(head: Head, pool: Floats) -> None:
    chance = sigmoid(head.asked @ head.weights)
    parts = [p * (1 - p) * np.outer(x, x) for p, x in zip(chance, head.asked, strict=True)]
    covariance = np.linalg.inv(np.eye(3) + sum(parts) / 4)

    def length(x: Floats) -> float:
        p = sigmoid(x @ head.weights).item()
        gradients = [(p, (p - 1) * x), (1 - p, p * x)]
        return float(sum(chance * math.sqrt(g @ covariance @ g) for chance, g in gradients))

    first = choose("expected-step", head, pool, 1, np.random.default_rng(0))
    assert first.tolist() == [int(np.argmax([length(x) for x in pool]))]


def test_core_set_goes_to_the_farthest(head: Head) -> None:
    far = np.array([[0.0, 0.1, 0.0], [9.0, 0.0, 0.0], [-9.0, 0.1, 0.0], [0.0, 7.0, 0.0]])
    assert choose("core-set", head, far, 2, np.random.default_rng(0)).tolist() in ([1, 3], [2, 3])


def test_margin_takes_what_is_most_open(head: Head, pool: Floats) -> None:
    found = choose("margin", head, pool, 5, np.random.default_rng(0))
    assert set(found.tolist()) == set(np.argsort(np.abs(pool @ head.weights))[:5].tolist())


def test_heads_of_an_ensemble_differ(head: Head) -> None:
    weights = head.ensemble(4, np.random.default_rng(0))
    assert weights.shape == (4, 3)
    assert len({tuple(one) for one in weights.round(6).tolist()}) == 4
    assert np.abs(weights.mean(axis=0) - head.weights).max() < 1


def test_features_keep_the_inner_products_of_scaled_members() -> None:
    rng = np.random.default_rng(0)
    surface, longest = rng.normal(size=(12, 4)), rng.normal(size=(12, 1))
    members = [
        Member("surface", surface, (3.0,), lambda weights, intercept: None),
        Member("longest", longest, (), lambda weights, intercept: None),
    ]
    features = head_features(members)
    scaled = np.concatenate([surface / 10, (longest - longest.mean()) / longest.std() / np.sqrt(3)], axis=1)
    scaled -= scaled.mean(axis=0)
    assert np.sum(np.square(features)) >= 0.97 * np.sum(np.square(scaled))
    assert np.abs(features @ features.T - scaled @ scaled.T).max() < 0.03 * np.sum(np.square(scaled))


def test_options_say_all_faults_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--random-share .* got 0; --pool"):
        ChoosingConfig(random_share=0, pool=0)
