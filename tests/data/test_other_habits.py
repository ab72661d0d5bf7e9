"""Data as people have it: other names of columns, dialogues that part early, numbers as they are written."""

from __future__ import annotations

import datetime
import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.data.formats import read_record
from guerdon.data.pair_layouts import shared_beginning
from guerdon.data.read import load_rows
from guerdon.data.source import Source
from guerdon.data.values import number
from guerdon.errors import DataError
from guerdon.types import AnyRow, Comparison, Message, Ranking, Rating, Reference
from json_lines import write_lines


def read(record: dict[str, Any], reading: Source | None = None) -> AnyRow:
    (row,) = read_record(record, None, reading)
    return row


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


LAKE = Comparison(prompt="A lake?", chosen="Garda.", rejected="Bonn.")


@pytest.mark.parametrize(
    "names",
    [
        ("chosen_response", "rejected_response"), ("answer_chosen", "answer_rejected"), ("better", "worse"),
        ("preferred_output", "non_preferred_output"), ("positive", "negative"), ("response_j", "response_k"),
        ("chosen", "reject"), ("completion-win", "completion-lose"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prompt", ["question", "prompt", "query"])
def test_pairs_under_other_names(names: tuple[str, str], prompt: str) -> None:
    assert read({prompt: "A lake?", names[0]: "Garda.", names[1]: "Bonn."}) == LAKE


def test_the_preference_format_of_openai() -> None:
    record = {
        "input": {"messages": [user("A lake?")], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [said("Garda.")],
        "non_preferred_output": [said("Bonn.")],
    }
    assert read(record) == Comparison(prompt=(Message("user", "A lake?"),), chosen="Garda.", rejected="Bonn.")


def test_messages_may_be_the_prompt_of_responses_beside_them() -> None:
    chat = (Message("user", "A lake?"),)
    assert read({"messages": [user("A lake?")], "chosen": "Garda.", "rejected": "Bonn."}).prompt == chat
    rated = read({"messages": [user("A lake?")], "response": "Garda.", "score": "4"})
    assert rated == Rating(prompt=chat, response="Garda.", scores={"score": 4.0})


KTO = [
    {"instruction": "A lake?", "input": "", "output": "Garda.", "kto_tag": "True"},
    {"conversations": [{"from": "human", "value": "A lake?"}, {"from": "gpt", "value": "Garda."}], "kto_tag": True},
    {"messages": [user("A lake?"), said("Garda.")], "label": "yes"},
]


@pytest.mark.parametrize("record", KTO)
def test_labels_of_llama_factory(record: dict[str, Any]) -> None:
    row = read(record)
    assert isinstance(row, Rating)
    assert (row.response, row.scores) == ("Garda.", {"score": 1.0})


# Two dialogues, and what they share: the prompt ends before a turn of the assistant.
U1, A1, U2 = user("A lake?"), said("Garda."), user("Another?")
PARTING = [
    ([U1, A1, U2, said("Como.")], [U1, said("Bonn."), U2, said("Ulm.")], [U1],
     "assistant: Garda.\nuser: Another?\nassistant: Como.", "assistant: Bonn.\nuser: Another?\nassistant: Ulm."),
    ([U1, A1, U2, said("Como.")], [U1, A1, U2, said("Ulm.")], [U1, A1, U2], "Como.", "Ulm."),
    ([U1, A1, U2, said("Como.")], [U1, A1, user("Else?"), said("Ulm.")], [U1],
     "assistant: Garda.\nuser: Another?\nassistant: Como.", "assistant: Garda.\nuser: Else?\nassistant: Ulm."),
    ([U1, said("Garda."), user("Thanks.")], [U1, said("Bonn."), user("What?")], [U1],
     "assistant: Garda.\nuser: Thanks.", "assistant: Bonn.\nuser: What?"),
    ([U1, A1], [U1, A1, U2, said("Como.")], [U1], "Garda.", "assistant: Garda.\nuser: Another?\nassistant: Como."),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "rejected", "shared", "better", "worse"), PARTING)
def test_dialogues_part_where_they_differ(chosen: Any, rejected: Any, shared: Any, better: str, worse: str) -> None:
    expected = Comparison(
        prompt=tuple(Message(turn["role"], turn["content"]) for turn in shared), chosen=better, rejected=worse
    )
    assert read({"chosen": chosen, "rejected": rejected}) == expected
    assert read({"prompt": [U1], "chosen": chosen, "rejected": rejected}) == expected
    assert read({"prompt": [U1], "chosen": chosen[1:], "rejected": rejected[1:]}) == expected
    if all(dialogue[-1]["role"] == "assistant" for dialogue in (chosen, rejected)):
        assert read({"messages": chosen, "rejected_messages": rejected}) == expected


def test_answers_may_be_tool_calls_and_what_follows_them() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}
    result = {"role": "tool", "content": "7"}
    written = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    row = read({"prompt": "Q?", "chosen": [call, result, said("Seven.")], "rejected": [said("Six.")]})
    assert isinstance(row, Comparison)
    assert (row.prompt, row.rejected) == ("Q?", "Six.")
    assert row.chosen == f"assistant: {written}\ntool: 7\nassistant: Seven."
    row = read({"prompt": "Q?", "chosen": [call, result, said("Seven.")], "rejected": [call, result, said("Six.")]})
    assert isinstance(row, Comparison)
    assert [turn.role for turn in row.prompt if isinstance(turn, Message)] == ["user", "assistant", "tool"]
    assert (row.chosen, row.rejected) == ("Seven.", "Six.")
    rated = read({"prompt": "Q?", "completion": [call, result, said("Seven.")], "score": 1})
    assert isinstance(rated, Rating)
    assert rated.response.endswith("assistant: Seven.")


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ("Q: A lake? A: Garda.", "Q: A lake? A: Bonn.", "Q: A lake? A: "),
        ("### Ask\nA lake?\n### Reply\nGarda.", "### Ask\nA lake?\n### Reply\nBonn.", "### Ask\nA lake?\n### Reply\n"),
        ("湖？答：加尔达", "湖？答：波恩", "湖？答："),
        ("The sky is blue.", "The sky is green.", ""),
        ("Q: A: yes. ", "Q: A: yes. no", "Q: A: "),
    ],
)
def test_what_texts_share_ends_at_a_line_or_sentence(a: str, b: str, shared: str) -> None:
    assert a[: shared_beginning(a, b)] == shared


