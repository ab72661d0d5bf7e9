"""A language model behind an OpenAI-compatible endpoint that judges by a rubric: a `Scorer`, or a `Comparer`."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.errors import OutputError
from guerdon.files import output_error
from guerdon.policy.decode import Sampling
from guerdon.policy.endpoint import Endpoint, NoResponse
from guerdon.rewards.comparing import BaseComparer, BothOrders
from guerdon.rewards.rubric import Rubric
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.rewards.training_data import TrainingPrompts
from guerdon.text.messages import messages_to_dicts
from guerdon.types import Comparer, Message, Prompt, Prompts, References, Responses, Rewards, Scorer

logger = logging.getLogger(__name__)


class VerdictFile:
    """Answers by the content of what was asked: JSON Lines, one appended for each as it comes, in a single write.

    A run that is killed loses only what was on its way. Several processes may share the file; a line that a killed one
    left half-written is passed over, and its question is asked again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, str | NoResponse] = {}
        self._read = 0

    def refresh(self) -> None:
        """Reads what was appended since. Raises OutputError where it cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(f"cannot read {self.path}: {error.strerror}") from error
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                record = json.loads(line)
                answer = record["answer"]
                self.answers[record["key"]] = NoResponse(record["reason"]) if answer is None else str(answer)
            except (ValueError, KeyError, TypeError):
                continue

    def add(self, key: str, answer: str | NoResponse) -> None:
        """Appends an answer. Raises OutputError."""
        said = {"answer": None, "reason": answer.reason} if isinstance(answer, NoResponse) else {"answer": answer}
        record = {"key": key, **said}
        line = json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"
        try:
            with self.path.open("a+b", buffering=0) as file:
                if size := file.seek(0, os.SEEK_END):
                    file.seek(size - 1)
                    line = (b"" if file.read(1) == b"\n" else b"\n") + line
                file.write(line)
        except OSError as error:
            raise output_error(self.path, error) from error
        self.answers[key] = answer


class RubricAsker:
    """Asks the endpoint what the file of verdicts does not hold yet."""

    def __init__(self, rubric: Rubric) -> None:
        self.rubric, self.name = rubric, f"rubric:{rubric.path}"
        self.examples = rubric.example_rows()
        self.training_prompts = TrainingPrompts.of(row.prompt for row in self.examples)
        """The prompts of the examples that are shown."""
        self.file = VerdictFile(rubric.verdicts_path)
        self.endpoint = Endpoint(
            rubric.endpoint,
            rubric.model,
            key=os.environ.get("OPENAI_API_KEY"),
            timeout=rubric.timeout,
            skip_refused=True,
        )
        self.sampling = Sampling(rubric.max_new_tokens, rubric.temperature)
        self.asked = 0
        """Questions that were sent."""
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def values(self, asked: Sequence[tuple[Prompt, Sequence[str], str | None]]) -> Rewards:
        """The weighted mean over the criteria of the verdicts on n responses, or pairs of responses.

        Without a verdict on one criterion there is none; the reason names the criterion. Raises ModelError where the
        server is lost: what it had answered by then is kept.
        """
        rubric = self.rubric
        weights = np.array([criterion.weight for criterion in rubric.criteria])
        questions = [
            rubric.question(criterion, self.examples, prompt, responses, reference or "")
            for prompt, responses, reference in asked
            for criterion in rubric.criteria
        ]
        verdicts = [self._verdict(answer) for answer in self._answers(questions)]
        values = np.array([value for value, _ in verdicts], dtype=np.float64).reshape(len(asked), len(weights))
        whys = [why for _, why in verdicts]
        reasons = []
        for start in range(0, len(whys), len(weights)):
            named = zip(rubric.criteria, whys[start : start + len(weights)], strict=True)
            reasons.append("; ".join(f"{criterion.name}: {why}" for criterion, why in named if why))
        return Rewards((values @ weights / weights.sum()).astype(np.float32), tuple(reasons))

    def _verdict(self, answer: str | NoResponse) -> tuple[float, str]:
        return (float("nan"), answer.reason) if isinstance(answer, NoResponse) else self.rubric.verdict(answer)

    def _answers(self, questions: Sequence[tuple[Message, ...]]) -> list[str | NoResponse]:
        """The answer to each question, from the file or the server."""
        keys = [self._key(question) for question in questions]
        with self._lock:
            self.file.refresh()
            known = self.file.answers
            new = {key: question for key, question in zip(keys, questions, strict=True) if key not in known}
            room = max(0, self.rubric.max_requests - len(known))
            sent = list(new)[:room]
            refused: dict[str, NoResponse] = {
                key: NoResponse(f"the budget of {self.rubric.max_requests:,} verdicts is used up (max_requests)")
                for key in list(new)[room:]
            }
            found = self.endpoint.sample_texts([new[key] for key in sent], sampling=self.sampling)
            for index, (answer,) in found:
                self.asked += 1
                if isinstance(answer, NoResponse) and not answer.final:
                    refused[sent[index]] = answer
                else:
                    self.file.add(sent[index], answer)
            self._keys |= set(keys)
            return [known[key] if key in known else refused[key] for key in keys]

    def _key(self, question: tuple[Message, ...]) -> str:
        sampling = self.sampling
        content = [self.rubric.model, messages_to_dicts(question), sampling.max_new_tokens, sampling.temperature]
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()

    def report_totals(self) -> None:
        """Logs how many verdicts there were, how many were asked for now, and why some are missing."""
        answers = [self._verdict(self.file.answers[key])[1] for key in self._keys if key in self.file.answers]
        missing = Counter(filter(None, answers))
        why = "".join(f"; most often: {reason}" for reason, _ in missing.most_common(1))
        logger.warning(
            "%s: %d verdicts, %d of them asked for now; %d cannot be read%s",
            self.name, len(answers), self.asked, missing.total(), why,
        )  # fmt: skip


class RubricScorer(BaseScorer):
    """R(x) = sum_k w_k s_k / sum_k w_k, with the score s_k by criterion k. A `Scorer`."""

    def __init__(self, rubric: Rubric) -> None:
        self.asker, self.name = RubricAsker(rubric), f"rubric:{rubric.path}"
        self.training_prompts = self.asker.training_prompts

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """The scores of n responses in the rubric's scale."""
        check_lengths(prompts, responses, references)
        each = references or [None] * len(responses)
        return self.asker.values([(p, (y,), r) for p, y, r in zip(prompts, responses, each, strict=True)])

    def report_totals(self) -> None:
        """Logs how many verdicts there were."""
        self.asker.report_totals()


