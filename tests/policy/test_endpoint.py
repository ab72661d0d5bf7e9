"""Answers from a server that speaks the chat completions protocol: a real one on the loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from guerdon.errors import ModelError
from guerdon.policy import endpoint
from guerdon.policy.decode import Sampling
from guerdon.policy.endpoint import Endpoint, NoResponse
from guerdon.types import Message, ToolCall


class Server:
    """Answers with what it was asked; `troubles` are statuses that it gives first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.troubles: list[int] = []
        self.reply: Any = None
        self.refuses: dict[str, str] = {}
        self.status, self.headers = 400, {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body | {"path": self.path})
                outer.keys.add(self.headers["Authorization"])
                status = outer.troubles.pop() if outer.troubles else 200
                last = body["messages"][-1]["content"]
                choices = [{"message": {"content": f" {last} {i} "}} for i in range(body.get("n", 1))]
                content = json.dumps(outer.reply or {"choices": choices}).encode()
                if refused := [message for name, message in outer.refuses.items() if name in body]:
                    status, content = outer.status, refused[0].encode()
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}/v1/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(endpoint.time, "sleep", lambda seconds: None)
    running = Server()
    thread = threading.Thread(target=running.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.http.shutdown()
    running.http.server_close()
    thread.join()


def test_every_prompt_is_asked_once_as_the_protocol_has_it(server: Server) -> None:
    prompts = [f"question {number}" for number in range(40)]
    policy = Endpoint(server.base, "a-model", key="secret")
    sampling = Sampling(max_new_tokens=9, temperature=0.5, top_p=0.9)
    found = dict(policy.sample_texts(prompts, num_generations=2, sampling=sampling, seed=7, done={3}))
    assert found == {i: [f"{prompt} 0", f"{prompt} 1"] for i, prompt in enumerate(prompts) if i != 3}
    assert len(server.asked) == 39
    first = next(body for body in server.asked if body["messages"][0]["content"] == "question 0")
    assert first == {
        "path": "/v1/chat/completions", "model": "a-model", "n": 2, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9,
        "seed": 7, "messages": [{"role": "user", "content": "question 0"}],
    }  # fmt: skip
    assert server.keys == {"Bearer secret"}


def test_chats_keep_their_turns(server: Server) -> None:
    prompt = (Message("system", "Be brief."), Message("user", "planet?"))
    assert dict(Endpoint(server.base, "m").sample_texts([prompt])) == {0: ["planet? 0"]}
    assert [turn["role"] for turn in server.asked[0]["messages"]] == ["system", "user"]


def test_tool_calls_of_a_prompt_are_sent_as_the_protocol_has_them(server: Server) -> None:
    call = Message("assistant", "", (ToolCall("add", '{"a": 3}', "c1"),))
    prompt = (Message("user", "3 + 4?"), call, Message("tool", "7", tool_call_id="c1"))
    list(Endpoint(server.base, "m").sample_texts([prompt]))
    assert server.asked[0]["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 3}'}}],
        },
        {"role": "tool", "content": "7", "tool_call_id": "c1"},
    ]


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": None}, r"the server gave no content \(finish_reason 'length'\)"),
        ({}, "the server gave no content"),
        ({"content": None, "tool_calls": [CALL]}, "only calls of add"),
        ({"content": "", "tool_calls": [CALL]}, "only calls of add"),
        ({"content": None, "refusal": "I will not."}, "the model refused: I will not."),
        ({"content": None, "reasoning_content": "Let me see"}, "its reasoning and no answer .finish_reason 'length'"),
    ],
)
def test_a_choice_without_text_is_no_response_and_says_why(
    message: dict[str, Any], reason: str, server: Server
) -> None:
    server.reply = {"choices": [{"message": {"content": "one"}}, {"message": message, "finish_reason": "length"}]}
    ((_, (text, missing)),) = Endpoint(server.base, "m").sample_texts(["q"], num_generations=2)
    assert text == "one"
    assert isinstance(missing, NoResponse)
    assert re.search(reason, missing.reason)


def test_a_response_that_is_empty_is_one(server: Server) -> None:
    server.reply = {"choices": [{"message": {"role": "assistant", "content": " "}, "finish_reason": "stop"}]}
    assert dict(Endpoint(server.base, "m").sample_texts(["q"])) == {0: [""]}


def test_what_may_pass_is_tried_again(server: Server) -> None:
    server.troubles = [503, 429, 500]
    assert dict(Endpoint(server.base, "m").sample_texts(["q"])) == {0: ["q 0"]}
    assert len(server.asked) == endpoint.TRIES


def test_what_will_not_pass_is_an_error_at_once(server: Server) -> None:
    server.troubles = [404]
    with pytest.raises(ModelError, match=r"chat/completions refuses: status 404"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))
    server.troubles = [500] * endpoint.TRIES
    with pytest.raises(ModelError, match=r"4 tries\): status 500"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))


@pytest.mark.parametrize("reply", [{"choices": [{"text": "old protocol"}]}, {"error": "?"}, [1]])
def test_another_protocol_is_an_error(reply: Any, server: Server) -> None:
    server.reply = reply
    with pytest.raises(ModelError, match="does not answer as a chat completion does"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))


