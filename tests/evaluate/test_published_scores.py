"""Published scores through the whole evaluation, and published tables recomputed from their own files.

The files are not part of the project. `GUERDON_PUBLISHED` names a folder in which the repositories lie whose files are
read, as `JudgeBench`, `RewardMATH_official`, `wmt-mqm-human-evaluation`, `reward-bench`, `RM-Bench`, `mt-metrics-eval`.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import types
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon import metrics
from guerdon.data.published_sets import SETS
from guerdon.data.read import load_rows
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.published_scores import PublishedScores
from guerdon.types import AnyRow, Comparison, Ranking, Rating, References


class Table:
    """The rewards that somebody published, by prompt and response."""

    def __init__(self, rewards: Mapping[tuple[str, str], float]) -> None:
        self.rewards = rewards

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: References = None) -> np.ndarray:
        return np.array([self.rewards[str(key[0]), key[1]] for key in zip(prompts, responses, strict=True)])


class Comparing:
    """Prefers by the rewards of a `Table`, and has none to show."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def compare(
        self, prompts: Sequence[Any], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        return metrics.sigmoid(self.table.score(prompts, a) - self.table.score(prompts, b))


def scores_of(
    system: Any, rows: Sequence[AnyRow], published: str, *, resamples: int = 2, baselines: Any = None
) -> PublishedScores:
    found = evaluate_reward(
        {"rm": system}, rows, baselines=baselines or {}, published=published, resamples=resamples
    ).published
    assert found is not None
    return found


def points(found: PublishedScores, system: str = "rm") -> dict[str, float]:
    return {name: value.point for name, value in found.scores[system].items()}


# --- through the whole evaluation


def rewardbench2_rows(count: int = 6) -> list[Ranking]:
    rows = [
        Ranking(
            prompt=f"{subset} {i}", responses=(f"right {i}", "w1", "w2", "w3"), scores=(1.0, 0.0, 0.0, 0.0),
            subset=subset, id=f"{subset} {i}",
        )
        for subset in ("Factuality", "Precise IF", "Math", "Safety", "Focus")
        for i in range(count)
    ]  # fmt: skip
    for i in range(count):
        for kind, right in (("ref", 1), ("tied", 3)):
            texts = (*(f"right {n}" for n in range(right)), "w1", "w2")
            truth = (1.0,) * right + (0.0, 0.0)
            rows.append(
                Ranking(prompt=f"{kind} {i}", responses=texts, scores=truth, subset="Ties", id=f"{kind}:{i}",
                        group=f"ties {i}")
            )  # fmt: skip
    return rows


def random_table(rows: Sequence[AnyRow], scale: float = 1.0, shift: float = 0.0) -> Table:
    rng = np.random.default_rng(0)
    rewards = {}
    for row in rows:
        assert isinstance(row, Ranking)
        for text in row.responses:
            rewards[str(row.prompt), text] = scale * float(rng.normal() + 0.7 * text.startswith("right")) + shift
    return Table(rewards)


def test_rewardbench2_sees_neither_scale_nor_shift_and_gives_a_constant_nothing_for_ties():
    rows = rewardbench2_rows()
    first, moved = (points(scores_of(random_table(rows, *how), rows, "rewardbench2")) for how in ((), (3.0, 7.0)))
    assert 0 < first["overall"] < 1
    assert moved == pytest.approx(first, abs=1e-6)
    constant = points(scores_of(random_table(rows, 0.0, 2.0), rows, "rewardbench2"))
    assert constant["Ties"] == 0
    assert constant["Math"] == 0.25  # one of four highest


def test_scores_have_intervals_and_baselines_and_name_what_is_left_out():
    rows = rewardbench2_rows(12)
    table = random_table(rows)
    table.rewards[str(rows[0].prompt), "w1"] = float("nan")  # type: ignore[index]
    found = scores_of(table, rows, "rewardbench2", resamples=200, baselines={"same": random_table(rows)})
    assert (found.name, found.title, found.rows, found.left_out) == ("rewardbench2", "RewardBench 2", 83, 1)
    assert list(found.scores) == ["rm", "same"]
    for value in found.scores["rm"].values():
        assert value.low <= value.point <= value.high
        assert value.low < value.high
    assert found.scores["rm"] == found.scores["same"]


