"""Layouts of single published sets, which no other set shares: from the columns of a record, or of several, to rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from guerdon.data.layouts import ranked, take_prompt
from guerdon.data.pair_layouts import STRENGTHS, pair, several_right, two_responses
from guerdon.data.values import Fields, items, mapping, number, prompt, response, structured, text
from guerdon.data.verdicts import verdict_share
from guerdon.errors import DataError
from guerdon.metrics import mqm_weight
from guerdon.types import STEP_BREAK, AnyRow, Rating

_MQM_SPAN = re.compile(r"</?v>")
_PPE_FLAGS = ("hard_prompt", "easy_prompt", "if_prompt", "math_prompt", "is_code", "is_refusal")
PPE_RESPONSES = 32
_RMB_GOALS = ("Helpfulness", "Harmlessness")
_NEITHER = -100
"""HelpSteer2's strength for "neither response is acceptable"."""


def rewardbench2(fields: Fields) -> list[AnyRow]:
    """RewardBench 2. The rows `ref:N` and `tied:N` of its ties are about one prompt, so they are one group."""
    (row,) = several_right(fields)
    kind, _, number_ = row.id.partition(":")
    return [replace(row, group=f"ties {number_}") if kind in ("ref", "tied") and number_ else row]


def rm_bench(fields: Fields) -> list[AnyRow]:
    """RM-Bench: three styles of a right and of a wrong response; the subset is the domain."""
    for name in ("chosen", "rejected"):
        if len(items(fields.left.get(name), name)) != 3:
            raise DataError(f"column {name!r} must hold three styles: concise, detailed, detailed with markdown")
    if "domain" in fields:
        fields.left["subset"] = fields.take("domain")
    return several_right(fields)


def labelled_pair(fields: Fields) -> list[AnyRow]:
    """JudgeBench: `question, response_A, response_B` and `label` A>B or B>A; the subset is the source."""
    asked = take_prompt(fields)
    first, second = (response(fields.take(name), name) for name in ("response_A", "response_B"))
    share = verdict_share(fields.take("label"), "label", ("response_A", "response_B"))
    if "subset" not in fields and "source" in fields:
        fields.left["subset"] = fields.take("source")
    fields.left.setdefault("id", fields.take("pair_id"))
    return [pair(fields, asked, first, second, preference=share)]


def llmbar(fields: Fields) -> list[AnyRow]:
    """LLMBar: `input, output_1, output_2` and `label`, 1 or 2."""
    fields.left["winner"] = fields.take("label")
    return two_responses(fields)


def rmb_pair(fields: Fields) -> list[AnyRow]:
    """RMB's pairs: `conversation_input`, `chosen` and `reject`, each with an `answer`; the subset is the goal."""
    asked = prompt(fields.take("conversation_input"), "conversation_input")
    answers = [_answer(fields.take(name), name) for name in ("chosen", "reject")]
    _rmb_labels(fields, "pair_uid")
    return [pair(fields, asked, *answers, preference=1.0)]


def rmb_best_of_n(fields: Fields) -> list[AnyRow]:
    """RMB's best-of-n rows: `bon_best`, and `loser_list`, all of which it must beat."""
    asked = prompt(fields.take("conversation_input"), "conversation_input")
    best = _answer(fields.take("bon_best"), "bon_best")
    losers = [_answer(one, "loser_list") for one in items(fields.take("loser_list"), "loser_list")]
    _rmb_labels(fields, "bon_uid")
    return [ranked(fields, asked, [best, *losers], [1] + [0] * len(losers), "loser_list")]


def _answer(value: object, name: str) -> str:
    return text(mapping(value, name).get("answer"), f"{name}.answer")


def _rmb_labels(fields: Fields, uid: str) -> None:
    path = str(fields.left.get("category_path") or "").split("/")
    fields.left.setdefault("subset", next((goal for goal in _RMB_GOALS if goal in path), ""))
    fields.left.setdefault("id", fields.take(uid))


def reward_math(records: Sequence[Fields]) -> list[AnyRow]:
    """RewardMATH: the solutions of one problem, one record each; the right one comes from people, through GPT-4."""
    asked = prompt(records[0].take("problem"), "problem")
    texts, scores = [], []
    for one in records:
        texts.append(STEP_BREAK.join(map(str, items(one.take("eval_solution"), "eval_solution"))))
        scores.append(float(one.take("solution_type") == "chosen"))
    if sum(scores) != 1:
        raise DataError(f"a problem needs one solution_type 'chosen', got {sum(scores):g} of {len(scores)}")
    order = sorted(range(len(texts)), key=lambda at: -scores[at])
    fields = records[0]
    fields.left["id"] = fields.take("problem_id")
    fields.take("solution_reference")
    return [ranked(fields, asked, [texts[at] for at in order], [scores[at] for at in order], "eval_solution")]


