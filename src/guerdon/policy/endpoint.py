"""A policy behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp ...): prompts in, texts out."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from guerdon.errors import DataError, ModelError
from guerdon.policy.decode import Sampling
from guerdon.text.messages import messages_to_dicts, parse_message, prompt_turns
from guerdon.types import Prompt

logger = logging.getLogger(__name__)

TRIES = 4
"""How often a request is sent that fails in a way that may pass: no connection, time-out, 429, 5xx."""
MAX_CONNECTIONS = 16
"""Requests under way side by side; the server batches them."""
_FREE = ("n", "seed")
"""Arguments without which responses are drawn from the same distribution: left out wherever a refusal names them."""
_SHAPING = ("top_p", "temperature")
"""Arguments that shape it: left out where a server says that it does not take them, not where a value is wrong."""
_OTHER_NAMES = {"max_tokens": "max_completion_tokens"}
"""What some servers call an argument."""
_NOT_TAKEN = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|not (?:be )?(?:allowed|permitted)|no (?:such )?argument|forbidden",
    re.I,
)
_ONE_ALONE = re.compile(r"only (?:one|a single) (?:completion|choice|response)", re.I)
"""How a server refuses `n` without naming it."""
_LONGEST_WAIT = 60.0
"""Seconds; a server may say when it wants to be asked again."""
_SEED_STEP = 1_000_003
"""Between the seeds of requests for more responses to one prompt: with the same seed they would be the same."""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Stands in place of a response that the server did not give: an empty text would be learnt from."""

    reason: str
    final: bool = True
    """Whether the model said so; a server that refused may be set up otherwise another time."""


_TOO_MUCH = (400, 413, 422)
"""Statuses by which a server refuses one request, for what is in it, and may serve the next."""


