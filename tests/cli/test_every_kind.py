"""Verbs about trust take a model of ours, an ensemble, a blend, a folder of plain Transformers, and objects of Python.

Of `audit` and `doctor` the same is in tests/evaluate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from guerdon.cli.main import main
from guerdon.rewards.blend import Blend
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.transformer import TransformerReward
from json_lines import write_lines

OWN = """
class Words:
    def score(self, prompts, responses, *, references=None):
        return [float(len(text.split())) for text in responses]

class Judge:
    def compare(self, prompts, a, b, *, references=None):
        return [0.5 + 0.4 * (len(x) > len(y)) - 0.4 * (len(x) < len(y)) for x, y in zip(a, b)]

words, judge = Words(), Judge()
"""
KINDS = ("ours", "ensemble", "blend", "plain", "kinds_of_reward:words", "kinds_of_reward:judge")


@pytest.fixture(scope="module")
def kinds(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Kind -> its name on the command line."""
    made = tmp_path_factory.mktemp("kinds")
    members = [TransformerReward.create(tiny_bert, seed=seed) for seed in range(2)]
    members[0].save(made / "ours")
    Ensemble(members).save(made / "ensemble")
    parts = {"mine": members[0], "longest": LengthReward(1)}
    Blend(parts, [1, 1], means=[0, 0], deviations=[1, 1]).save(made / "blend")
    (made / "kinds_of_reward.py").write_text(OWN, encoding="utf-8")
    folders = {name: str(made / name) for name in ("ours", "ensemble", "blend")}
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(made)
        yield {
            **folders,
            "plain": tiny_bert,
            "kinds_of_reward:words": "kinds_of_reward:words",
            "kinds_of_reward:judge": "kinds_of_reward:judge",
        }


@pytest.fixture
def data(tmp_path: Path) -> str:
    """80 pairs of different lengths."""
    rows = [
        {"prompt": f"Boil egg {i}?", "chosen": "good egg " * (1 + i % 5), "rejected": "bad egg " * (1 + (i * 7) % 4)}
        for i in range(80)
    ]
    return write_lines(tmp_path / "data.jsonl", *rows)


def test_evaluate_and_compare_take_all_kinds_beside_each_other(kinds: dict[str, str], data: str, tmp_path: Path):
    first, *others = kinds.values()
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    options = ["--json", str(out), "--page", str(page), "--resamples", "20"]
    assert main(["evaluate", first, data, *(f"--also={one}" for one in others), *options]) == 0
    assert len(json.loads(out.read_text(encoding="utf-8"))["systems"]) == len(kinds)
    assert "kinds_of_reward:judge" in page.read_text(encoding="utf-8")
    assert main(["compare", *kinds.values(), data, *options]) == 0
    assert "kinds_of_reward:judge" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_repair_takes_what_scores(
    kind: str, kinds: dict[str, str], data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "repaired"
    code = main(["repair", kinds[kind], data, "--out", str(out), "--flip-pairs", "3"])
    if kind == "kinds_of_reward:judge":
        assert code == 2
        assert "compare" in capsys.readouterr().err
        return
    assert code == 0
    assert main(["score", str(out), data, "--out", str(tmp_path / "scored.jsonl")]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_explain_takes_every_kind(kind: str, kinds: dict[str, str], tmp_path: Path):
    json_file = tmp_path / "why.json"
    texts = ["--prompt", "Boil egg?", "--response", "Put it in water. Good.", "--versus", "Bad egg."]
    assert main(["explain", kinds[kind], *texts, "--json", str(json_file), "--page", str(tmp_path / "why.html")]) == 0
    assert json.loads(json_file.read_text(encoding="utf-8"))