def test_texts_without_a_prompt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rated = load_rows(write_lines(tmp_path / "a.jsonl", {"text": "Fine sea.", "score": 0.5, "source": "the web"}))
    assert rated == [Rating(prompt="", response="Fine sea.", scores={"score": 0.5}, extra={"source": "the web"})]
    assert read({"sentence": "Fine.", "label": "no"}) == Rating(prompt="", response="Fine.", scores={"score": 0.0})
    assert read({"chosen": "Fine.", "rejected": "Poor."}) == Comparison(prompt="", chosen="Fine.", rejected="Poor.")
    assert read({"responses": ["a", "b"], "scores": [1, 2]}) == Ranking(
        prompt="", responses=("a", "b"), scores=(1.0, 2.0)
    )
    assert read_candidates(write_lines(tmp_path / "b.jsonl", {"text": "Fine.", "score": 1}))[0].prompt == ""
    assert [record.message for record in caplog.records if "a.jsonl" in record.message] == [
        f"{tmp_path / 'a.jsonl'}: there is no prompt column, so the prompt is empty"
    ]


def test_a_row_that_has_lost_its_prompt_is_a_fault(tmp_path: Path) -> None:
    pair = {"chosen": "Fine.", "rejected": "Poor."}
    with pytest.raises(DataError, match=r":2: column 'prompt' is missing or null"):
        load_rows(write_lines(tmp_path / "a.jsonl", {"prompt": "Q?"} | pair, pair))
    with pytest.raises(DataError, match="column 'prompt' is missing or null"):
        read({"prompt": None} | pair)
    for name, value in (("frage", "Best tea?"), ("user_input", "tea"), ("turns", [user("Q?")])):
        with pytest.raises(DataError, match=f"there is no prompt, but text in the column '{name}'.*--map"):
            read({name: value} | pair)


