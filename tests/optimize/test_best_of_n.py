"""Best-of-N: the curve of a known case, what has no reward, and the rows that it leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from guerdon.data.candidates import record_candidates
from guerdon.data.formats import read_record
from guerdon.errors import DataError
from guerdon.metrics import best_of_n_kl
from guerdon.optimize.best_of_n import best_of_n, candidate_records, rewards_of, training_records
from guerdon.optimize.best_of_n_run import run_best_of_n
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates, Comparison, Message, Origin, Rewards
from json_lines import write_lines


def pool(count: int, size: int, seed: int = 0) -> tuple[list[Candidates], np.ndarray]:
    rng = np.random.default_rng(seed)
    candidates = [Candidates(prompt=f"p{i}", responses=tuple(f"r{j}" for j in range(size))) for i in range(count)]
    return candidates, rng.uniform(size=(count, size))


def test_the_curve_of_uniform_rewards_is_known() -> None:
    """The best of n uniform numbers is n / (n + 1) on average; what has nothing to do with them stays at 1/2."""
    candidates, rewards = pool(400, 16)
    noise = np.random.default_rng(1).uniform(size=rewards.shape)
    result = best_of_n(candidates, {"reward": list(rewards), "noise": list(noise)})
    assert result.ns == (1, 2, 4, 8, 16)
    assert result.kl_bounds == tuple(map(best_of_n_kl, result.ns))
    for n, mean, watched in zip(result.ns, result.curves[0].means, result.curves[1].means, strict=True):
        assert mean.low < n / (n + 1) < mean.high
        assert watched.low < 0.5 < watched.high
    assert result.curves[0].gains[0].point == 0
    assert result.curves[0].gains[-1].low > 0
    assert result.curves[1].gains[-1].low <= 0
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_largest_n_is_the_best_of_all() -> None:
    candidates, rewards = pool(9, 6)
    result = best_of_n(candidates, {"reward": list(rewards)})
    assert result.ns == (1, 2, 4, 6)
    assert result.curves[0].means[-1].point == pytest.approx(rewards.max(axis=1).mean())
    assert result.curves[0].means[0].point == pytest.approx(rewards.mean())


def test_what_has_no_reward_takes_no_part_and_is_never_zero() -> None:
    candidates, rewards = pool(30, 5)
    rewards -= 10
    rewards[:, 4] = np.nan
    rewards[0, 1:] = np.nan
    result = best_of_n(candidates, {"reward": list(rewards)}, n=4)
    assert result.prompts == 29
    assert [(one.prompt, one.responses, one.usable) for one in result.left_out] == [("p0", 5, 1)]
    assert result.curves[0].means[-1].point == pytest.approx(rewards[1:, :4].max(axis=1).mean())
    watched = np.where(np.arange(5) == 0, np.nan, rewards)
    result = best_of_n(candidates, {"reward": list(rewards), "watches": list(watched)}, n=3)
    assert result.curves[0].means[-1].point == pytest.approx(rewards[1:, 1:4].max(axis=1).mean())


def test_groups_are_drawn_whole() -> None:
    candidates, rewards = pool(40, 4)
    grouped = [
        Candidates(prompt=one.prompt, responses=one.responses, group=str(i % 2)) for i, one in enumerate(candidates)
    ]
    rewards[::2] += 5
    free, tied = (best_of_n(c, {"r": list(rewards)}).curves[0].means[0] for c in (candidates, grouped))
    assert tied.high - tied.low > 2 * (free.high - free.low)


@pytest.mark.parametrize(("size", "n"), [(3, 4), (1, None)])
def test_too_few_answers_are_an_error(size: int, n: int | None) -> None:
    candidates, rewards = pool(5, size)
    with pytest.raises(DataError, match=rf"the prompts have {size} to {size}"):
        best_of_n(candidates, {"r": list(rewards)}, n=n)


def test_rewards_are_split_by_prompt_and_infinity_is_none() -> None:
    class Lengths:
        def score(self, prompts, responses, *, references=None):
            assert references == ["ref", "ref", None]
            return np.array([len(response) or np.inf for response in responses])

    found = rewards_of(
        Lengths(),
        [Candidates(prompt="p", responses=("a", ""), reference="ref"), Candidates(prompt="q", responses=("abc",))],
    )
    np.testing.assert_array_equal(found[0].values, [1, np.nan])
    np.testing.assert_array_equal(found[1].values, [3])
    assert [one.reasons for one in found] == [("", "the scorer gave inf"), ("",)]


def test_training_rows_are_of_layouts_that_are_read_back() -> None:
    chat = (Message("system", "s"), Message("user", "q"))
    candidates = [
        Candidates(prompt="p", responses=("a", "b", "c")),
        Candidates(prompt=chat, responses=("x", "y")),
        Candidates(prompt="t", responses=("m", "n")),
        Candidates(prompt="n", responses=("o",)),
    ]
    rewards = [np.array([1.0, np.nan, 3.5]), np.array([2.0, 1.0]), np.array([1.0, 1.0]), np.array([np.nan])]
    best, pairs = training_records(candidates, rewards)
    assert [row["completion"] for row in best] == ["c", [{"role": "assistant", "content": "x"}], "m"]
    (first,), (second,) = (read_record(record, None) for record in pairs)
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert (first.prompt, first.chosen, first.rejected, first.margin) == ("p", "c", "a", 2.5)
    assert (second.prompt, second.chosen, second.rejected) == (chat, "x", "y")
    records = candidate_records(candidates, {"reward": rewards})
    assert records[0] == {"prompt": "p", "responses": ["a", "b", "c"], "reward": [1.0, None, 3.5]}
    told = [Rewards(values, tuple("empty" if np.isnan(one) else "" for one in values)) for values in rewards]
    first, second, *_ = candidate_records(candidates, {"reward": rewards}, {"reward": told})
    assert first["reward_reason"] == [None, "empty", None]
    assert "reward_reason" not in second


def test_equal_responses_are_samples_of_their_own() -> None:
    """Three of four samples are worth 2, one 4: the mean is 2.5, the best of two 3.0, the best of four 4.0."""
    (one,) = read_of({"prompt": "p", "responses": ["no", "no", "no", "yes!"]})
    result = best_of_n([one], {"longest": longest([one])})
    assert result.ns == (1, 2, 4)
    assert [mean.point for mean in result.curves[0].means] == pytest.approx([2.5, 3.0, 4.0])
    assert result.left_out == ()


def test_equal_responses_to_every_prompt_still_make_a_curve() -> None:
    same = Candidates(prompt="p", responses=("a", "a"))
    result = best_of_n([same], {"longest": longest([same])})
    assert (result.ns, result.curves[0].gains[-1].point) == ((1, 2), 0.0)


def test_prompts_that_are_left_out_are_named_with_their_reason() -> None:
    candidates = [
        Candidates(prompt="whole", responses=("a", "b")),
        Candidates(prompt="single", responses=("a",), origin=Origin("mine.jsonl", 2)),
        Candidates(prompt="failed", responses=("a", "b")),
    ]
    rewards = [np.array([1.0, 2.0]), np.array([1.0]), np.array([np.nan, 1.0])]
    result = best_of_n(candidates, {"r": rewards}, n=2, reasons=[["", ""], [""], ["no sandbox", ""]])
    assert [(one.prompt, one.reason) for one in result.left_out] == [
        ("mine.jsonl:2", "it has 1 response, the curve goes to n = 2"),
        ("failed", "1 of its 2 responses have every reward: no sandbox"),
    ]


def test_ids_subsets_and_own_columns_are_kept_everywhere() -> None:
    row = {"prompt": "p", "responses": ["a", "bb"], "id": "7", "subset": "geo", "reference": "bb", "source": "mine"}
    (one,) = read_of(row)
    own = {name: row[name] for name in ("id", "subset", "reference", "source")}
    rewards = [np.array([1.0, np.nan])]
    best, pairs = training_records([one], [np.array([1.0, 2.0])])
    assert best == [own | {"prompt": "p", "completion": "bb"}]
    assert pairs == [own | {"prompt": "p", "chosen": "bb", "rejected": "a", "margin": 1.0}]
    assert candidate_records([one], {"r": rewards}, {"r": [Rewards(rewards[0], ("", "broken"))]}) == [
        row | {"r": [1.0, None], "r_reason": [None, "broken"]}
    ]


def read_of(*records: dict[str, object]) -> list[Candidates]:
    return [found.candidates for record in records for found in record_candidates(record)]


def longest(candidates: list[Candidates]) -> list[np.ndarray]:
    return [rewards.values for rewards in rewards_of(LengthReward(), candidates)]


class _Longer:
    """Prefers the longer response, and likes the first place."""

    def compare(self, prompts, a, b, *, references=None):
        return np.clip([0.5 + 0.1 * (len(x) - len(y)) + 0.2 for x, y in zip(a, b, strict=True)], 0, 1)


def test_a_comparer_picks_by_its_win_rate_among_the_responses(tmp_path):
    data = write_lines(
        tmp_path / "data.jsonl", *({"prompt": f"p{n}", "responses": ["a", "abc", "ab", "abcd"]} for n in range(3))
    )
    run = run_best_of_n(_Longer(), str(data), tmp_path / "out", gold=["longest"])
    assert [mean.point for mean in run.curves.curves[1].means] == [2.5, pytest.approx(10 / 3), 4.0]
    first = json.loads((tmp_path / "out" / "candidates.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert np.argsort(first["_Longer"]).tolist() == [0, 2, 1, 3]
