"""What a causal language model thinks of a response: its log-probability, alone and given the prompt."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from guerdon.errors import ConfigError, TextError
from guerdon.metrics import Floats
from guerdon.models import lasting_name
from guerdon.packing import default_budget
from guerdon.policy.policy_net import PolicyNet, TokenizedGroup, response_batches
from guerdon.rewards.infer import frozen_digest
from guerdon.rewards.linear import FeatureMatrix, Features
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.types import Prompts, References, Responses, Rewards, prompt_text

if TYPE_CHECKING:
    from guerdon.policy.model import Policy

_MOST_KEPT = 100_000
"""Responses whose numbers are kept; beyond, all are forgotten."""


class ResponseLogps(NamedTuple):
    """Log-probabilities of the tokens of a response, its end of turn included."""

    given_prompt: Floats
    """log pi(y_t | x, y_<t), shape (tokens,); empty where the response is too long for the model."""
    reason: str
    """Why there are none; empty where there are."""


def response_logps(policy: Policy, prompts: Prompts, responses: Responses) -> list[ResponseLogps]:
    """The log-probabilities of n responses under a policy, the prompt of a group of responses computed once.

    A response that does not fit into the model's context has none, and says why; it does not fail the others.
    """
    groups, places, reasons = tokenized_groups(policy, prompts, responses)
    found = [ResponseLogps(np.zeros(0), reason) for reason in reasons]
    for place, logps in zip(places, group_logps(policy, groups), strict=True):
        found[place] = ResponseLogps(logps, "")
    return found


def tokenized_groups(
    policy: Policy, prompts: Prompts, responses: Responses
) -> tuple[list[TokenizedGroup], list[int], list[str]]:
    """Token ids of n responses as a policy would have written them, those of a prompt together.

    Returns:
        The groups; which of the n each of their responses is; and why a response is in no group, as it is too long for
        the model's context, for each of the n, empty where it is in one.
    """
    by_prompt: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        by_prompt.setdefault(prompt_text(prompt), []).append(place)
    groups, order, reasons = [], [], [""] * len(prompts)
    for places in by_prompt.values():
        kept: list[tuple[int, tuple[int, ...]]] = []
        try:
            (ids,) = policy.encode_prompts([prompts[places[0]]], max_new_tokens=1)
        except TextError as error:
            for place in places:
                reasons[place] = error.fault
            continue
        for place in places:
            try:
                (own,) = policy.encode_responses([ids], [(prompts[place], responses[place])])
                kept.append((place, tuple(own)))
            except TextError as error:
                reasons[place] = error.fault
        if kept:
            groups.append(TokenizedGroup(tuple(ids), tuple(own for _, own in kept)))
            order += [place for place, _ in kept]
    return groups, order, reasons


def group_logps(policy: Policy, groups: Sequence[TokenizedGroup]) -> list[Floats]:
    """Log-probabilities of the tokens of each response, counted through all groups."""
    net = PolicyNet(policy.model)
    found: list[Floats] = [np.zeros(0)] * sum(len(group.responses) for group in groups)
    batches = response_batches(
        groups, budget=default_budget(), pad_id=policy.tokenizer.pad_token_id, shared=net.reads_groups
    )
    with torch.inference_mode():
        for items, batch in batches:
            there = {name: tensor.to(policy.model.device) for name, tensor in batch.items()}
            logps = net(there).double().cpu().numpy()
            owner = batch["response"].numpy()
            for number, item in enumerate(items):
                found[item] = logps[owner == number]
    return found


class LikelihoodReward(BaseScorer):
    """The mean log-probability of the tokens of a response given its prompt, in nats. Nothing is trained."""

    def __init__(self, policy: Policy, policy_name: str) -> None:
        self.policy = policy
        self.name = f"likelihood:{lasting_name(policy_name)}"
        """What `load_scorer` takes."""

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Mean log-probabilities, each below 0. `references` are not read."""
        check_lengths(prompts, responses, references)
        logps = response_logps(self.policy, prompts, responses)
        values = [np.nan if one.reason else one.given_prompt.mean() for one in logps]
        return Rewards(np.array(values, dtype=np.float32), tuple(one.reason for one in logps))