@pytest.mark.parametrize(
    ("winner", "preference", "chosen"),
    [
        ((1, 0, 0), 1.0, "Garda."),
        ((0, 1, 0), 1.0, "Bonn."),
        ((0, 0, 1), 0.5, "Garda."),
        ((0.7, 0.1, 0.2), 0.8, "Garda."),
    ],
)
def test_arena_with_a_column_for_each_verdict(winner: tuple[float, ...], preference: float, chosen: str) -> None:
    verdicts = dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), map(str, winner), strict=True))
    for texts in (("A lake?", "Garda.", "Bonn."), ('["A lake?"]', '["Garda."]', '["Bonn."]')):
        row = read(
            {"model_a": "x", **dict(zip(("prompt", "response_a", "response_b"), texts, strict=True)), **verdicts}
        )
        assert isinstance(row, Comparison)
        assert row.preference == pytest.approx(preference)
        assert (row.chosen, row.extra) == (chosen, {"model_a": "x"})


def test_arena_with_several_turns_and_both_bad() -> None:
    texts = {"prompt": ["Hi", "A lake?"], "response_a": ["Hello", "Garda."], "response_b": ["Hello", "Bonn."]}
    row = read(texts | {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 0, "winner_both_bad": 1})
    assert row == Comparison(
        prompt=(Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "A lake?")),
        chosen="Garda.", rejected="Bonn.", preference=0.5, extra={"both_bad": True},
    )  # fmt: skip
    with pytest.raises(DataError, match="one must be 1"):
        read(texts | {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 0})
    with pytest.raises(DataError, match="column 'prompt' has 2 turns, 'response_b' 1"):
        read(texts | {"response_b": ["Bonn."], "winner_model_a": 1, "winner_model_b": 0})


@pytest.mark.parametrize(
    ("verdict", "share"), [("model_b", 0.0), ("Tie (both bad)", 0.5), ("both_bad", 0.5), ("small-7b", 0.0), ("A", 1.0)]
)
def test_verdicts_of_arenas(verdict: str, share: float) -> None:
    two = {"prompt": "Q?", "response_a": "a", "response_b": "b", "model_a": "big-70b", "model_b": "small-7b"}
    row = read(two | {"winner": verdict})
    assert isinstance(row, Comparison)
    assert (0.5 if row.preference == 0.5 else float(row.chosen == "a")) == share
    assert row.extra.get("both_bad", False) == ("bad" in verdict)


def test_responses_counted_from_zero() -> None:
    row = read({"prompt": "Q?", "response_0": "a", "response_1": "b", "preference": 1})
    assert isinstance(row, Comparison)
    assert row.chosen == "b"


def test_the_layout_of_verl(tmp_path: Path) -> None:
    table = {
        "data_source": ["gsm8k", "gsm8k"],
        "prompt": [[user("2 + 2?")], [user("3 + 3?")]],
        "ability": ["math", "math"],
        "reward_model": [{"style": "rule", "ground_truth": "4"}, {"style": "rule", "ground_truth": "6"}],
        "extra_info": [{"index": 0, "split": "train"}, {"index": 1, "split": "train"}],
    }
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    row = load_rows(str(tmp_path / "train.parquet"))[0]
    assert isinstance(row, Reference)
    assert (row.prompt, row.reference, row.subset) == ((Message("user", "2 + 2?"),), "4", "gsm8k")
    assert [one.reference for one in read_prompts(str(tmp_path / "train.parquet"))] == ["4", "6"]
    sampled = {name: values[0] for name, values in table.items()} | {"responses": ["4", "5"]}
    (found,) = read_candidates(write_lines(tmp_path / "a.jsonl", sampled))
    assert (found.responses, found.reference) == (("4", "5"), "4")
    for truth, text in ((4, "4"), (["4"], "4"), (["4", "four"], '["4", "four"]')):
        assert read({"prompt": "Q?", "reward_model": {"ground_truth": truth}}).reference == text
    with pytest.raises(DataError, match="column 'reference' is empty"):
        read({"prompt": "Q?", "reward_model": {"style": "model"}})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("True", 1), ("FALSE", 0), ("yes", 1), ("No", 0), (" 4 ", 4), ("4,5", 4.5), ("-0,125", -0.125), ("\u22122", -2),
        ("1,234.5", 1234.5), ("1,234,567", 1234567), (Decimal("0.8"), 0.8), (True, 1), ("1e-3", 0.001), ("４", 4),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(written: Any, value: float) -> None:
    assert number(written, "score") == value


