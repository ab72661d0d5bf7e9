from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collection import ORIGIN, PAIRWISE, Visitor
from guerdon.collect.accounts import ensure_person
from guerdon.collect.collect_config import CollectionConfig
from guerdon.collect.live_answers import LiveAnswers, sampler
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site
from guerdon.data.candidates import read_prompts
from guerdon.errors import ConfigError
from guerdon.policy.endpoint import NoResponse
from judge_server import JudgeServer


@pytest.fixture
def empty(tmp_path: Path) -> CollectStore:
    store = CollectStore.open(tmp_path / "live.db", create=True)
    store.set_project(PAIRWISE)
    return store


@pytest.fixture
def prompts(tmp_path: Path) -> list[Any]:
    path = tmp_path / "prompts.jsonl"
    lines = [{"prompt": f"Say {n}", "topic": "t"} for n in range(4)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_prompts(str(path))


def contents(store: CollectStore) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(select(tasks.c.content).order_by(tasks.c.id)).scalars())


def finish(live: LiveAnswers) -> None:
    live._thread.join(30)
    assert not live.working


def test_answers_become_tasks(empty: CollectStore, prompts: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    config = CollectionConfig(policy="the model")

    def sample(given: Any) -> Any:
        yield 2, ["one", "two"]
        yield 0, ["same", "same"]
        yield 1, ["only one", NoResponse("the model refused")]
        yield 3, ["three", "four"]

    live = LiveAnswers(empty, prompts, "pair", config)
    live.start(sample)
    finish(live)
    found = contents(empty)
    assert [one["prompt"] for one in found] == ["Say 2", "Say 3"]
    about = {"extra": {"topic": "t"}}
    assert found[0] == {
        "prompt": "Say 2",
        "responses": ["one", "two"],
        "about": about,
        "systems": ["the model"] * 2,
    }
    assert "2 prompts got too few different answers" in caplog.text
    again = LiveAnswers(empty, prompts, "pair", config)
    assert [one.prompt for one in again.waiting] == ["Say 0", "Say 1"]


def test_a_model_that_fails_is_said(empty: CollectStore, prompts: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    def sample(given: Any) -> Any:
        yield 0, ["one", "two"]
        raise OSError("the disk is gone")

    live = LiveAnswers(empty, prompts, "pair", CollectionConfig(policy="m"))
    live.start(sample)
    finish(live)
    assert len(contents(empty)) == 1
    assert "no more answers come" in caplog.text


def test_answers_of_an_endpoint(empty: CollectStore, prompts: list[Any]) -> None:
    server, count = JudgeServer(), itertools.count()
    server.answer = lambda question: f"{question}: {next(count)}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = CollectionConfig(policy="served", endpoint=server.base)
    live = LiveAnswers(empty, prompts, "pair", config)
    live.start(sampler(config))
    finish(live)
    server.shutdown()
    server.server_close()
    found = contents(empty)
    assert len(found) == 4
    for one in found:
        assert all(text.startswith(one["prompt"]) for text in one["responses"])


def test_answers_of_a_model_here(empty: CollectStore, prompts: list[Any], tiny_llama: str) -> None:
    config = CollectionConfig(policy=tiny_llama, max_new_tokens=8)
    live = LiveAnswers(empty, prompts, "pair", config)
    live.start(sampler(config))
    finish(live)
    assert len(contents(empty)) >= 2, "a random model may write nothing"


def test_the_page_waits_for_answers(empty: CollectStore, prompts: list[Any]) -> None:
    go = threading.Event()

    def sample(given: Any) -> Any:
        go.wait(30)
        yield 0, ["one", "two"]

    live = LiveAnswers(empty, prompts, "pair", CollectionConfig(policy="m"))
    live.start(sample)
    owner = ensure_person(empty, "me", "admin")
    me = Visitor(create_app(Site(empty, empty.secret(), link_token="t" * 20, owner=owner, live=live), [ORIGIN]))
    assert "Answers are being written" in me.get("/?token=" + "t" * 20).text
    assert 'http-equiv="refresh"' in me.page
    go.set()
    finish(live)
    assert "Say 0" in me.get("/judge").text


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"endpoint": "http://x/v1"}, "--endpoint needs"),
        ({"answers": 0}, "--answers must be"),
        ({"overlap": 0}, "--overlap"),
        ({"url": "http://a/b"}, "--url must be"),
        ({"host": "0.0.0.0"}, "say under which address"),
        ({"port": -1}, "--port"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        CollectionConfig(**options)