def test_what_only_compares_has_the_scores_that_need_no_reward():
    rows = rewardbench2_rows()
    table = random_table(rows)
    own, compared = (points(scores_of(system, rows, "rewardbench2")) for system in (table, Comparing(table)))
    assert np.isnan(compared["Ties"])
    assert np.isnan(compared["overall"])
    assert compared["Math"] == own["Math"]


def test_a_set_without_a_formula_and_a_name_that_is_none():
    rows = [Comparison(prompt=f"p{i}", chosen="good", rejected="bad") for i in range(4)]
    table = Table({(f"p{i}", text): len(text) for i in range(4) for text in ("good", "bad")})
    evaluation = evaluate_reward({"rm": table}, rows, baselines={}, published="nectar", resamples=2)
    assert evaluation.published is None
    assert evaluation.notes == SETS["nectar"].notes
    assert evaluate_reward({"rm": table}, rows, baselines={}, published="rewardbench", resamples=2).published
    with pytest.raises(ValueError, match="there is no published set 'rb'; there are rewardbench, "):
        evaluate_reward({"rm": table}, rows, baselines={}, published="rb")


def test_systems_are_ordered_for_each_attribute():
    rows = [
        Rating(prompt=f"p{i}", response=f"{name} {i}", scores={"a": quality + i, "b": -quality}, extra={"system": name})
        for i in range(3)
        for quality, name in enumerate(("x", "yy", "zzz"))
    ]
    found = points(scores_of(Table({(str(r.prompt), r.response): len(r.response) for r in rows}), rows, "summeval"))
    assert found == {"systems: a": 1, "systems: b": 0}


# --- recomputed from published files


def published(*parts: str) -> Path:
    """A file or folder of somebody else, if this machine has it."""
    folder = os.environ.get("GUERDON_PUBLISHED", "")
    path = Path(folder, *parts)
    if not folder or not path.exists():
        pytest.skip(f"reads {'/'.join(parts)} under the folder that GUERDON_PUBLISHED names, which is not here")
    return path