@pytest.mark.parametrize("written", ["1,234", "12,345"])
def test_a_comma_that_may_mean_two_things_is_named(written: str) -> None:
    with pytest.raises(
        DataError, match=r"column 'score' holds '.*', in which the comma may part thousands or decimals"
    ):
        number(written, "score")


@pytest.mark.parametrize("written", ["4/5", "good", "", "nan", "1e999", datetime.date(2020, 1, 1), None])
def test_what_is_no_number_is_refused(written: Any) -> None:
    with pytest.raises(DataError, match="column 'score'"):
        number(written, "score")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_tables_with_another_delimiter(tmp_path: Path, name: str, delimiter: str) -> None:
    lines = [("prompt", "response", "score"), ("Why, then?", '"So; it\t|is"', "1,234"), ("Q?", "3,25", "0,5")]
    (tmp_path / name).write_text("".join(delimiter.join(line) + "\n" for line in lines))
    scores = [1.234, 0.5] if delimiter == ";" else None
    if scores is None:
        with pytest.raises(DataError, match=":2: column 'score' holds '1,234', in which the comma may part"):
            load_rows(str(tmp_path / name))
        return
    assert load_rows(str(tmp_path / name)) == [
        Rating(prompt="Why, then?", response="So; it\t|is", scores={"score": 1.234}),
        Rating(prompt="Q?", response="3,25", scores={"score": 0.5}),
    ]


def test_a_line_of_excel_names_the_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\nprompt;response;score\nQ?;a;2,5\n", encoding="utf-8-sig")
    assert load_rows(str(tmp_path / "a.csv")) == [Rating(prompt="Q?", response="a", scores={"score": 2.5})]


def test_decimals_of_databases(tmp_path: Path) -> None:
    columns = {
        "prompt": ["Q?"],
        "response": ["a"],
        "score": [Decimal("4.50")],
        "price": [Decimal("3")],
        "id": [Decimal(7)],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert load_rows(str(tmp_path / "a.parquet")) == [
        Rating(prompt="Q?", response="a", scores={"score": 4.5}, id="7", extra={"price": 3})
    ]
    assert read_candidates(str(tmp_path / "a.parquet"))[0].scores == (4.5,)


def test_scores_of_candidates_in_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,responses,scores\nQ?,"[""a"", ""b""]","[1, 2.5]"\n')
    (tmp_path / "b.csv").write_text("prompt,response,score\nQ?,a,2.5\nQ?,b,3\n")
    assert read_candidates(str(tmp_path / "a.csv"))[0].scores == (1.0, 2.5)
    assert read_candidates(str(tmp_path / "b.csv"))[0].scores == (2.5, 3.0)


def test_steps_with_their_labels_beside_them() -> None:
    steps = [
        {"text": "2 + 3 = 5", "label": "+"},
        {"text": "5 * 4 = 21", "label": "-"},
        {"text": "So 21.", "label": None},
    ]
    row = read({"problem": "2 + 3 * 4?", "steps": steps})
    assert (row.steps, row.labels) == (("2 + 3 = 5", "5 * 4 = 21", "So 21."), (1.0, 0.0, None))  # type: ignore[union-attr]
    row = read({"prompt": "Q?", "steps": ["a", "b", "c"], "labels": ["good", "bad", "neutral"]})
    assert row.labels == (1.0, 0.0, 1.0)  # type: ignore[union-attr]
    row = read({"prompt": "Q?", "completions": json.dumps(["a", "b"]), "labels": "[true, false]"})
    assert row.labels == (1.0, 0.0)  # type: ignore[union-attr]


def test_a_note_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    pair = {"chosen": "Q: A lake? A: Garda.", "rejected": "Q: A lake? A: Bonn."}
    source = write_lines(tmp_path / "a.jsonl", pair, pair)
    assert load_rows(source)[0] == Comparison(prompt="Q: A lake? A:", chosen="Garda.", rejected="Bonn.")
    load_rows(source)
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "there is no prompt column, so what chosen and rejected share at their beginning is the prompt"
    ]
