"""A model knows which prompts it was trained on, and a large training set is known by a fair sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from guerdon.errors import ContractError
from guerdon.rewards import training_data
from guerdon.rewards.training_data import PROMPTS_FILE, TrainingPrompts, read_training_prompts, write_training_prompts
from guerdon.types import Message


def test_the_share_of_seen_prompts(tmp_path: Path) -> None:
    write_training_prompts(tmp_path, TrainingPrompts.of(["How do I boil an egg?", "Which planet?", "Which planet?"]))
    found = read_training_prompts(tmp_path)
    assert found is not None
    assert found.count == 2
    asked = [(Message("user", "how do I  boil an EGG?"),), "Which star?", "Which star?", "Which planet?"]
    assert found.seen(asked) == [True, False, False, True]
    assert "boil" not in (tmp_path / PROMPTS_FILE).read_text(encoding="utf-8")


def test_a_large_set_is_known_by_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "MAX_HASHES", 200)
    trained = TrainingPrompts.of(f"prompt {number}" for number in range(2000))
    write_training_prompts(tmp_path, trained)
    found = read_training_prompts(tmp_path)
    assert found == trained
    assert len(found.hashes) == 200
    assert not found.complete
    half_seen = [f"prompt {number}" for number in range(1000, 3000)]
    verdicts = found.seen(half_seen)
    assert verdicts.count(None) == pytest.approx(0.9 * 2000, rel=0.05)
    assert not [p for p, v in zip(half_seen, verdicts, strict=True) if v and int(p.split()[1]) >= 2000]
    judged = [verdict for verdict in verdicts if verdict is not None]
    assert sum(judged) / len(judged) == pytest.approx(0.5, abs=0.1)


def test_an_ensemble_was_trained_on_what_its_members_were(tmp_path: Path) -> None:
    for name, prompts in {"member-0": ["a", "b"], "member-1": ["b", "c"]}.items():
        (tmp_path / name).mkdir()
        write_training_prompts(tmp_path / name, TrainingPrompts.of(prompts))
    found = read_training_prompts(tmp_path)
    assert found is not None
    assert found.seen("abcd") == [True, True, True, False]
    assert found.count == 3


def test_a_union_of_samples_judges_only_what_both_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "MAX_HASHES", 100)
    first = TrainingPrompts.of(f"prompt {number}" for number in range(1000))
    second = TrainingPrompts.of(f"prompt {number}" for number in range(500, 3000))
    both = first | second
    verdicts = both.seen(f"prompt {number}" for number in range(3000))
    assert False not in verdicts
    assert verdicts.count(True) == len(both.hashes) > 0


def test_who_does_not_say_gives_none(tmp_path: Path) -> None:
    assert read_training_prompts(tmp_path) is None
    (tmp_path / PROMPTS_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(ContractError, match="training_prompts.json cannot be read"):
        read_training_prompts(tmp_path)
