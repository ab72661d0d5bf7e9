"""A whole data set is refused, before any work, when too many of its responses would be cut."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from guerdon.errors import DataError
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.rewards.truncation import encoders_of, refuse_truncation
from guerdon.types import Message, Origin

LONG = "egg " * 200
REFUSING = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
)


def places(responses: Sequence[str]) -> list[Origin]:
    return [Origin("rows.jsonl", number) for number in range(1, len(responses) + 1)]


def check(scorer: object, responses: Sequence[str]) -> None:
    prompts = ["boil " * 300] * len(responses)
    assert refuse_truncation([scorer], zip(prompts, responses, places(responses), strict=True)) == len(responses)


@pytest.fixture
def reward(tiny_bert: str) -> TransformerReward:
    return TransformerReward.load(tiny_bert)


def test_more_than_a_twentieth_of_the_responses_is_refused_at_the_first(reward: TransformerReward) -> None:
    responses = ["egg"] * 9 + [LONG] + ["egg"] * 8 + [LONG] * 2
    with pytest.raises(DataError, match=r"^rows.jsonl:10: 3 of 20 responses \(15%\) .* --overlong cut to go on"):
        check(reward, responses)
    check(reward, ["egg"] * 19 + [LONG])


def test_responses_that_fit_are_never_refused_however_long_the_prompts(reward: TransformerReward) -> None:
    check(reward, ["egg " * 60] * 10)
    check(reward, [])


def test_a_response_that_fits_by_itself_is_not_read_with_its_prompt(
    reward: TransformerReward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward.encoder, "encode", None)  # it would fail
    response = "boiling water " * 20
    assert len(response) > 2 * reward.contract.max_length
    check(reward, [response] * 10)


def test_who_said_what_to_do_gets_it(tiny_bert: str) -> None:
    check(TransformerReward.load(tiny_bert, overlong="cut"), [LONG] * 10)
    with pytest.raises(DataError, match=r"^rows.jsonl:1: too long: prompt and response takes 304"):
        check(TransformerReward.load(tiny_bert, overlong="error"), ["egg"] * 10)


def test_a_chat_that_no_template_takes_is_left_to_the_scorer(tiny_llama: str) -> None:
    reward = TransformerReward.create(tiny_llama, max_length=40)
    reward.tokenizer.chat_template = REFUSING
    texts = [((Message(role, "boil"),), LONG, None) for role in ("system", "user") for _ in range(10)]
    with pytest.raises(DataError, match=r"^10 of 20 responses"):
        refuse_truncation([reward], texts)


def test_scorers_made_of_others_are_looked_into(reward: TransformerReward) -> None:
    blend = WeightedSum({"model": reward, "length": LengthReward()}, {"model": 1.0, "length": 0.1})
    assert encoders_of(blend) == [reward.encoder]
    assert encoders_of(Ensemble([reward, reward])) == [reward.encoder] * 2
    assert encoders_of(LengthReward()) == []
    assert encoders_of(SimpleNamespace(scorers=3, members="two", scorer=None)) == []
    with pytest.raises(DataError, match="10 of 10 responses"):
        check(blend, [LONG] * 10)
