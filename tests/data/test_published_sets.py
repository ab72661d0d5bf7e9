"""Every published set is read from a record in its columns; what is not there is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.candidates import all_candidates, read_prompts
from guerdon.data.check import describe_data
from guerdon.data.published_sets import SETS, find_set, warn_trainer
from guerdon.data.read import load_rows
from guerdon.errors import DataError
from guerdon.types import Comparison, Message, Ranking, Rating, Steps

PAIR = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}
CHAT = (
    {"role": "user", "content": "Q?"},
    {"role": "assistant", "content": "good"},
    {"role": "assistant", "content": "b"},
)
LINKED = {"question": "Q?", "response_A": "x", "response_B": "y"}
HALF = {"prompt": "Q?", "response_1": "a", "response_2": "b"}
RECORDS: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "rewardbench": (
        [PAIR | {"subset": "hep-go", "id": 4, "chosen_model": "m"}],
        Comparison(prompt="Q?", chosen="good", rejected="bad", subset="hep-go", id="4", extra={"chosen_model": "m"}),
    ),
    "rewardbench-prior": (
        [PAIR | {"prompt": [CHAT[0]]}],
        Comparison(prompt=(Message("user", "Q?"),), chosen="good", rejected="bad"),
    ),
    "rewardbench2": (
        [
            {"id": "tied:7", "prompt": "Q?", "chosen": ["a", "b"], "rejected": ["c"], "num_correct": 2,
             "subset": "Ties", "total_completions": 3},
        ],
        Ranking(
            prompt="Q?", responses=("a", "b", "c"), scores=(1.0, 1.0, 0.0), subset="Ties", id="tied:7", group="ties 7",
            extra={"num_correct": 2, "total_completions": 3},
        ),
    ),
    "rm-bench": (
        [{"id": 1, "prompt": "Q?", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"], "domain": "chat"}],
        Ranking(
            prompt="Q?", responses=("a", "b", "c", "d", "e", "f"), scores=(1.0, 1.0, 1.0, 0.0, 0.0, 0.0), subset="chat",
            id="1",
        ),
    ),
    "judgebench": (
        [LINKED | {"label": "B>A", "source": "mmlu-pro-law", "pair_id": "p", "original_id": 9}],
        Comparison(
            prompt="Q?", chosen="y", rejected="x", subset="mmlu-pro-law", id="p", extra={"original_id": 9}
        ),
    ),
    "llmbar": (
        [{"input": "Q?", "output_1": "a", "output_2": "b", "label": 2}],
        Comparison(prompt="Q?", chosen="b", rejected="a"),
    ),
    "ppe-human": (
        [HALF | {"winner": "model_b", "language": "Chinese", "hard_prompt": True, "is_code": False}],
        Comparison(
            prompt="Q?", chosen="b", rejected="a", subset="Chinese",
            extra={"language": "Chinese", "hard_prompt": True, "is_code": False, "categories": ["hard_prompt"]},
        ),
    ),
    "ppe-mmlu-pro": (
        [HALF | {"response_3": "c", "scores": [True, False, True], "question_id": 5}],
        Ranking(prompt="Q?", responses=("a", "b", "c"), scores=(1.0, 0.0, 1.0), id="5", extra={"question_id": 5}),
    ),
    "rmb-pairs": (
        [
            {"pair_uid": "u", "conversation_input": [CHAT[0]], "chosen": {"llm_name": "m", "answer": "good"},
             "reject": {"answer": "bad"}, "category_path": "Pairwise_set/Helpfulness/Chat"},
        ],
        Comparison(
            prompt=(Message("user", "Q?"),), chosen="good", rejected="bad", subset="Helpfulness", id="u",
            extra={"category_path": "Pairwise_set/Helpfulness/Chat"},
        ),
    ),
    "rmb-best-of-n": (
        [
            {"bon_uid": "u", "conversation_input": [CHAT[0]], "bon_best": {"answer": "good"},
             "loser_list": [{"answer": "b"}, {"answer": "c"}], "category_path": "Harmlessness"},
        ],
        Ranking(
            prompt=(Message("user", "Q?"),), responses=("good", "b", "c"), scores=(1.0, 0.0, 0.0), id="u",
            subset="Harmlessness", extra={"category_path": "Harmlessness"},
        ),
    ),
    "rewardmath": (
        [
            {"problem": "Q?", "eval_solution": [f"{n}a", f"{n}b"], "solution_type": kind, "problem_id": 3, "level": 2}
            for n, kind in enumerate(("rejected", "chosen", "rejected"))
        ],
        Ranking(
            prompt="Q?", responses=("1a\n\n1b", "0a\n\n0b", "2a\n\n2b"), scores=(1.0, 0.0, 0.0), id="3",
            extra={"level": 2},
        ),
    ),
    "summeval": (
        [
            {"id": "d", "model_id": "M1", "text": "Long.", "decoded": "Short.", "references": ["Ref."],
             "expert_annotations": [{"fluency": 3, "relevance": 1}, {"fluency": 5, "relevance": 2}]},
        ],
        Rating(
            prompt="Long.", response="Short.", scores={"fluency": 4.0, "relevance": 1.5}, id="d",
            extra={"system": "M1", "references": ["Ref."]},
        ),
    ),
    "wmt-mqm": (
        [
            {"system": "S", "doc": "d", "doc_id": "1", "seg_id": "2", "rater": rater, "source": "Ja.",
             "target": "<v>Yes</v>.", "category": category, "severity": severity}
            for rater, category, severity in (
                ("r1", "Accuracy/Omission", "Major"), ("r1", "Fluency/Punctuation", "Minor"),
                ("r2", "No-error", "no-error"),
            )
        ],
        Rating(
            prompt="Ja.", response="Yes.", scores={"mqm": -2.55},
            extra={"system": "S", "doc": "d", "doc_id": "1", "seg_id": "2"},
        ),
    ),
    "helpsteer2": (
        [{"prompt": "Q?", "response": "a", "helpfulness": 4, "verbosity": 1}],
        Rating(prompt="Q?", response="a", scores={"helpfulness": 4.0, "verbosity": 1.0}),
    ),
    "helpsteer2-preference": (
        [HALF | {"preference_strength": 2, "all_preferences_unprocessed": [{"strength": 2}, {"strength": -100}]}],
        Comparison(
            prompt="Q?", chosen="b", rejected="a", margin=2.0,
            extra={"all_preferences_unprocessed": [{"strength": 2}, {"strength": -100}], "votes": [1, 0, 1]},
        ),
    ),
    "helpsteer3": (
        [
            {"context": [CHAT[0]], "response1": "a", "response2": "b", "overall_preference": -1,
             "individual_preference": [{"score": -1}, {"score": -2}, {"score": 1}]},
        ],
        Comparison(
            prompt=(Message("user", "Q?"),), chosen="a", rejected="b", margin=1.0,
            extra={"individual_preference": [{"score": -1}, {"score": -2}, {"score": 1}], "votes": [2, 1, 0]},
        ),
    ),
    "ultrafeedback": (
        [{"instruction": "Q?", "completions": [{"response": "a", "overall_score": 2}, {"response": "b",
          "annotations": {"truthfulness": {"Rating": "4"}, "honesty": {"Rating": "N/A"}}}]}],
        Ranking(prompt="Q?", responses=("a", "b"), scores=(2.0, 4.0)),
    ),
    "ultrafeedback-binarized": (
        [{"prompt": "Q?", "chosen": [CHAT[0], CHAT[1]], "rejected": [CHAT[0], CHAT[2]], "score_chosen": 8,
          "score_rejected": 6}],
        Comparison(prompt=(Message("user", "Q?"),), chosen="good", rejected="b", margin=2.0),
    ),
    "skywork-v0.2": (
        [{"chosen": [CHAT[0], CHAT[1]], "rejected": [CHAT[0], CHAT[2]], "source": "s"}],
        Comparison(prompt=(Message("user", "Q?"),), chosen="good", rejected="b", extra={"source": "s"}),
    ),
    "nectar": (
        [
            {"prompt": "\n\nHuman: Q?\n\nAssistant: ",
             "answers": [{"answer": "a", "rank": 2}, {"answer": "b", "rank": 1}]},
        ],
        Ranking(prompt=(Message("user", "Q?"),), responses=("a", "b"), scores=(-2.0, -1.0)),
    ),
    "m-rewardbench": (
        [PAIR | {"language": "zho_Hans", "subset": "hep-go"}],
        Comparison(prompt="Q?", chosen="good", rejected="bad", subset="hep-go", extra={"language": "zho_Hans"}),
    ),
    "lmarena-140k": (
        [{"conversation_a": [CHAT[0], CHAT[1]], "conversation_b": [CHAT[0], CHAT[2]], "winner": "both_bad"}],
        Comparison(
            prompt=(Message("user", "Q?"),), chosen="good", rejected="b", preference=0.5, extra={"both_bad": True}
        ),
    ),
    "processbench": (
        [{"id": "math-1", "problem": "Q?", "steps": ["a", "b"], "label": 1}],
        Steps(prompt="Q?", steps=("a", "b"), labels=(1.0, 0.0), id="math-1"),
    ),
    "prm800k": (
        [{"labeler": "x", "question": {"problem": "Q?"}, "label": {"steps": [
            {"completions": [{"text": "a", "rating": 0}], "chosen_completion": 0}]}}],
        Steps(prompt="Q?", steps=("a",), labels=(1.0,), extra={"labeler": "x"}),
    ),
    "math-shepherd": (
        [{"input": "Q? Step 1: a ки", "label": "Q? Step 1: a +", "task": "MATH"}],
        Steps(prompt="Q?", steps=("Step 1: a",), labels=(1.0,), extra={"task": "MATH"}),
    ),
}  # fmt: skip
"""Set -> records in its columns, and the row that they make; sets that share a reader are there once."""
TWINS = {"skywork-v0.1": "skywork-v0.2"} | {
    f"ppe-{one}": "ppe-mmlu-pro" for one in ("math", "gpqa", "ifeval", "mbpp-plus")
}


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_from_a_file_in_its_columns(tmp_path: Path, name: str) -> None:
    records, expected = RECORDS[TWINS.get(name, name)]
    (row,) = load_rows(f"{name}:{write(tmp_path / 'a.jsonl', records)}")
    assert row == expected
    assert row.origin is not None
    assert row.origin.line == 1


def test_the_docs_list_every_set() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in SETS)


def test_there_are_enough_sets_and_each_says_where_it_is() -> None:
    assert len(SETS) - len(TWINS) >= 18
    for name, one in SETS.items():
        assert one.name == name
        assert one.title
        assert one.about
        assert one.file or any(one.parts.values())


@pytest.mark.parametrize(
    "name", ["rewardbench2", "judgebench", "rmb-pairs", "rmb-best-of-n", "processbench", "prm800k", "math-shepherd"]
)
def test_a_set_in_columns_that_no_other_has_is_known_without_its_name(tmp_path: Path, name: str) -> None:
    records, expected = RECORDS[name]
    assert load_rows(write(tmp_path / "a.jsonl", records)) == [expected]


def test_lists_of_chosen_and_rejected_are_a_ranking(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "Q?", "chosen": ["a"], "rejected": ["b", "c"]}])
    assert load_rows(path) == [Ranking(prompt="Q?", responses=("a", "b", "c"), scores=(1.0, 0.0, 0.0))]
    (one,) = all_candidates(path)
    assert one.candidates.responses == ("a", "b", "c")


def test_a_folder_gives_all_its_files_and_their_parts(tmp_path: Path) -> None:
    records, _ = RECORDS["llmbar"]
    write(tmp_path / "LLMBar" / "Natural" / "dataset.json", records)
    write(tmp_path / "LLMBar" / "Adversarial" / "GPTInst" / "dataset.json", records)
    write(tmp_path / "LLMBar" / "Natural" / "evaluators" / "result.json", [{"no": "row"}])
    assert {row.subset for row in load_rows(f"llmbar:{tmp_path / 'LLMBar'}")} == {"Natural", "GPTInst"}
    with pytest.raises(DataError, match="holds no data file of that set"):
        load_rows(f"wmt-mqm:{tmp_path}")


def test_parts_of_the_hub_become_subsets_where_rows_name_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def records(source: str, *, quoted: bool) -> Any:
        asked.append(source)
        yield from ((None, record) for record in RECORDS["processbench"][0])

    monkeypatch.setattr("guerdon.data.published.iter_records", records)
    assert [row.subset for row in load_rows("processbench")] == ["gsm8k", "math", "olympiadbench", "omnimath"]
    assert asked[1] == "Qwen/ProcessBench:math"
    assert [row.subset for row in load_rows("processbench:math")] == ["math"]
    assert asked[-1] == "Qwen/ProcessBench:math"


def test_a_set_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"PRM800K is not on the hub; give its file: prm800k:PATH, .*phase2_test"):
        load_rows("prm800k")
    with pytest.raises(DataError, match=r"has no part 'maths' \(its parts are gsm8k, math, .*no file of that name"):
        load_rows("processbench:maths")
    with pytest.raises(DataError, match="it has one part"):
        load_rows("nectar:test")
    assert find_set("owner/nectar") is None


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [RECORDS["judgebench"][0][0], LINKED | {"label": "good"}])
    with pytest.raises(
        DataError, match=r"1 of 2 rows cannot be used:\n  .*a\.jsonl:2: column 'label' holds the verdict 'good'"
    ):
        load_rows(f"judgebench:{path}")
    write(tmp_path / "b.jsonl", [{"prompt": "Q?", "chosen": ["a"], "rejected": ["b"]}])
    with pytest.raises(DataError, match="must hold three styles"):
        load_rows(f"rm-bench:{tmp_path / 'b.jsonl'}")
    write(tmp_path / "c.jsonl", RECORDS["rewardmath"][0][:1])
    with pytest.raises(DataError, match="one solution_type 'chosen', got 0 of 1"):
        load_rows(f"rewardmath:{tmp_path / 'c.jsonl'}")


def test_a_few_faults_of_what_is_published_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = RECORDS["judgebench"][0][0]
    path = write(tmp_path / "a.jsonl", [*[good] * 30, good | {"response_A": "y"}])
    with caplog.at_level(logging.WARNING):
        assert len(load_rows(f"judgebench:{path}")) == 30
    (record,) = caplog.records
    assert "JudgeBench: 1 of 31 rows cannot be used and are left out; the first:" in record.getMessage()
    assert "a.jsonl:31: chosen and rejected are the same text" in record.getMessage()


def test_what_is_not_to_be_trained_on_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for source in ("skywork-v0.1", "skywork-v0.2", "mine.jsonl"):
            warn_trainer(source)
    assert [record.getMessage() for record in caplog.records] == [
        f"Skywork preferences, v0.1: {SETS['skywork-v0.1'].warning}"
    ]


def test_every_verb_reads_a_set_by_its_name(tmp_path: Path) -> None:
    source = f"processbench:{write(tmp_path / 'a.jsonl', RECORDS['processbench'][0])}"
    (one,) = all_candidates(source)
    assert (one.candidates.responses, one.columns) == (("a\n\nb",), ("steps",))
    assert [(prompt.prompt, prompt.responses) for prompt in read_prompts(source)] == [("Q?", ())]
    report = describe_data(source)
    assert (report.kinds, report.lengths["step"].n, report.scores["step label"].mean) == ({"Steps": 1}, 2, 0.5)
    assert load_rows(source, group="id")[0].group == "math-1"
