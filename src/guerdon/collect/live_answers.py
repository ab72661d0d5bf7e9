"""Answers that a language model writes while people judge: each prompt becomes a task as soon as it is answered."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from guerdon.collect.collect_config import CollectionConfig
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import tasks
from guerdon.collect.tasks import add_tasks, candidate_tasks
from guerdon.data.write import prompt_value
from guerdon.errors import GuerdonError, TextError
from guerdon.types import Candidates, Prompt

if TYPE_CHECKING:
    from guerdon.policy.endpoint import NoResponse

logger = logging.getLogger(__name__)

_SIDE_BY_SIDE = 8
"""Responses that a policy of this machine writes at once: few, so that the first task is soon there."""


class LiveAnswers:
    """Writes answers in the background, until all prompts have theirs or the process ends."""

    def __init__(
        self, store: CollectStore, prompts: Sequence[Candidates], takes: str, config: CollectionConfig
    ) -> None:
        """Does not load the model yet."""
        self._store, self._takes, self._config = store, takes, config
        with store.reading() as connection:
            answered = {_key(content["prompt"]) for content in connection.execute(select(tasks.c.content)).scalars()}
        self.waiting = [one for one in prompts if _key(prompt_value(one.prompt)) not in answered]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live answers", daemon=True)

    @property
    def working(self) -> bool:
        """Whether more may come."""
        return self._thread.is_alive()

    def start(self, sample: Callable[[Sequence[Prompt]], Iterator[tuple[int, Sequence[str | NoResponse]]]]) -> None:
        """Begins; `sample` yields the index of a prompt with its responses."""
        self._sample = sample
        if self.waiting:
            self._thread.start()

    def stop(self) -> None:
        """Ends after the prompt in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        left_out = 0
        try:
            for index, texts in self._sample([one.prompt for one in self.waiting]):
                if self._stop.is_set():
                    return
                left_out += not self._add(self.waiting[index], texts)
        except GuerdonError as error:
            logger.error("no more answers come: %s", error)
        except Exception:
            logger.exception("no more answers come")
        if left_out:
            logger.warning("%d prompts got too few different answers to compare, and are not asked", left_out)

    def _add(self, asked: Candidates, texts: Sequence[str | NoResponse]) -> bool:
        responses = tuple(text for text in texts if isinstance(text, str) and text.strip())
        fewest = 2 if self._takes in ("pair", "several") else 1
        if len(set(responses)) < fewest:
            return False
        systems = (self._config.policy or "",) * len(responses)
        one = Candidates(
            prompt=asked.prompt, responses=responses, systems=systems, reference=asked.reference, subset=asked.subset,
            group=asked.group, id=asked.id, extra=asked.extra,
        )  # fmt: skip
        add_tasks(self._store, candidate_tasks(one, (), self._takes, self._config.pairs))
        return True


def _key(prompt: Any) -> str:
    return repr(prompt)


def sampler(config: CollectionConfig) -> Callable[[Sequence[Prompt]], Iterator[tuple[int, Sequence[str | NoResponse]]]]:
    """What writes the answers: an endpoint, or a policy of this machine; a prompt that it cannot take has none."""
    from guerdon.policy.decode import Sampling
    from guerdon.policy.endpoint import Endpoint

    assert config.policy
    sampling = Sampling(max_new_tokens=config.max_new_tokens, temperature=config.temperature)
    if config.endpoint:
        server = Endpoint(config.endpoint, config.policy, key=os.environ.get("OPENAI_API_KEY"), skip_refused=True)
        return lambda prompts: server.sample_texts(prompts, num_generations=config.answers, sampling=sampling)
    from guerdon.policy.model import Policy

    policy = Policy.load(config.policy)

    def sample(prompts: Sequence[Prompt]) -> Iterator[tuple[int, Sequence[str | NoResponse]]]:
        skipped: dict[int, TextError] = {}
        policy.encode_prompts(prompts, max_new_tokens=config.max_new_tokens, skipped=skipped)
        if skipped:
            logger.warning("%d prompts are too long for %s, and are not asked", len(skipped), config.policy)
        kept = [at for at in range(len(prompts)) if at not in skipped]
        found = policy.sample_texts(
            [prompts[at] for at in kept],
            num_generations=config.answers,
            sampling=sampling,
            batch_size=max(_SIDE_BY_SIDE, config.answers),
        )
        for index, texts in found:
            yield kept[index], texts

    return sample