def summ_eval(fields: Fields) -> list[AnyRow]:
    """SummEval, aligned with its articles: a summary with the mean of three experts in four attributes.

    The file that its authors publish has no articles; put them into a column `text` with their `pair_data.py`.
    """
    _, article = fields.first("text", "article")
    experts = [mapping(one, "expert_annotations") for one in items(fields.take("expert_annotations"), "expert")]
    if not experts:
        raise DataError("column 'expert_annotations' is empty")
    scores = {name: sum(number(one[name], name) for one in experts) / len(experts) for name in experts[0]}
    fields.left["system"] = fields.take("model_id")
    summary = text(fields.take("decoded"), "decoded")
    return [Rating(prompt=prompt(article, "text"), response=summary, scores=scores, **fields.base())]


def mqm(records: Sequence[Fields]) -> list[AnyRow]:
    """WMT's MQM: all errors that raters marked in one segment of one system, as a rating of minus their cost.

    Costs of the errors of one rater add up, and raters are averaged. The marks around errors are taken out.
    """
    fields = records[0]
    source, target = (text(fields.take(name), name) for name in ("source", "target"))
    cost: dict[str, float] = {}
    for one in records:
        rater = str(one.left.get("rater") or "")
        category, severity = (str(one.left.get(name) or "") for name in ("category", "severity"))
        cost[rater] = cost.get(rater, 0.0) + mqm_weight(category, severity)
    for name in ("category", "severity", "rater", "comment"):
        fields.take(name)
    score = -sum(cost.values()) / len(cost)
    translation = _MQM_SPAN.sub("", target)
    return [Rating(prompt=source, response=translation, scores={"mqm": score}, **fields.base())]


def ppe_human(fields: Fields) -> list[AnyRow]:
    """PPE's human preferences: two responses and a winner, with the categories that its scores are given for."""
    fields.left["categories"] = [name for name in _PPE_FLAGS if fields.left.get(name) is True]
    fields.left.setdefault("subset", fields.left.get("language"))
    return two_responses(fields)


def ppe_correctness(fields: Fields) -> list[AnyRow]:
    """PPE's correctness sets: `prompt`, `response_1` to `response_32`, and `scores`, which of them are right."""
    asked = take_prompt(fields)
    names = [name for at in range(1, PPE_RESPONSES + 1) if (name := f"response_{at}") in fields]
    texts = [fields.take(name) for name in names]
    fields.left.setdefault("id", fields.left.get("question_id"))
    return [ranked(fields, asked, texts, items(fields.take("scores"), "scores"), "response_1 ...")]


def helpsteer_preference(fields: Fields) -> list[AnyRow]:
    """HelpSteer 2 and 3: a strength from -3 (first) to 3, and the single votes where their keys are the known ones."""
    name = next((one for one in ("all_preferences_unprocessed", "individual_preference") if one in fields), "")
    given = structured(fields.left.get(name)) if name else None
    votes = [_strength(one) for one in given] if isinstance(given, list) else []
    if votes and None not in votes:
        known = [vote for vote in votes if vote is not None]
        first, second = sum(vote < 0 and vote != _NEITHER for vote in known), sum(vote > 0 for vote in known)
        strength = next((fields.left[one] for one in STRENGTHS if one in fields), 0)
        chosen, rejected = (second, first) if number(strength, "preference") > 0 else (first, second)
        fields.left["votes"] = [chosen, rejected, len(known) - first - second]
    return two_responses(fields)


def _strength(vote: object) -> float | None:
    """The strength of one vote; None where the record has other keys than expected."""
    value = next((vote[key] for key in ("strength", "score") if key in vote), None) if isinstance(vote, dict) else None
    return float(value) if isinstance(value, int | float) else None


def shp(fields: Fields) -> list[AnyRow]:
    """SHP: a post in `history`, two comments, and `labels`, 1 where A has more votes; the subset is the forum."""
    asked = prompt(fields.take("history"), "history")
    first, second = (response(fields.take(name), name) for name in ("human_ref_A", "human_ref_B"))
    chosen = fields.number("labels")
    if chosen not in (0, 1):
        raise DataError(f"column 'labels' is {chosen:g}; it must be 1 (A is preferred) or 0 (B is)")
    fields.left.setdefault("subset", fields.take("domain"))
    return [pair(fields, asked, first, second, preference=chosen)]


def compared_summaries(fields: Fields) -> list[AnyRow]:
    """OpenAI's summaries from feedback: `info` with the post, two `summaries`, and which of them was the `choice`."""
    info = mapping(fields.take("info"), "info")
    parts = [info[name] for name in ("title", "post", "article") if isinstance(info.get(name), str) and info[name]]
    texts = [response(one, "summaries") for one in items(fields.take("summaries"), "summaries")]
    choice = fields.number("choice")
    if len(texts) != 2 or choice not in (0, 1):
        raise DataError(f"there must be two summaries and a choice of 0 or 1, got {len(texts)} and {choice:g}")
    fields.left.setdefault("id", info.get("id"))
    return [pair(fields, text("\n\n".join(parts), "info"), *texts, preference=1 - choice)]
