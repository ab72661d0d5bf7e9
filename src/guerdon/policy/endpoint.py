"""A policy behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp ...): prompts in, texts out."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from guerdon.errors import ModelError
from guerdon.policy.decode import Sampling
from guerdon.types import Message, Prompt

TRIES = 4
"""Of a request that fails in a way that may pass: no connection, time-out, 429, 5xx."""
AT_ONCE = 16
"""Requests under way side by side; the server batches them."""


class Endpoint:
    """`POST {base}/chat/completions`."""

    def __init__(self, base: str, model: str, *, key: str | None = None, timeout: float = 600.0) -> None:
        """Does not connect yet.

        Args:
            base: e.g. `http://localhost:8000/v1`.
            model: the name that the server knows it by.
            key: sent as a bearer token.
            timeout: seconds for one request.
        """
        self.base, self.model = base.rstrip("/"), model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        *,
        num_generations: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        done: Collection[int] = (),
    ) -> Iterator[tuple[int, list[str]]]:
        """Asks for answers, as `guerdon.policy.model.Policy.sample_texts`; the server may honour the seed.

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
        waiting = [index for index in range(len(prompts)) if index not in done][::-1]
        with (
            httpx2.Client(headers=self._headers, timeout=self._timeout) as client,
            ThreadPoolExecutor(AT_ONCE) as threads,
        ):
            running: dict[Future[list[str]], int] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < AT_ONCE:
                        index = waiting.pop()
                        body = common | {"messages": _messages(prompts[index]), "seed": seed + index}
                        running[threads.submit(self._ask, client, body)] = index
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    def _ask(self, client: Any, body: dict[str, Any]) -> list[str]:
        import httpx2

        url = f"{self.base}/chat/completions"
        for attempt in range(1, TRIES + 1):
            try:
                reply = client.post(url, json=body)
            except httpx2.TransportError as error:
                fault = f"{type(error).__name__}: {error}"
            else:
                if reply.is_success:
                    return self._texts(reply, body["n"])
                fault = f"status {reply.status_code}: {reply.text[:200]}"
                if reply.status_code != 429 and reply.status_code < 500:
                    raise ModelError(f"{url} refuses: {fault}")
            if attempt < TRIES:
                time.sleep(0.5 * 2**attempt)
        raise ModelError(
            f"{url} cannot be reached ({TRIES} tries): {fault}. Fix: start the server, or check the address"
        )

    def _texts(self, reply: Any, count: int) -> list[str]:
        try:
            texts = [(choice["message"]["content"] or "").strip() for choice in reply.json()["choices"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{self.base} does not answer as a chat completion does: {reply.text[:200]}") from error
        if len(texts) != count:
            raise ModelError(f"{self.base} gave {len(texts)} choices, {count} were asked for (`n`)")
        return texts


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return [{"role": turn.role, "content": turn.content} for turn in turns]
