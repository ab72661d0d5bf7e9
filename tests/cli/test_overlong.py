"""Every verb that scores takes `--overlong`, goes on with `cut`, and says how much was cut."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from guerdon.cli.main import main
from guerdon.rewards.transformer import TransformerReward

PROMPT, LONG, SHORT = "How do I boil an egg?", "Put it into water for eight minutes. " * 4, "No."
SAMPLING = ["--max-new-tokens", "16", "--num-generations", "2", "--prompts-per-step", "2"]
VERBS: dict[str, list[str]] = {
    "score {model} {pairs}": [],
    "evaluate {model} {pairs}": ["--resamples", "2"],
    "evaluate longest {pairs}": ["--also", "{model}", "--resamples", "2"],
    "compare {model} longest {pairs}": ["--resamples", "2"],
    "doctor {model}": ["--data", "{pairs}"],
    "optimize best-of-n {model} {candidates}": ["--n", "2", "--out", "{out}"],
    "optimize best-of-n longest {candidates}": ["--gold", "{model}", "--n", "2", "--out", "{out}"],
    "optimize weighted {model} {candidates}": ["--policy", "{policy}", "--out", "{out}", *SAMPLING],
    "optimize rl {model} {candidates}": ["--policy", "{policy}", "--out", "{out}", *SAMPLING],
    "fit {pairs}": ["--members", "longest", "{model}", "--out", "{out}"],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, tiny_llama: str) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("overlong")
    reward = TransformerReward.create(tiny_bert)
    reward.contract = replace(reward.contract, max_length=12)
    reward.save(folder / "model")
    several = [f"{PROMPT} {n}" for n in range(60)]
    pairs = [{"prompt": one, "chosen": LONG + one, "rejected": SHORT} for one in several]
    candidates = [{"prompt": one, "responses": [LONG + one, SHORT]} for one in several[:2]]
    for name, rows in (("pairs", pairs), ("candidates", candidates)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        "model": str(folder / "model"),
        "pairs": str(folder / "pairs.jsonl"),
        "candidates": str(folder / "candidates.jsonl"),
        "policy": tiny_llama,
    }


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_goes_on_and_counts(
    verb: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = places | {"out": str(tmp_path / "out")}
    command = [part.format(**places) for part in [*verb.split(), *VERBS[verb]]]
    if verb.split()[1] not in ("weighted", "rl", "{model}") or verb.startswith("score"):
        # The doctor looks at a few texts, and of what is sampled nothing is known beforehand: they go on.
        assert main(command) == 2
        assert "--overlong cut" in capsys.readouterr().err
    assert main([*command, "--overlong", "cut"]) == 0, capsys.readouterr().err
    assert re.search(r"\d+ of \d+ (responses|prompts) were cut", capsys.readouterr().err)
