from __future__ import annotations

import json
import math

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError, ModelError
from guerdon.evaluate.audit.audit_config import AuditConfig
from guerdon.evaluate.audit.audit_files import audit_reward
from guerdon.evaluate.audit.audit_page import audit_page
from guerdon.evaluate.audit.audit_run import audit_system
from guerdon.evaluate.audit.bias_lines import bias_line
from guerdon.evaluate.audit.matched_texts import LineMargins, as_many_as, ask_about, ask_naturally, matched_pairs
from guerdon.evaluate.audit.natural_pairs import natural_pairs
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.rewards.blend import Blend
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison, Rating

from .conftest import ByPlace, ByText

SOME = [PERTURBATIONS[name] for name in ("padding", "bold", "eager opening", "typos", "woman", "wider spaces", "label")]


@pytest.fixture
def audited(rows):
    def audit(system, **options):
        return audit_system(system, rows, AuditConfig(time=0.5, rows=60), perturbations=SOME, **options)

    return audit


def test_a_reward_of_length_is_seen_through(audited):
    found = audited(LengthReward())
    padding = found.of("padding")
    assert (padding.test.rate.point, padding.verdict) == (1.0, "bias")
    assert padding.order.point == 1.0, "every right order is overturned by two sentences"
    assert padding.order_pairs == round(60 * padding.natural.people.point)
    assert found.of("woman").test.rate.point == 1.0
    assert found.of("typos").verdict in ("none found", "slight", "resists", "cannot tell")
    assert padding.natural.model.point == 1
    assert padding.natural.people.point == pytest.approx(2 / 3, abs=0.1)
    assert padding.natural.flagged
    assert found.surface.length.point > 0.9
    assert "padding" in found.headline()
    assert "length, beyond people" in found.flagged


def test_order_counts_what_was_decided_and_how_it_is_afterwards(rows):
    pairs = natural_pairs(rows).take(range(30))
    nan = math.nan
    for name, overturned in (("padding", 1 / 3), ("label", 0.5)):
        matched = matched_pairs(PERTURBATIONS[name], pairs, 30, 0)
        before = np.array([1.0, 1.0, 1.0, -1.0, 0.0, nan] * 5)
        after = np.array([1.0, -1.0, 1.0, 1.0, 1.0, 1.0] * 5)
        line = bias_line(matched, LineMargins(np.ones(30), before, after), pairs, 1.0)
        assert line.order.point == pytest.approx(overturned)
        assert line.order_pairs == (15 if name == "padding" else 20)
        assert line.shift.point == 1


def test_damage_that_is_not_noticed_is_no_good_news(rows):
    found = audit_system(ByText(len), rows, perturbations=[PERTURBATIONS["word salad"], PERTURBATIONS["small letters"]])
    assert [line.verdict for line in found.lines] == ["blind", "none found"]


def test_lines_that_are_too_short_are_not_tested(rows):
    pairs = natural_pairs(rows[:10])
    line = bias_line(
        matched_pairs(PERTURBATIONS["padding"], pairs, 10, 0),
        LineMargins(np.ones(10), np.ones(10), np.ones(10)),
        pairs,
        1,
    )
    assert line.verdict == "not asked"


def test_no_more_is_asked_than_there_is_time_for(rows):
    pairs = natural_pairs(rows)
    lines = [matched_pairs(one, pairs, len(pairs), 0) for one in SOME]
    for most in (10_000, 500, 300):
        fewer = as_many_as(lines, pairs, most, 10, scorer=True)
        scorer = ByText(len)
        _, asked = ask_about(scorer, pairs, fewer, seed=0)
        assert asked == scorer.asked <= most
        longer = [line.first(len(fewer[0].places) + 1) for line in lines]
        assert most == 10_000 or ask_about(scorer, pairs, longer, seed=0)[1] > most
    assert {len(line.places) for line in as_many_as(lines, pairs, 1, 10, scorer=True)} == {10}


def test_a_comparer_has_a_position(audited):
    found = audited(ByPlace(near=10_000))
    assert found.position.flagged
    assert found.position.test.rate.point == found.position.turned.point == 1
    assert "position" in found.flagged
    assert found.of("padding").test.rate.point == 0.5, "shown in both orders, it prefers neither"
    honest = audited(ByPlace(near=-1))
    assert not honest.position.flagged
    assert honest.position.turned.point == 0
    assert honest.of("padding").test.rate.point == 1
    assert honest.of("padding").shift.point == pytest.approx(1)
    assert honest.of("padding").order.point == 1


def test_rewards_that_are_missing_take_no_part_and_are_told(audited):
    found = audited(ByText(lambda text: math.nan if "1" in text[-6:] else float(len(text))))
    assert found.of("padding").test.n < 60
    assert any("have no reward" in note for note in found.notes)
    with pytest.raises(ModelError, match="every"):
        audited(ByText(lambda text: 1 / 0))