def function_of(path: Path, *names: str, **known: Any) -> types.SimpleNamespace:
    """Functions or classes of a published module, without what else it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(wanted) == len(names)
    space: dict[str, Any] = {"np": np, "defaultdict": defaultdict, **known}
    exec(
        compile(ast.Module([ast.parse("from __future__ import annotations").body[0], *wanted], []), str(path), "exec"),
        space,
    )
    return types.SimpleNamespace(**{name: space[name] for name in names})


JUDGEBENCH = {
    "Skywork_Skywork-Reward-Gemma-2-27B": (64.29, 59.74, 66.33, 83.93, 50.00),
    "Skywork_Skywork-Reward-Llama-3.1-8B": (62.29, 59.09, 64.29, 76.79, 50.00),
    "internlm_internlm2-20b-reward": (63.43, 62.34, 69.39, 66.07, 50.00),
    "internlm_internlm2-7b-reward": (59.43, 56.49, 61.22, 71.43, 50.00),
    "Ray2333_GRM-Gemma-2B-rewardmodel-ft": (59.43, 62.99, 53.06, 64.29, 54.76),
}
"""Reward model -> overall, knowledge, reasoning, math, coding, in percent."""


@pytest.mark.parametrize("model", JUDGEBENCH)
def test_judgebench_from_its_outputs(model):
    name = f"dataset=judgebench,response_model=gpt-4o-2024-05-13,judge_name=reward_model,judge_model={model}.jsonl"
    path = published("JudgeBench", "outputs", name)
    rewards = {}
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        for letter, value in zip("AB", record["judgments"][0]["judgment"]["scores"], strict=True):
            rewards[record["question"], record[f"response_{letter}"]] = value
    found = points(scores_of(Table(rewards), load_rows(f"judgebench:{path}"), "judgebench"))
    order = ("overall", "knowledge", "reasoning", "math", "coding")
    assert tuple(round(100 * found[one], 2) for one in order) == JUDGEBENCH[model]


REWARDMATH = {
    "internlm2": (37.27, 0.5517),
    "grm_llama3": (24.43, 0.4580),
    "skywork_llama3": (22.15, 0.4469),
    "ArmoRM": (20.50, 0.4218),
    "Eurus-RM": (16.98, 0.3830),
    "beaver": (7.25, 0.2659),
    "oasst-rm": (7.04, 0.2703),
}
"""Reward model -> accuracy in percent, MRR."""


def rewardmath_rows(records: Sequence[Mapping[str, Any]]) -> list[Ranking]:
    """Rows whose solutions are called by their number: the files have no texts."""
    rows = []
    for at, record in enumerate(records):
        right = record["solution_reference"].index("human_to_GPT-4")
        order = sorted(range(len(record["score"])), key=lambda place, right=right: place != right)
        texts = tuple(map(str, order))
        rows.append(Ranking(prompt=f"problem {at}", responses=texts, scores=(1.0,) + (0.0,) * (len(texts) - 1)))
    return rows


@pytest.mark.parametrize("model", REWARDMATH)
def test_rewardmath_from_its_results(model):
    path = published("RewardMATH_official", "results", "RewardMATH", f"{model}_reward.json")
    records = json.loads(path.read_text(encoding="utf-8"))
    rewards = {
        (f"problem {at}", str(place)): value
        for at, record in enumerate(records)
        for place, value in enumerate(record["score"])
    }
    found = points(scores_of(Table(rewards), rewardmath_rows(records), "rewardmath"))
    assert (round(100 * found["accuracy"], 2), round(found["MRR"], 4)) == REWARDMATH[model]


MQM = {
    "ende": {
        "ref": 0.91, "Facebook-AI": 1.06, "Online-W": 1.12, "VolcTrans-AT": 1.24, "metricsystem3": 1.44,
        "VolcTrans-GLAT": 1.49, "HuaweiTSC": 1.50, "metricsystem1": 1.63, "metricsystem2": 1.69, "metricsystem5": 1.72,
        "UEdin": 1.77, "metricsystem4": 1.78, "eTranslation": 1.96, "Nemo": 2.14,
    },
    "zhen": {
        "refB": 0.42, "DIDI-NLP": 1.65, "metricsystem2": 1.76, "metricsystem1": 1.90, "MiSS": 1.97, "IIE-MT": 1.98,
        "metricsystem4": 2.05, "metricsystem5": 2.15, "SMU": 2.202, "Borderline": 2.40, "NiuTrans": 2.49,
        "Facebook-AI": 2.64, "Online-W": 2.93, "metricsystem3": 2.99, "ref": 5.52,
    },
}  # fmt: skip
"""Talks of TED: the table in the README of google/wmt-mqm-human-evaluation."""


@pytest.mark.parametrize("pair", MQM)
def test_mqm_from_its_ratings(pair):
    rows = load_rows(f"wmt-mqm:{published('wmt-mqm-human-evaluation', 'ted', pair)}")
    costs = defaultdict(list)
    for row in rows:
        assert isinstance(row, Rating)
        assert "<v>" not in row.response
        costs[row.extra["system"]].append(-row.scores["mqm"])
    found = {system: float(np.mean(values)) for system, values in costs.items()}
    assert found == pytest.approx(MQM[pair], abs=0.011)


def test_rewardbench_and_its_ties_are_those_of_the_published_functions():
    path = published("reward-bench", "rewardbench", "utils.py")
    theirs = function_of(
        path, "_compute_prompt_stats", "process_single_model", "calculate_scores_per_section",
        Dict=dict, List=list, Tuple=tuple,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    for _ in range(20):
        rows = [row for row in rewardbench2_rows(8) if row.subset == "Ties"]
        table = Table({(str(row.prompt), text): float(rng.integers(0, 9)) for row in rows for text in row.responses})

        class Records(list):  # what process_single_model asks of a data set
            column_names = ("id",)

            def add_column(self, name: str, values: Any) -> None:
                return None

        records = Records(
            {
                "id": row.id,
                "num_correct": int(sum(row.scores)),
                "scores": [table.rewards[str(row.prompt), text] for text in row.responses],
            }
            for row in rows
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            expected_ties = theirs.process_single_model(records)[1]
        assert points(scores_of(table, rows, "rewardbench2"))["Ties"] == pytest.approx(expected_ties)
    space: dict[str, Any] = {}
    exec(published("reward-bench", "rewardbench", "constants.py").read_text(encoding="utf-8"), space)
    accuracies = {subset: float(rng.random()) for subset in space["EXAMPLE_COUNTS"]}
    rows = [
        metrics.BenchmarkRow(subset=subset, wins=np.array([[float(i < 100 * share)]]))
        for subset, share in accuracies.items()
        for i in range(100)
    ]
    shares = {subset: np.ceil(100 * share) / 100 for subset, share in accuracies.items()}
    expected = theirs.calculate_scores_per_section(space["EXAMPLE_COUNTS"], space["SUBSET_MAPPING"], shares)
    found = metrics.rewardbench(rows)(np.ones((1, len(rows))))
    assert {section: float(found[section][0]) for section in expected} == pytest.approx(expected)


def test_rm_bench_is_that_of_the_published_function(capsys):
    path = published("RM-Bench", "scripts", "utils.py")
    theirs = function_of(path, "split_dataset_by_domain", "compute_accuracy")
    rng = np.random.default_rng(2)
    domains = ("chat", "code", "math", "safety-refuse", "safety-response")
    results = [
        {
            "domain": domain,
            "score_chosen": rng.integers(0, 5, 3).tolist(),
            "score_rejected": rng.integers(0, 5, 3).tolist(),
        }
        for domain in domains
        for _ in range(7)
    ]
    rows = [
        Ranking(
            prompt=f"p{i}", responses=tuple("abcdef"), scores=(1.0, 1.0, 1.0, 0.0, 0.0, 0.0), subset=result["domain"]
        )
        for i, result in enumerate(results)
    ]
    table = Table(
        {
            (f"p{i}", letter): value
            for i, result in enumerate(results)
            for letter, value in zip("abcdef", result["score_chosen"] + result["score_rejected"], strict=True)
        }
    )
    found = points(scores_of(table, rows, "rm-bench"))
    expected = theirs.compute_accuracy(results)
    capsys.readouterr()
    named = {name.removesuffix("_acc").replace("total_avg", "overall"): value for name, value in expected.items()}
    assert found == pytest.approx(named)


def test_tie_calibration_is_that_of_the_published_function():
    path = published("mt-metrics-eval", "mt_metrics_eval", "tau_optimization.py")
    theirs = types.ModuleType("tau_optimization")
    import sys

    sys.modules["tau_optimization"] = theirs  # its dataclasses look for their module
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), theirs.__dict__)
        rng = np.random.default_rng(3)
        for groups, items in itertools.product((1, 5), (2, 8)):
            human = rng.integers(0, 4, (groups, items)).astype(float)
            scores = np.round(human + rng.normal(0, 1, human.shape), 1)
            expected = theirs.tau_optimization(scores, human, theirs.TauSufficientStats.acc_23)
            codes = np.repeat(np.arange(groups), items)
            found = metrics.tie_calibrated_accuracy(scores.ravel(), human.ravel(), codes)
            assert found.accuracy == pytest.approx(expected.best_tau)
    finally:
        del sys.modules["tau_optimization"]