class ImplicitReward(BaseScorer):
    """The implicit reward of a DPO-trained policy, beta log(pi(y|x) / pi_ref(y|x)), in nats.

    Up to a term of the prompt alone it is the reward that the policy was trained on (Rafailov et al. 2023,
    arXiv:2305.18290, equation 5).
    """

    def __init__(self, policy: Policy, reference: Policy, *, beta: float = 0.1, name: str = "implicit") -> None:
        """`reference` is the policy that training started from; `beta` > 0 as in training, `name` for `load_scorer`."""
        if not beta > 0:
            raise ConfigError(f"beta must be above 0, got {beta}")
        self.policy, self.reference, self.beta, self.name = policy, reference, beta, name

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """The rewards of n responses. `references` are not read."""
        check_lengths(prompts, responses, references)
        trained = response_logps(self.policy, prompts, responses)
        initial = response_logps(self.reference, prompts, responses)
        reasons = tuple(a.reason or b.reason for a, b in zip(trained, initial, strict=True))
        values = [
            np.nan if reason else self.beta * (a.given_prompt.sum() - b.given_prompt.sum())
            for a, b, reason in zip(trained, initial, reasons, strict=True)
        ]
        return Rewards(np.array(values, dtype=np.float32), reasons)


class PolicyFeatures(Features):
    """What a frozen causal language model makes of each response; computed once for each (prompt, response)."""

    def __init__(self, policy: Policy, name: str) -> None:
        """`name` is how the model is loaded again."""
        self.policy, self.name = policy, lasting_name(name)
        self._kept: dict[tuple[str, str], tuple[Floats, str]] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def computed(self, prompts: Prompts, responses: Responses) -> tuple[Floats, Sequence[str]]:
        """Numbers of n responses, shape (n, features), and why a response has none (its row is then 0)."""

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, shape (n, features)."""
        keys = [(prompt_text(prompt), text) for prompt, text in zip(prompts, responses, strict=True)]
        with self._lock:
            if len(self._kept) > _MOST_KEPT:
                self._kept.clear()
            new = {key: place for place, key in enumerate(keys) if key not in self._kept}
            asked, said = [prompts[place] for place in new.values()], [responses[place] for place in new.values()]
            self._kept.update(zip(new, zip(*self.computed(asked, said), strict=True), strict=True))
            found = [self._kept[key] for key in keys]
        values = np.array([numbers for numbers, _ in found], dtype=np.float64).reshape(len(found), len(self.names()))
        return FeatureMatrix(values, tuple(reason for _, reason in found))

    def record(self) -> dict[str, Any]:
        """The name of the language model, whose weights are frozen and stay where they are, and their digest."""
        return {"policy": self.name, "sha256": frozen_digest(self.name)}

    @classmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **options: Any) -> Self:
        """The same features again. Raises ValueError where the language model has other weights by now."""
        name = record["policy"]
        if frozen_digest(name) != record["sha256"]:
            raise ValueError(f"{name} has other weights than when it was fitted")
        return cls(frozen_policy(name, options.get("device"), bool(options.get("trust_remote_code"))), name)


class LikelihoodFeatures(PolicyFeatures):
    """Log-probabilities of a response under a causal language model: given the prompt, alone, and the gain."""

    kind: ClassVar[str] = "likelihood"
    penalties: ClassVar[tuple[float, ...]] = (1.0, 10.0)

    def computed(self, prompts: Prompts, responses: Responses) -> tuple[Floats, Sequence[str]]:
        """The features of n responses, shape (n, 9)."""
        given = response_logps(self.policy, prompts, responses)
        alone = response_logps(self.policy, [""] * len(responses), responses)
        reasons = [a.reason or b.reason for a, b in zip(given, alone, strict=True)]
        numbers = [
            (0.0,) * len(NAMES) if reason else _numbers(a, b)
            for a, b, reason in zip(given, alone, reasons, strict=True)
        ]
        return np.array(numbers), reasons

    def names(self) -> list[str]:
        """What each number is."""
        return list(NAMES)


@lru_cache(maxsize=2)
def frozen_policy(name: str, device: str | None = None, trust_remote_code: bool = False) -> Policy:
    """The language model of that name, in float32; all who ask for it share it."""
    from guerdon.policy.model import Policy

    return Policy.load(name, device=device, dtype="float32", trust_remote_code=trust_remote_code)


NAMES = (
    "mean log p given the prompt",
    "mean log p alone",
    "mean gain by the prompt",
    "log p given the prompt",
    "log p alone",
    "gain by the prompt",
    "lowest log p given the prompt",
    "lowest log p alone",
    "log tokens",
)


def _numbers(given: ResponseLogps, alone: ResponseLogps) -> tuple[float, ...]:
    a, b = given.given_prompt, alone.given_prompt
    means, sums = (a.mean(), b.mean()), (a.sum(), b.sum())
    return (
        *means, means[0] - means[1], *sums, sums[0] - sums[1], a.min(), b.min(), float(np.log(len(a)))
    )  # fmt: skip
