"""A causal language model that says which of two responses is better: by the logits of its verdict, or by a vote.

    z = log pi(verdict for the first) - log pi(verdict for the second),    P(a preferred) = sigmoid((z_ab - z_ba) / 2)

z_ab is asked with a shown first, z_ba with b first: what the model thinks of letters and places cancels, and
P(a, b) = 1 - P(b, a). The model is untrained (`verdict:POLICY`), or trained by `guerdon judge generative`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from guerdon.collation import Batch, Tokens, items_of
from guerdon.errors import ConfigError, TextError
from guerdon.metrics import Floats, sigmoid
from guerdon.models import lasting_name
from guerdon.packing import batches, common_prefix, default_budget
from guerdon.policy.decode import Sampling
from guerdon.policy.policy_net import PolicyNet
from guerdon.rewards.comparing import BaseComparer, BothOrders
from guerdon.rewards.likelihood import frozen_policy
from guerdon.rewards.rubric import Criterion, Rubric
from guerdon.rewards.saved import FILE_NAME, read_card
from guerdon.rewards.scoring import check_lengths
from guerdon.types import Message, Prompt, Prompts, References, Responses, Rewards, VerdictKind, prompt_text

if TYPE_CHECKING:
    from torch import Tensor

    from guerdon.policy.model import Policy

KIND = "verdict"
INSTRUCTIONS: dict[VerdictKind, str] = {
    "letter": "Which answer to the question is better, A or B?",
    "quote": "Which answer to the question is better? Repeat it.",
}
"""What a judge in training is told first."""
LEAST_SHARE = 0.5
"""Of a trained judge, both verdicts must have this probability together: else its most probable answer may be none."""

_RUBRIC = Rubric(
    endpoint="",
    model="",
    criteria=(Criterion(name="quality", text="It answers the question correctly, clearly and helpfully."),),
    max_new_tokens=128,
)
_SURE = 1e-12
_VOTES = re.compile(r"(?P<policy>.+)@(?P<votes>[1-9]\d*)")

Ask = Callable[[Prompt, Sequence[str], str], Prompt]
"""Prompt, two responses, reference or an empty text -> what the model is asked."""


def ask_by_rubric(prompt: Prompt, pair: Sequence[str], reference: str) -> Prompt:
    """What an untrained model is asked, as by a rubric of one criterion."""
    return _RUBRIC.question(_RUBRIC.criteria[0], (), prompt, pair, reference)


def ask_briefly(instruction: str) -> Ask:
    """What a model in training is asked: what is alike comes first, so that a batch computes it once."""

    def ask(prompt: Prompt, pair: Sequence[str], reference: str) -> Prompt:
        parts = [instruction, f"[Question]\n{prompt_text(prompt)}"]  # references are not learnt from
        parts += [f"[Answer {letter}]\n{text}" for letter, text in zip("AB", pair, strict=True)]
        return (Message("user", "\n\n".join(parts)),)

    return ask


class VerdictReader:
    """Where in a model's answer its verdict stands, and how probable each verdict is.

    The verdict is the first token in which two possible answers differ: the letters A and B, or the two responses
    themselves where the model is to repeat the better one.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.net = policy, PolicyNet(policy.model)

    def encode(
        self, questions: Prompts, answers: Sequence[Sequence[str]], skipped: dict[int, TextError] | None = None
    ) -> tuple[list[Tokens], list[tuple[int, int]]]:
        """Questions up to where the verdict follows, and the tokens that are the verdicts for a and for b.

        `answers` are the two possible answers to each question. Questions that are too long get into `skipped`, by
        index, where it is given. Raises TextError for one that is too long.
        """
        short: dict[int, TextError] = {} if skipped is None else skipped
        asked = self.policy.encode_prompts(questions, max_new_tokens=1, skipped=None if skipped is None else short)
        texts = dict.fromkeys(text for place, pair in enumerate(answers) if place not in short for text in pair)
        own = self.policy.encode_responses([()] * len(texts), [("?", text) for text in texts])
        coded = {text: tuple(ids) for text, ids in zip(texts, own, strict=True)}
        tokens, verdicts = [], []
        for place, (ids, pair) in enumerate(zip(asked, answers, strict=True)):
            first, second = ((0,), (0,)) if place in short else (coded[text] for text in pair)
            shared = common_prefix([first, second])
            if len(ids) + shared >= self.policy.context_length and place not in short:
                error = TextError(place, f"too long: the question takes {len(ids)} tokens, and its answer has no room")
                if skipped is None:
                    raise error
                short[place] = error
            tokens.append(Tokens((*ids, *first[:shared])))
            verdicts.append((first[shared], second[shared]))
        return tokens, verdicts

    def log_probabilities(self, batch: Batch, verdicts: Tensor) -> Tensor:
        """The log-probability of both verdicts, shape (n, 2), after each sequence of a batch; float32, shape (n, 2)."""
        _, logits = self.net.read(batch)
        return logits.float().log_softmax(dim=1).gather(1, verdicts)

    def frozen_log_probabilities(
        self, tokens: Sequence[Tokens], verdicts: Sequence[tuple[int, int]], keys: Sequence[str]
    ) -> Floats:
        """The same of n encoded questions, without gradient; those of one key begin alike, which is computed once."""
        found, device = np.zeros((len(tokens), 2)), self.policy.model.device
        packed = batches(
            tokens, range(len(tokens)), keys, budget=default_budget(), pad_id=self.policy.tokenizer.pad_token_id,
            shared=self.net.reads_groups, positions=True,
        )  # fmt: skip
        with torch.inference_mode():
            for rows, batch in packed:
                items = items_of(rows)
                there = {name: tensor.to(device) for name, tensor in batch.items()}
                own = torch.tensor([verdicts[item] for item in items], device=device)
                found[items] = self.log_probabilities(there, own).double().cpu().numpy()
        return found


