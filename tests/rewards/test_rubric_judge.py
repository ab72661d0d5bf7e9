"""Rubric judges: verdicts read, weighed, kept by content, and asked once, whatever is killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import guerdon
import judge_server
from guerdon.errors import ConfigError, ModelError
from guerdon.policy import endpoint
from guerdon.rewards.comparing import BothOrders
from guerdon.rewards.load import ScorerConfig, load_picker, load_scorer
from guerdon.rewards.rubric import Rubric
from guerdon.rewards.rubric_judge import RubricComparer, RubricScorer
from guerdon.rewards.scoring import score_texts
from json_lines import write_lines
from judge_server import JudgeServer

CRITERIA = """
[[criteria]]
name = "longer"
weight = 3
text = "It is longer."
[[criteria]]
name = "clear"
text = "It is clear."
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint.time, "sleep", lambda seconds: None)
    running = JudgeServer()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(base: str, head: str = "", criteria: str = CRITERIA) -> Path:
        path = tmp_path / "rubric.toml"
        path.write_text(f'endpoint = "{base}"\nmodel = "m"\n{head}\n{criteria}')
        return path

    return make


def test_scores_are_weighed_and_asked_once(server: JudgeServer, write: Callable[..., Path]) -> None:
    path = write(server.base, 'mode = "pointwise"')
    server.answer = lambda question: "Score: 4/5"
    scorer = load_scorer(f"rubric:{path}")
    assert isinstance(scorer, RubricScorer)
    found = score_texts(scorer, ["p", "p", "q"], ["a", "a", "b"])
    assert found.values.tolist() == [4.0] * 3
    assert len(server.asked) == 4  # two texts, two criteria
    assert load_scorer(f"rubric:{path}").score(["q", "p"], ["b", "a"]).tolist() == [4.0, 4.0]
    assert len(server.asked) == 4
    first = server.asked[0]
    assert (first["model"], first["temperature"], first["max_tokens"], first["n"]) == ("m", 0.0, 8, 1)
    assert "Criterion: It is " in first["messages"][0]["content"]


def test_criteria_count_by_their_weights_and_a_failed_one_leaves_no_reward(
    server: JudgeServer, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = write(server.base, 'mode = "pointwise"')
    numbers = iter(["5", "1"])
    server.answer = lambda question: next(numbers)
    assert load_scorer(f"rubric:{path}").score(["p"], ["a"])[0] in (4.0, 2.0)  # (3 * 5 + 1) / 4, or the other way round
    server.answer = lambda question: "I would say it is good."
    scorer = load_scorer(f"rubric:{path}")
    found = score_texts(scorer, ["p", "p"], ["a", "other"])
    assert np.isnan(found.values).tolist() == [False, True]
    assert found.reasons[1].startswith("longer: the verdict cannot be read: no line is a score from 1 to 5")
    asked = len(server.asked)
    score_texts(load_scorer(f"rubric:{path}"), ["p"], ["other"])
    assert len(server.asked) == asked  # the failure is kept
    with caplog.at_level(logging.WARNING):
        scorer.report_totals()
    assert "4 verdicts, 2 of them asked for now; 2 cannot be read; most often: the verdict cannot" in caplog.text


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("A", 1.0), ("b.", 0.0), ("**Answer B**", 0.0), ("[[A]]", 1.0), ("tie", 0.5), ("Verdict: Tie", 0.5),
        ("A good start, but B says more.\n\nVerdict: B", 0.0), ("The better answer is A.", 1.0), ("B is better.", 0.0),
        ("<think>A\n</think>\nB", 0.0), ("A good answer", None), ("A\nB", None), ("", None), ("4", None), ("C", None),
        ("<think>A\nB", None), ("A/5", None),
    ],
)  # fmt: skip
def test_pairwise_verdicts(answer: str, value: float | None) -> None:
    found, why = Rubric(endpoint="e", model="m", criteria=()).verdict(answer)
    assert (found == value and not why) if value is not None else (np.isnan(found) and "cannot be read" in why)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("4", 4.0), ("Score: 3.5", 3.5), ("**5/5**", 5.0), ("2 / 5", 2.0), ("It has 2 faults.\nRating: 3", 3.0),
        ("It has 3 faults.", None), ("4/10", None), ("7", None), ("-3", None), ("A", None), ("4,5", None),
        ("3\n4", None),
    ],
)  # fmt: skip
def test_pointwise_verdicts(answer: str, value: float | None) -> None:
    found, why = Rubric(endpoint="e", model="m", criteria=(), mode="pointwise").verdict(answer)
    assert (found == value and not why) if value is not None else (np.isnan(found) and "cannot be read" in why)


