"""A name becomes a Scorer, or one message that says why not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from guerdon.data.write import write_rows
from guerdon.errors import ConfigError, DataError, ModelError
from guerdon.rewards import sandbox
from guerdon.rewards.load import ScorerConfig, load_scorer
from guerdon.rewards.rules import LengthReward, UnitTests
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison

SCORERS = """
from guerdon.rewards.rules import LengthReward as Longest

ready = Longest()
number = 7

def make():
    return Longest(-1)

def broken():
    return 7

def needs(prompts):
    return [1.0] * len(prompts)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with scorers."""
    (tmp_path / "guerdon_test_scorers.py").write_text(SCORERS)
    monkeypatch.syspath_prepend(tmp_path)
    return "guerdon_test_scorers"


@pytest.mark.parametrize(("name", "scores"), [("longest", [2, 4]), ("shortest", [-2, -4])])
def test_rules_have_names(name: str, scores: list[float]) -> None:
    assert load_scorer(name).score(["", ""], ["ab", "abcd"]).tolist() == scores


def test_a_bag_of_words_learns_here_and_now(tmp_path: Path) -> None:
    rows = [Comparison(prompt=f"How {i}?", chosen="boil it gently", rejected="no idea at all") for i in range(4)]
    write_rows(rows, tmp_path / "rows.jsonl")
    scorer = load_scorer(f"tfidf:{tmp_path / 'rows.jsonl'}")
    better, worse = scorer.score(["?", "?"], ["boil gently", "no idea"])
    assert better > worse
    with pytest.raises(DataError, match="no such file"):
        load_scorer("tfidf:nothing.jsonl")


@pytest.mark.parametrize(("attribute", "sign"), [("ready", 1), ("Longest", 1), ("make", -1)])
def test_an_object_a_class_or_a_function_of_a_module(module: str, attribute: str, sign: int) -> None:
    assert load_scorer(f"{module}:{attribute}") == LengthReward(sign)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (":number", "is a int, not a Scorer"),
        (":broken", "is a int, not a Scorer"),
        (":missing", "cannot import"),
        (":needs", r":needs is a function of \(prompts\), and Guerdon does not know how to ask it"),
        ("_no_such:thing", "cannot import"),
        (":", "cannot import"),
    ],
)
def test_what_is_no_scorer_is_refused(module: str, spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_scorer(module + spec)


@pytest.mark.parametrize("name", ["no/such-model", "no such model!", "./missing", "a/b/c"])
def test_an_unknown_model_is_a_model_error(name: str) -> None:
    with pytest.raises(ModelError, match="no such|no model|cannot load"):
        load_scorer(name)


def test_a_folder_by_path_or_by_name(tiny_bert: str, tmp_path: Path) -> None:
    saved = TransformerReward.create(tiny_bert)
    saved.save(tmp_path / "a:b")  # a colon in a folder's name is no module
    for name in (tmp_path / "a:b", str(tmp_path / "a:b")):
        scorer = load_scorer(name, overlong="error")
        assert isinstance(scorer, TransformerReward)
        assert scorer.encoder.overlong == "error"
        assert scorer.score(["egg"], ["good"]) == saved.score(["egg"], ["good"])


def test_the_weights_take_the_dtype_asked_for(tiny_bert: str, tmp_path: Path) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path)
    scorer = load_scorer(tmp_path, device="cpu", dtype="bfloat16")
    assert isinstance(scorer, TransformerReward)
    assert {str(p.dtype) for p in scorer.net.parameters()} == {"torch.bfloat16", "torch.float32"}


def test_a_config_says_all_that_is_wrong_with_it_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        ScorerConfig(name="", device="the first GPU", dtype="int4", overlong="shorten")  # type: ignore[arg-type]
    for words in ("needs a name", "the first GPU", "auto, float32, bfloat16; got 'int4'", "auto, cut, error; got"):
        assert words in str(raised.value)


def test_a_module_of_the_current_folder_is_found(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "guerdon_local_scorers.py").write_text(SCORERS)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_scorer("guerdon_local_scorers:ready") == LengthReward(+1)


def test_a_config_loads_the_same_scorer_in_another_process(tiny_bert: str, tmp_path: Path) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path / "model")
    config = ScorerConfig(name=str(tmp_path / "model"), device="cpu", dtype="bfloat16", overlong="error")
    code = (
        "import pickle, sys; config = pickle.load(sys.stdin.buffer); scorer = config.load(); "
        "print(repr(config)); print(scorer.score(['egg'], ['good'])[0].item(), scorer.encoder.overlong)"
    )
    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(config), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    said, scored = run.stdout.decode().splitlines()
    assert said == repr(config)
    assert scored == f"{config.load().score(['egg'], ['good'])[0].item()} error"


def test_load_scorer_takes_a_config_and_changes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ScorerConfig(name="unit-tests")
    assert load_scorer(config, unsafe_sandbox=True) == UnitTests(unsafe=True)
    monkeypatch.setattr(sandbox, "sandbox_fault", lambda: "")
    assert load_scorer(config) == UnitTests()


def test_a_machine_without_a_sandbox_is_told_when_the_scorer_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_fault", lambda: "bubblewrap is not installed")
    with pytest.raises(ConfigError, match="bubblewrap is not installed"):
        load_scorer("unit-tests")