class RubricComparer(BaseComparer):
    """P(a preferred) = sum_k w_k v_k / sum_k w_k, with verdict v_k 1 for a, 0 for b, 1/2 for a tie. A `Comparer`.

    The pair is shown once, a first; see `guerdon.rewards.comparing.BothOrders`.
    """

    def __init__(self, rubric: Rubric) -> None:
        self.asker, self.name = RubricAsker(rubric), f"rubric:{rubric.path}"
        self.training_prompts = self.asker.training_prompts

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """As `compare`, with a reason for each pair that has no verdict."""
        check_lengths(prompts, a, references)
        each = references or [None] * len(a)
        return self.asker.values([(p, (x, y), r) for p, x, y, r in zip(prompts, a, b, each, strict=True)])

    def report_totals(self) -> None:
        """Logs how many verdicts there were."""
        self.asker.report_totals()


def load_judge(path: str | Path) -> Scorer | Comparer:
    """The judge that a rubric's file describes; the server is asked when there is something to judge.

    Raises:
        ConfigError: the rubric has faults; all are named.
        DataError: its examples cannot be read.
    """
    rubric = Rubric.read(path)
    if rubric.mode == "pointwise":
        return RubricScorer(rubric)
    return BothOrders(RubricComparer(rubric)) if rubric.both_orders else RubricComparer(rubric)