class VerdictJudge(BaseComparer):
    """P(a preferred) = pi(A) / (pi(A) + pi(B)) where a is shown first: one order alone. A `Comparer`."""

    folder: Path | None = None
    """Where it was loaded from, if it was trained."""

    def __init__(
        self,
        policy: Policy,
        name: str,
        ask: Ask = ask_by_rubric,
        *,
        verdict: VerdictKind = "letter",
        least_share: float = 0.0,
    ) -> None:
        """`name` is how it is loaded; with less than `least_share` for both verdicts together there is none."""
        self.reader, self.name, self.ask = VerdictReader(policy), name, ask
        self.verdict, self.least_share = verdict, least_share

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """As `compare`, in float64, with the reason where the question is too long, or the answer is no verdict."""
        questions = asked(self.ask, prompts, a, b, references)
        skipped: dict[int, TextError] = {}
        tokens, verdicts = self.reader.encode(questions, answers(self.verdict, a, b), skipped)
        kept = [place for place in range(len(tokens)) if place not in skipped]
        logps = np.full((len(tokens), 2), -np.inf)
        logps[kept] = self.reader.frozen_log_probabilities(
            [tokens[place] for place in kept],
            [verdicts[place] for place in kept],
            [prompt_text(prompts[place]) for place in kept],
        )
        share = np.exp(logps).sum(axis=1)
        values, reasons = np.full(len(tokens), np.nan), [""] * len(tokens)
        for place in range(len(tokens)):
            if place in skipped:
                reasons[place] = skipped[place].fault
            elif share[place] < self.least_share:
                reasons[place] = f"the verdict cannot be read: both together have a probability of {share[place]:.2f}"
            else:
                values[place] = sigmoid(logps[place, 0] - logps[place, 1])
        return Rewards(values, tuple(reasons))