class Endpoint:
    """`POST {base}/chat/completions`."""

    def __init__(
        self, base: str, model: str, *, key: str | None = None, timeout: float = 600.0, skip_refused: bool = False
    ) -> None:
        """Does not connect yet.

        `base` is e.g. `http://localhost:8000/v1`, `model` the name that the server knows the policy by; the key is sent
        as a bearer token; `timeout` is in seconds, for one request. With `skip_refused` a prompt that the server
        refuses, as one that is too long, has no responses, and the others go on.
        """
        self._skip_refused = skip_refused
        self.base, self.model = base.rstrip("/").removesuffix("/chat/completions"), model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._refused: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._lock = threading.Lock()

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        *,
        num_generations: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        done: Collection[int] = (),
    ) -> Iterator[tuple[int, list[str | NoResponse]]]:
        """Samples responses, as `guerdon.policy.model.Policy.sample_texts`; the server may honour the seed.

        Servers differ: one that gives fewer responses than it is asked for is asked again for the rest, and an argument
        that it refuses is left out from then on, or called by the name that it wants, which a warning says once. Where
        the server is lost, what it had given by then still comes first.

        Raises:
            ModelError: the server cannot be reached, refuses, or does not speak the protocol.
        """
        import httpx2

        sampling = sampling or Sampling()
        common = {
            "model": self.model,
            "n": num_generations,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        with (
            httpx2.Client(headers=self._headers, timeout=self._timeout) as client,
            ThreadPoolExecutor(MAX_CONNECTIONS) as threads,
        ):
            running = {
                threads.submit(self._sample, client, prompts[index], common | {"seed": seed + index}): index
                for index in range(len(prompts))
                if index not in done
            }
            try:
                failed: BaseException | None = None
                for future in as_completed(running):
                    if failed and future.cancelled():
                        continue
                    if error := future.exception():
                        failed = failed or error
                        for waiting in running:
                            waiting.cancel()
                    else:
                        yield running[future], future.result()
                if failed:
                    raise failed
            finally:
                for future in running:
                    future.cancel()

    def _sample(self, client: Any, prompt: Prompt, options: dict[str, Any]) -> list[str | NoResponse]:
        """The responses to one prompt, by as many requests as the server needs for them."""
        body = options | {"messages": messages_to_dicts(prompt_turns(prompt), json_arguments=True)}
        wanted: int = body["n"]
        found: list[str | NoResponse] = []
        while len(found) < wanted:
            more = {"n": wanted - len(found), "seed": body["seed"] + len(found) * _SEED_STEP}
            found += self._request(client, body | more)
        return found[:wanted]

    def _request(self, client: Any, body: dict[str, Any]) -> list[str | NoResponse]:
        import httpx2

        url = f"{self.base}/chat/completions"
        attempt = 0
        while (attempt := attempt + 1) <= TRIES:
            sent = {self._renamed.get(name, name): value for name, value in body.items() if name not in self._refused}
            wait = 0.5 * 2**attempt
            try:
                answer = client.post(url, json=sent)
            except httpx2.TransportError as error:
                fault = f"{type(error).__name__}: {error}"
            else:
                status, said = _outcome(answer)
                if answer.is_success and not said:
                    return self._responses(answer)
                fault = f"status {status}: {said[:200]}"
                if status in (400, 422) and self._leave_out(sent, said):
                    attempt -= 1
                    continue
                if status in _TOO_MUCH and self._skip_refused:
                    return [NoResponse(f"the server refuses: {fault}", final=False)] * int(body["n"])
                if status != 429 and status < 500:
                    hint = "" if status != 404 or "/v1" in url else f". Fix: most servers answer at {self.base}/v1"
                    raise ModelError(f"{url} refuses: {fault}{hint}")
                wait = max(wait, _asked_wait(answer.headers.get("retry-after")))
            if attempt < TRIES:
                time.sleep(wait)
        raise ModelError(f"{url} cannot be reached ({TRIES} tries): {fault}. Fix: start the server, check the address")

    def _leave_out(self, sent: Mapping[str, Any], said: str) -> bool:
        """Leaves out, or calls by another name, what the server does not take; False where it names nothing sent."""
        named = {name for name in sent if re.search(rf"\b{name}\b", said)}
        shaping, names = (_SHAPING, _OTHER_NAMES) if _NOT_TAKEN.search(said) else ((), {})
        refused = named & {*_FREE, *shaping} | ({"n"} & sent.keys() if _ONE_ALONE.search(said) else set())
        renamed = {name: other for name, other in names.items() if name in named and other in said}
        with self._lock:
            new = dict.fromkeys(refused - self._refused, "left out") | {
                name: f"called {other}" for name, other in renamed.items() if name not in self._renamed
            }
            self._refused |= refused
            self._renamed |= renamed
        for name, how in sorted(new.items()):
            logger.warning("%s refuses %s, which is %s from now on: %s", self.base, name, how, said[:200])
        return bool(refused or renamed)

    def _responses(self, answer: Any) -> list[str | NoResponse]:
        try:
            found = [_response(choice) for choice in answer.json()["choices"]]
        except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise ModelError(f"{self.base} does not answer as a chat completion does: {answer.text[:200]}") from error
        if not found:
            raise ModelError(f"{self.base} gave no choices: {answer.text[:200]}")
        return found


def _outcome(answer: Any) -> tuple[int, str]:
    """The status of an answer, and what is wrong with it; some servers report an error with the status 200."""
    if not answer.is_success:
        return int(answer.status_code), str(answer.text)
    with contextlib.suppress(ValueError):
        found = answer.json()
        error = found.get("error") if isinstance(found, dict) and not found.get("choices") else None
        if isinstance(error, dict):
            code = error.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else 400
            return status, str(error.get("message") or error)
    return int(answer.status_code), ""


def _asked_wait(given: str | None) -> float:
    """The seconds of a header Retry-After, bounded; 0 where it has none."""
    return min(float(given), _LONGEST_WAIT) if given and given.strip().isdigit() else 0.0


def _response(choice: Mapping[str, Any]) -> str | NoResponse:
    """The text of one choice; a choice that has none (`content` is null) says why, as far as it can be told."""
    given = choice["message"]
    message = parse_message({"role": "assistant", **given})
    if text := message.content.strip():
        return text
    why = f"finish_reason {choice.get('finish_reason')!r}"
    if refusal := given.get("refusal"):
        return NoResponse(f"the model refused: {refusal}")
    if calls := ", ".join(call.name for call in message.tool_calls):
        return NoResponse(f"the model wrote no text, only calls of {calls} ({why})")
    if message.reasoning_content:
        return NoResponse(f"the model wrote its reasoning and no answer ({why})")
    return "" if given.get("content") is not None else NoResponse(f"the server gave no content ({why})")