def test_responses_that_nobody_compared_are_changed_all_the_same():
    rows = [
        Rating(prompt=f"p{i}", response=f"The answer is {i}, and it is right.", scores={"score": i}) for i in range(40)
    ]
    found = audit_system(ByText(len), rows, AuditConfig(rows=40), perturbations=SOME)
    assert found.of("padding").test.rate.point == 1
    assert found.of("padding").shift.point > 1
    assert not found.natural
    assert found.surface is None
    assert "No two responses were compared." in found.labels.notes


def test_few_prompts_are_warned_of(rows):
    found = audit_system(LengthReward(), rows[:40], AuditConfig(rows=40), perturbations=SOME)
    assert any("fewer than 30" in note for note in found.notes)
    assert not any("fewer than 30" in note for note in audit_system(LengthReward(), rows, perturbations=SOME).notes)


def test_texts_of_anyone_are_escaped_and_everything_is_in_the_file(audited, tmp_path):
    found = audited(ByText(len), model="<script>alert(1)</script>")
    page = audit_page(found)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    found.save(tmp_path / "audit.json")
    kept = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert [line["name"] for line in kept["lines"]] == [one.name for one in SOME]
    assert kept["lines"][0]["test"]["rate"]["point"] == 1
    assert kept["labels"]["pairs"] == 90


def test_function_and_command_write_the_same(rows, tmp_path, capsys):
    data = tmp_path / "rows.jsonl"
    write_rows(rows, data)
    options = ["--time", "5", "--rows", "40", "--out", str(tmp_path / "command")]
    assert main(["audit", "longest", str(data), *options]) == 0
    printed = capsys.readouterr().out
    assert "what moves longest" in printed
    assert "padding" in printed
    audit_reward("longest", data, tmp_path / "function", AuditConfig(rows=40))
    kept = [json.loads((tmp_path / where / "audit.json").read_text()) for where in ("command", "function")]
    for one in kept:
        one.pop("seconds")
    assert kept[0] == kept[1]
    assert (tmp_path / "command" / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_plain_folder_an_ensemble_a_blend_and_an_object_of_python_are_audited(rows, tiny_bert, tmp_path, monkeypatch):
    members = [TransformerReward.create(tiny_bert, seed=seed) for seed in range(2)]
    Ensemble(members).save(tmp_path / "ensemble")
    parts = {"mine": members[0], "longest": LengthReward(1)}
    Blend(parts, [1, 1], means=[0, 0], deviations=[1, 1]).save(tmp_path / "blend")
    (tmp_path / "audited_object.py").write_text(
        "class Judge:\n    def compare(self, prompts, a, b, *, references=None):\n        return [0.5] * len(a)\n"
        "judge = Judge()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in (tiny_bert, str(tmp_path / "ensemble"), str(tmp_path / "blend"), "audited_object:judge"):
        system = ScorerConfig(name=name).load_system()
        found = audit_system(system, rows[:30], AuditConfig(rows=20), perturbations=SOME[:3])
        assert found.of("padding").test.n == 20
        assert found.of("padding").test.rate.point == 0.5 or name != "audited_object:judge"


def test_options_that_make_no_sense():
    with pytest.raises(ConfigError, match="--time must be above 0, got 0; --rows must be above 0, got -1"):
        AuditConfig(time=0, rows=-1)


def test_natural_answers_know_what_is_typical(rows):
    pairs = natural_pairs(rows)
    found = ask_naturally(LengthReward(), pairs, seed=0)
    lengths = np.array([len(one.better) - len(one.worse) for one in pairs.pairs])
    assert found.typical == pytest.approx(np.sqrt(np.mean(lengths**2.0)))
    assert found.margins.tolist() == lengths.tolist()
    single = natural_pairs([Rating(prompt=f"p{i}", response="x" * i, scores={"score": 1}) for i in range(1, 9)])
    assert ask_naturally(LengthReward(), single, seed=0).typical == pytest.approx(np.arange(1, 9).std() * 2**0.5)


def test_references_reach_a_scorer_that_needs_them():
    rows = [Comparison(prompt=f"{i} + {i}?", chosen=str(2 * i), rejected="7", reference=str(2 * i)) for i in range(30)]
    seen = []

    class Checks:
        def score(self, prompts, responses, *, references=None):
            seen.extend(references)
            return np.zeros(len(responses), dtype=np.float32)

    audit_system(Checks(), rows, AuditConfig(rows=30), perturbations=SOME[:1])
    assert set(seen) == {str(2 * i) for i in range(30)}