class VerdictComparer(BothOrders):
    """P(a preferred) = sigmoid((z_ab - z_ba) / 2). A `Comparer`.

    Example:
        >>> judge = VerdictComparer.load("runs/judge")
        >>> judge.compare(["Capital of France?"], ["Paris."], ["I do not know."])
    """

    def joined(self, first: Floats, second: Floats) -> Floats:
        """By the mean of the logits of both orders; probabilities count as at least `_SURE` from 0 and 1."""
        ab, ba = (np.clip(one, _SURE, 1 - _SURE) for one in (first, second))
        return np.asarray(sigmoid((np.log(ab) - np.log1p(-ab) - np.log(ba) + np.log1p(-ba)) / 2))

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Loads what `guerdon judge generative` wrote; `options` are device, dtype and trust_remote_code.

        Raises:
            ContractError: the folder holds no such judge.
            ModelError: its weights cannot be loaded.
        """
        from guerdon.policy.model import Policy

        known = {name: options[name] for name in ("device", "dtype", "trust_remote_code") if name in options}
        folder = Path(folder).resolve()
        return cls(trained_judge(Policy.load(str(folder), **known), folder))


def trained_judge(policy: Policy, folder: Path) -> VerdictJudge:
    """The judge of a folder that `guerdon judge generative` wrote. Raises ContractError for any other folder."""
    card = read_card(folder, KIND)
    ask, verdict = ask_briefly(card["instruction"]), card["verdict"]
    judge = VerdictJudge(policy, str(folder), ask, verdict=verdict, least_share=LEAST_SHARE)
    judge.folder = folder
    return judge


class VotedVerdict(BaseComparer):
    """The share of sampled answers that prefer a, where a is shown first: one order alone. A `Comparer`.

    An untrained model may give reasons before its verdict, which is read as a rubric's is; a trained one says it at
    once. An answer that is no verdict does not vote; without any vote there is none.
    """

    def __init__(self, judge: VerdictJudge, votes: int) -> None:
        self.policy, self.name, self.folder = judge.reader.policy, f"{judge.name}@{votes}", judge.folder
        self.ask, self.votes = judge.ask, votes
        if judge.verdict == "quote":
            raise ConfigError(f"{judge.name} repeats the better response: no vote is read from that. Fix: leave @ out")
        self.sampling = Sampling(_RUBRIC.max_new_tokens if judge.folder is None else 1)

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """As `compare`, with the reason where the question is too long, or no answer is a verdict."""
        questions = asked(self.ask, prompts, a, b, references)
        skipped: dict[int, TextError] = {}
        self.policy.encode_prompts(questions, max_new_tokens=self.sampling.max_new_tokens, skipped=skipped)
        kept = [place for place in range(len(questions)) if place not in skipped]
        values, reasons = np.full(len(questions), np.nan), [""] * len(questions)
        for place, error in skipped.items():
            reasons[place] = error.fault
        sampled = self.policy.sample_texts(
            [questions[place] for place in kept], num_generations=self.votes, sampling=self.sampling
        )
        for number, answers in sampled:
            verdicts = [_RUBRIC.verdict(answer) for answer in answers]
            read = [value for value, reason in verdicts if not reason]
            if read:
                values[kept[number]] = np.mean(read)
            else:
                reasons[kept[number]] = f"none of {self.votes} answers is a verdict: {verdicts[0][1]}"
        return Rewards(values, tuple(reasons))


def answers(verdict: VerdictKind, a: Responses, b: Responses) -> list[Sequence[str]]:
    """The two possible answers to each question."""
    return [*zip(a, b, strict=True)] if verdict == "quote" else [("A", "B")] * len(a)


def asked(ask: Ask, prompts: Prompts, a: Responses, b: Responses, references: References) -> list[Prompt]:
    """The questions about n pairs, a shown first. Raises ValueError for other lengths."""
    check_lengths(prompts, a, references)
    check_lengths(prompts, b, references)
    each = references or [None] * len(a)
    return [
        ask(prompt, pair, reference or "")
        for prompt, pair, reference in zip(prompts, zip(a, b, strict=True), each, strict=True)
    ]


def named_judge(name: str, device: str | None, trust_remote_code: bool) -> BothOrders:
    """What `verdict:NAME` means: POLICY, or POLICY@VOTES; a folder of a trained judge is asked as it was in training.

    Raises:
        ModelError: the policy cannot be loaded.
    """
    found = _VOTES.fullmatch(name)
    model, votes = (found["policy"], int(found["votes"])) if found else (name, 0)
    policy, folder = frozen_policy(model, device, trust_remote_code), Path(model).expanduser().resolve()
    trained = (folder / FILE_NAME).exists()
    judge = trained_judge(policy, folder) if trained else VerdictJudge(policy, lasting_name(model))
    judge.name = f"{KIND}:{judge.name}"
    return BothOrders(VotedVerdict(judge, votes)) if votes else VerdictComparer(judge)