def test_a_pair_is_shown_in_both_orders(server: JudgeServer, write: Callable[..., Path]) -> None:
    judge = ScorerConfig(name=f"rubric:{write(server.base)}").load_system()
    assert isinstance(judge, BothOrders)
    assert judge.compare(["p"] * 2, ["long text", "x"], ["x", "longer"]).tolist() == [1.0, 0.0]
    assert len(server.asked) == 8
    server.answer = lambda question: "A"
    assert judge.compare(["q"], ["long text"], ["x"]).tolist() == [0.5]
    assert (judge.pairs, judge.same) == (3, 2)
    one = ScorerConfig(name=f"rubric:{write(server.base, 'both_orders = false')}").load_system()
    assert isinstance(one, RubricComparer)
    assert one.compare(["q"], ["x"], ["long text"]).tolist() == [1.0]
    assert len(server.asked) == 12


def test_it_picks_among_candidates(server: JudgeServer, write: Callable[..., Path]) -> None:
    picker = load_picker(f"rubric:{write(server.base)}")
    assert score_texts(picker, ["p"] * 3, ["x", "xxx", "xx"]).values.tolist() == [0.0, 1.0, 0.5]


def test_examples_are_solved_questions_in_balanced_places(
    server: JudgeServer, write: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(9)]
    write_lines(tmp_path / "rows.jsonl", *rows)
    path = write(server.base, 'examples = "rows.jsonl"\nboth_orders = false')
    judge = ScorerConfig(name=f"rubric:{path}").load_system()
    judge.compare(["p"], ["x"], ["y"])  # type: ignore[union-attr]
    turns = server.asked[0]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 4 + ["user"]
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    assert answers == ["A", "B", "A", "B"]
    for shown, answer in zip(turns[::2], answers, strict=False):
        assert f"[Answer {answer}]\ngood" in shown["content"]
    assert "Criterion" in turns[0]["content"]
    assert "Criterion" not in turns[-1]["content"]
    assert judge.training_prompts.count == 4  # type: ignore[union-attr]
    write_lines(tmp_path / "rows.jsonl", {"prompt": "q", "response": "r", "score": 9})
    pointwise = 'mode = "pointwise"\nexamples = "rows.jsonl"'
    with pytest.raises(ConfigError, match="in the scale 1 to 5, got 9"):
        load_scorer(f"rubric:{write(server.base, pointwise)}")


def test_a_budget_is_kept_over_runs_and_says_so(server: JudgeServer, write: Callable[..., Path]) -> None:
    path = write(server.base, 'mode = "pointwise"\nmax_requests = 4')
    for _ in range(2):
        found = score_texts(load_scorer(f"rubric:{path}"), ["p"] * 3, ["a", "b", "c"])
        assert np.isnan(found.values).tolist() == [False, False, True]
        assert "the budget of 4 verdicts is used up" in found.reasons[2]
    assert len(server.asked) == 4


def test_a_refused_question_fails_alone_and_is_asked_again(server: JudgeServer, write: Callable[..., Path]) -> None:
    path = write(server.base, 'mode = "pointwise"')
    server.status = 400
    found = score_texts(load_scorer(f"rubric:{path}"), ["p"], ["a"])
    assert "the server refuses: status 400" in found.reasons[0]
    server.status = 200
    assert load_scorer(f"rubric:{path}").score(["p"], ["a"]).tolist() == [1.0]
    server.status = 401
    with pytest.raises(ModelError, match="refuses: status 401"):
        load_scorer(f"rubric:{path}").score(["p"], ["new"])


