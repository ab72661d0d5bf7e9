"""Explanations against what is known: planted features, flips within their budget, gradients that add up in time.

    python benchmarks/explain.py planted --data PAIRS.jsonl.gz
    python benchmarks/explain.py flips --data PAIRS.jsonl --model MODEL
    python benchmarks/explain.py gradients --data PAIRS.jsonl --model MODEL --tokens 140 160

How faithful the methods are is for `guerdon explain MODEL PAIRS --faithfulness` to say.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from guerdon.data.read import load_rows
from guerdon.explain.flips import MOST_SHARE, PreferenceFlip, shortest_flip
from guerdon.explain.gradients import gradient_attribution
from guerdon.explain.importance import ScoredResponse, feature_importance
from guerdon.explain.methods import attribute
from guerdon.explain.target import Target
from guerdon.explain.tokens import tokenized
from guerdon.explain.units import Case
from guerdon.metrics import Interval, format_interval, mean_interval
from guerdon.rewards.load import load_scorer
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.text.sentences import split_sentences
from guerdon.text.words import words_of
from guerdon.types import Comparison, Prompt, Scorer, prompt_text

Text = tuple[Prompt, str]


def share(flags: Sequence[bool]) -> float:
    """The share that is true; 0 of none."""
    return float(np.mean(flags)) if len(flags) else 0.0


PLANTED: dict[str, tuple[set[str], Callable[[Prompt, str], float]]] = {
    "length": (
        {"log characters", "log words", "log ratio of words to the prompt's"},
        lambda prompt, text: np.log1p(len(text)),
    ),
    "list items": (
        {"log list items"},
        lambda prompt, text: np.log1p(len(re.findall(r"(?m)^\s*(?:[-*•]|\d+[.)])\s", text))),
    ),
    "exclamation marks": ({"log exclamation marks"}, lambda prompt, text: text.count("!")),
    "question marks, disliked": ({"log question marks"}, lambda prompt, text: -text.count("?")),
    "first person": (
        {"first person, share of words"},
        lambda prompt, text: share([word in ("i", "me", "my") for word in words_of(text)]),
    ),
    "words of the prompt": (
        {"words of the prompt, share of the response"},
        lambda prompt, text: share([word in words_of(prompt_text(prompt)) for word in words_of(text)]),
    ),
    "the word sorry, disliked": ({"sorry"}, lambda prompt, text: -float("sorry" in words_of(text))),
    "the word can": ({"can"}, lambda prompt, text: words_of(text).count("can")),
    "the word because": ({"because"}, lambda prompt, text: float("because" in words_of(text))),
    "a long first sentence": (
        {"first sentence"},
        lambda prompt, text: len(words_of((split_sentences(text) or [""])[0])),
    ),
}
"""What is planted -> the names under which it may be found, and the measure."""


class Biased:
    """A bag of words that was fitted on the data, and beside it one planted measure, in deviations of each."""

    def __init__(
        self, base: Scorer, texts: Sequence[Text], measure: Callable[[Prompt, str], float], size: float
    ) -> None:
        self.base, self.measure = base, measure
        self.unit = float(np.std(base.score(*map(list, zip(*texts, strict=True)))))
        self.factor = size / max(float(np.std([measure(*text) for text in texts])), 1e-9)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: object = None) -> np.ndarray:
        """Scores, float32, shape (n,)."""
        planted = [self.measure(prompt, text) for prompt, text in zip(prompts, responses, strict=True)]
        return np.asarray(
            self.base.score(prompts, responses) / self.unit + self.factor * np.array(planted), dtype=np.float32
        )


def planted(data: str, sizes: Sequence[float], count: int) -> None:
    """Where what was planted comes in the ranking of what moves the scores."""
    base = fit_tfidf(load_rows(data))
    cases = list(pairs(data))
    texts = [(case.prompt, text) for case in cases for text in (case.response, str(case.other)) if text.strip()][:count]
    for size in sizes:
        first = 0
        for name, (names, measure) in PLANTED.items():
            target = Target(Biased(base, texts, measure, size))
            scored = []
            for prompt, text in texts:
                found = attribute(target, Case(prompt, text), method="occlusion", grain="word")
                scored.append(ScoredResponse(Case(prompt, text), prompt_text(prompt), found.total, found))
            movers = [one.name for one in feature_importance(scored).movers]
            place = 1 + min(movers.index(one) for one in names if one in movers)
            first += place == 1
            print(f"planted at {size:g} deviations: {name}: place {place}; first is {movers[0]}", flush=True)
        print(f"planted at {size:g} deviations: first in {first} of {len(PLANTED)}", flush=True)


def pairs(data: str) -> Iterator[Case]:
    """The pairs of a file in a random order, the preferred response first."""
    rows = [row for row in load_rows(data) if isinstance(row, Comparison)]
    for place in np.random.default_rng(1).permutation(len(rows)):
        yield Case(rows[place].prompt, rows[place].chosen, rows[place].rejected, rows[place].reference)


def flips(data: str, model: str, count: int) -> None:
    """Only pairs that the model ranks as people did; a flip counts where it edits at most 30% of each response."""
    reward, found = load_scorer(model, overlong="cut"), []
    prompts: list[str] = []
    for case in pairs(data):
        if len(found) == count:
            break
        target = Target(reward)
        if target.ask([case]).values[0] > 0:
            flip = shortest_flip(target, case)
            assert isinstance(flip, PreferenceFlip)
            found.append(flip)
            prompts.append(prompt_text(case.prompt))
            if len(found) % 20 == 0:
                print(f"{len(found)} pairs: {sum(one.found for one in found)} flipped", flush=True)
    few = [all(one.edited_words[part] <= MOST_SHARE * one.words[part] for part in one.words) for one in found]
    flipped = [one for one, fits in zip(found, few, strict=True) if one.found and fits]
    rate: Interval = mean_interval([one.found and fits for one, fits in zip(found, few, strict=True)], prompts)
    passes, shares = [one.passes for one in found], [one.share for one in flipped]
    print(f"{len(found)} pairs of {len(set(prompts))} prompts: flipped {format_interval(rate)};")
    print(f"{np.median(passes):.0f} scores each (median), at most {max(passes)};")
    print(f"of the words of both {np.median(shares):.1%} (median), {np.quantile(shares, 0.9):.1%} (90% quantile);")
    print(f"by leaving out alone {share([not any(one.in_place.values()) for one in flipped]):.0%} of these")


def gradients(data: str, model: str, count: int, tokens: tuple[int, int]) -> None:
    """How far integrated gradients add up, and how long they take."""
    reward = load_scorer(model, overlong="cut")
    assert isinstance(reward, TransformerReward)
    errors, seconds, passes = [], [], []
    for case in pairs(data):
        if len(errors) == count:
            break
        if tokens[0] <= len(tokenized(reward, case.prompt, case.response).units) <= tokens[1]:
            start = time.perf_counter()
            found = gradient_attribution(reward, case.prompt, case.response)
            seconds.append(time.perf_counter() - start)
            errors.append(found.error)
            passes.append(found.passes)
    low, high = tokens
    print(f"{len(errors)} responses of {low} to {high} tokens with their prompt: missed by {np.median(errors):.2%}")
    print(f"(median), at most {max(errors):.2%}; {np.median(passes):.0f} passes (median), at most {max(passes)};")
    print(f"{np.median(seconds):.2f} s (median), at most {max(seconds):.2f} s")


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["planted", "flips", "gradients"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--tokens", type=int, nargs=2, default=[2, 512])
    given = parser.parse_args()
    if given.what == "planted":
        planted(given.data, given.sizes, given.count)
    elif given.what == "flips":
        flips(given.data, given.model, given.count)
    else:
        gradients(given.data, given.model, given.count, tuple(given.tokens))


if __name__ == "__main__":
    main()