def test_a_server_that_ignores_n_is_asked_again_for_the_rest(server: Server) -> None:
    server.reply = {"choices": [{"message": {"content": "one"}}]}
    assert dict(Endpoint(server.base, "m").sample_texts(["q"], num_generations=3)) == {0: ["one"] * 3}
    assert [body["n"] for body in server.asked] == [3, 2, 1]
    assert len({body["seed"] for body in server.asked}) == 3
    server.reply = {"choices": []}
    with pytest.raises(ModelError, match="gave no choices"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))


def test_an_argument_that_the_server_refuses_is_left_out_and_said_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuses = {"top_p": "no argument top_p"}
    found = dict(Endpoint(server.base, "m").sample_texts(["q", "r"], sampling=Sampling(temperature=0.5)))
    assert found == {0: ["q 0"], 1: ["r 0"]}
    assert all("top_p" not in body and body["temperature"] == 0.5 for body in server.asked[-1:])
    assert len(caplog.messages) == 1
    assert "refuses top_p, which is left out from now on: no argument top_p" in caplog.text


N_REFUSALS = [
    "'n' : number must be at most 1",
    "Invalid n value (currently only n = 1 is supported)",
    "n must be 1 when using greedy sampling, got 3.",
    "Only one completion choice is allowed",
    '{"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "Extra inputs are not permitted"}]}',
]


@pytest.mark.parametrize("message", N_REFUSALS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_n_is_asked_one_by_one(message: str, status: int, server: Server) -> None:
    server.refuses, server.status = {"n": message}, status
    found = dict(Endpoint(server.base, "m").sample_texts(["q"], num_generations=3))
    assert found == {0: ["q 0"] * 3}
    assert ["n" in body for body in server.asked] == [True, False, False, False]
    assert len({body["seed"] for body in server.asked[1:]}) == 3


def test_arguments_of_reasoning_models(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.refuses = {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) "
        "value is supported.",
    }
    sampling = Sampling(max_new_tokens=9, temperature=0.5)
    assert dict(Endpoint(server.base, "m").sample_texts(["q"], sampling=sampling)) == {0: ["q 0"]}
    assert server.asked[-1]["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature"} & server.asked[-1].keys()
    assert "refuses max_tokens, which is called max_completion_tokens from now on" in caplog.text
    assert "refuses temperature, which is left out from now on" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("temperature", "temperature must be between 0 and 1"),
        ("max_tokens", "'max_tokens' or 'max_completion_tokens' is too large: 200. The context length is 128 tokens"),
        ("max_tokens", "max_tokens is too large: 9000. This model supports at most 4096 completion tokens"),
    ],
)
def test_a_wrong_value_is_not_left_out(name: str, message: str, server: Server) -> None:
    server.refuses = {name: message}
    with pytest.raises(ModelError, match="refuses: status 400: .*" + re.escape(message)):
        list(Endpoint(server.base, "m").sample_texts(["q"]))
    assert len(server.asked) == 1


def test_an_error_with_the_status_of_a_success(server: Server) -> None:
    server.reply = {"error": {"code": 401, "message": "no credits"}}
    with pytest.raises(ModelError, match="refuses: status 401: no credits"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))
    server.reply = {"error": {"code": 429, "message": "slow down"}}
    with pytest.raises(ModelError, match=r"4 tries\): status 429: slow down"):
        list(Endpoint(server.base, "m").sample_texts(["q"]))


def test_a_server_says_when_to_ask_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(endpoint.time, "sleep", waits.append)
    server.troubles, server.headers = [429, 503], {"Retry-After": "7"}
    assert dict(Endpoint(server.base, "m").sample_texts(["q"])) == {0: ["q 0"]}
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize("written", ["{}", "{}/", "{}/chat/completions"])
def test_the_address_may_name_the_route(written: str, server: Server) -> None:
    base = server.base.rstrip("/")
    assert dict(Endpoint(written.format(base), "m").sample_texts(["q"])) == {0: ["q 0"]}
    assert server.asked[0]["path"] == "/v1/chat/completions"
    server.troubles = [404]
    with pytest.raises(ModelError, match=r"status 404.*Fix: most servers answer at http://127.0.0.1:\d+/v1"):
        list(Endpoint(base.removesuffix("/v1"), "m").sample_texts(["q"]))


def test_no_server_is_an_error(server: Server) -> None:
    server.http.socket.close()
    with pytest.raises(ModelError, match="cannot be reached"):
        list(Endpoint("http://127.0.0.1:9/v1", "m").sample_texts(["q"]))


def test_a_prompt_that_the_server_refuses_costs_the_others_nothing(server: Server) -> None:
    server.troubles = [400]
    sampler = Endpoint(server.base, "m", skip_refused=True)
    found = dict(sampler.sample_texts(["a", "b", "c"], num_generations=2))
    refused = [one for one in found.values() if isinstance(one[0], NoResponse)]
    assert len(found) == 3
    assert len(refused) == 1
    assert all(isinstance(one, NoResponse) and not one.final and "status 400" in one.reason for one in refused[0])