def test_a_torn_line_costs_one_question(server: JudgeServer, write: Callable[..., Path]) -> None:
    path = write(server.base, 'mode = "pointwise"')
    load_scorer(f"rubric:{path}").score(["p"] * 2, ["a", "b"])
    kept = path.with_name("rubric.verdicts.jsonl")
    kept.write_bytes(kept.read_bytes()[:-5])
    for _ in range(2):
        assert load_scorer(f"rubric:{path}").score(["p"] * 3, ["a", "b", "abc"]).tolist() == [1.0, 1.0, 3.0]
    assert len(server.asked) == 4 + 1 + 2
    assert len({json.loads(line)["key"] for line in kept.read_text().splitlines() if line.endswith("}")}) == 6


@pytest.mark.parametrize(
    ("head", "criteria", "fault"),
    [
        ('modle = "x"', CRITERIA, "no key 'modle' is known"),
        ('mode = "best"', CRITERIA, "mode must be one of pointwise, pairwise"),
        ("max_requests = 0", CRITERIA, "must be above 0"),
        ('temperature = "hot"', CRITERIA, "temperature cannot be 'hot'"),
        ("scale = [5, 1]", CRITERIA, "the lower first"),
        ("", "", "the key 'criteria' is missing"),
        ("criteria = []", "", "one or more"),
        ("", "[[criteria]]\nname = 'a'", "criterion 1: the key 'text' is missing"),
        ("", CRITERIA.replace("weight = 3", "weight = -1"), "weight of each criterion must be above 0"),
        ("endpoint", CRITERIA, "is not TOML"),
    ],
)
def test_faults_of_a_rubric_are_named(head: str, criteria: str, fault: str, write: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=fault):
        Rubric.read(write("http://localhost:1/v1", head, criteria))
    with pytest.raises(ConfigError, match="cannot be read"):
        Rubric.read("no-such-rubric.toml")


CLIENT = """
import sys
from guerdon.rewards.load import ScorerConfig
judge = ScorerConfig(name="rubric:" + sys.argv[1]).load_system()
each = range(int(sys.argv[2]))
print(sum(judge.compare([f"question {n}" for n in each], ["x" * (n % 7) for n in each], ["xxx" for _ in each])))
"""


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_no_verdict_is_lost_when_client_and_server_are_killed(write: Callable[..., Path], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    count, log = 500, tmp_path / "asked.log"
    path = write(f"http://127.0.0.1:{port}/v1", "", "[[criteria]]\nname='longer'\ntext='It is longer.'")
    kept = path.with_name("rubric.verdicts.jsonl")
    environment = os.environ | {"PYTHONPATH": str(Path(guerdon.__file__).parents[1])}

    def serve() -> subprocess.Popen[bytes]:
        script = str(Path(judge_server.__file__))
        return subprocess.Popen([sys.executable, script, str(port), str(log)])

    def client() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CLIENT, str(path), str(count)]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def until(verdicts: int) -> None:
        limit = time.monotonic() + 120
        while _lines(kept) < verdicts and time.monotonic() < limit:
            time.sleep(0.01)
        assert _lines(kept) >= verdicts

    running = serve()
    try:
        first = client()
        until(200)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        after_client = _lines(kept)
        second = client()
        until(after_client + 300)
        running.send_signal(signal.SIGKILL)  # and it stays away: the client gives up, with a message
        running.wait()
        _, said = second.communicate(timeout=120)
        assert second.returncode == 1
        assert "cannot be reached (4 tries)" in said
        running = serve()
        third = client()
        out, _ = third.communicate(timeout=120)
    finally:
        running.kill()
        running.wait()
    distinct = 2 * count - sum(n % 7 == 3 for n in range(count))  # equal texts are one question in both orders
    expected = sum(1.0 if n % 7 > 3 else 0.0 if n % 7 < 3 else 0.5 for n in range(count))
    assert float(out) == expected
    records = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(records) == len({record["key"] for record in records}) == distinct  # nothing kept was asked again
    asked = Counter(log.read_text().splitlines())
    again = sum(times - 1 for times in asked.values())
    assert len(asked) == distinct
    assert again <= 2 * endpoint.MAX_CONNECTIONS  # those in flight at the two kills
