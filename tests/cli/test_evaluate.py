from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import guerdon
from guerdon.cli.evaluate import system_names
from guerdon.cli.main import main
from guerdon.evaluate.figure import accuracy_figure
from guerdon.report.drawing import save_figure
from guerdon.rewards.training_data import TrainingPrompts, write_training_prompts
from json_lines import write_lines


@pytest.fixture
def data(tmp_path):
    """40 prompts; the longer response wins in three of four."""
    rows = [
        {
            "prompt": f"p{i}",
            "chosen": f"{i} " + "good " * (1 + 4 * (i % 4 > 0)),
            "rejected": f"{i} bad bad",
            "subset": f"s{i % 2}",
        }
        for i in range(40)
    ]
    return write_lines(tmp_path / "data.jsonl", *rows)


def test_table_json_and_figure(data, tmp_path, capsys):
    out = tmp_path / "out.json"
    figure = tmp_path / "figure.svg"
    page = tmp_path / "page.html"
    files = ["--json", str(out), "--figure", str(figure), "--page", str(page)]
    assert main(["evaluate", "longest", data, *files, "--resamples", "100"]) == 0
    text = capsys.readouterr().out
    for word in ("accuracy", "length-", "longest wins", "shortest wins", "TF-IDF (5-fold", "0.750", "by subset", "s1"):
        assert word in text
    assert "longest does NOT clearly beat the best baseline, TF-IDF" in text or "longest is WORSE" in text
    assert "longest leans on length: where the shorter response won, its accuracy is only 0.000." in text
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["systems"] == ["longest"]
    assert found["data"] == [data]
    assert found["sections"][0]["overall"]["systems"]["longest"]["metrics"]["accuracy"]["point"] == 0.75
    assert figure.read_text(encoding="utf-8").startswith("<?xml")
    shown = page.read_text(encoding="utf-8")
    for word in ("Guerdon evaluation", "longest leans on length", "<b>accuracy</b>", "by subset", "as it is"):
        assert word in shown
    assert shown.count("<svg") == 1


def test_of_many_subsets_the_terminal_shows_the_largest_and_says_so(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i} {j}", "chosen": f"{i} {j} good good", "rejected": "bad", "subset": f"set-{i:02}"}
        for i in range(34)
        for j in range(2 if i % 8 else 1)
    ]
    files = [write_lines(tmp_path / "data.jsonl", *rows), "--json", str(tmp_path / "out.json")]
    assert main(["evaluate", "longest", *files, "--resamples", "20"]) == 0
    text = capsys.readouterr().out
    shown = [i for i in range(34) if f"set-{i:02}" in text]
    assert len(shown) == 30
    assert set(range(34)) - set(shown) < {0, 8, 16, 24, 32}
    assert "The 30 subsets with most rows; --page and --json have the 4 others too." in " ".join(text.split())
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(found["sections"][0]["subsets"]) == 34


def test_json_to_standard_output_is_json_alone(data, capsys):
    assert main(["evaluate", "shortest", data, "--json", "-", "--resamples", "20"]) == 0
    assert json.loads(capsys.readouterr().out)["systems"] == ["shortest"]


def test_several_models_stand_in_one_table(data, tmp_path, capsys):
    out, figure = tmp_path / "out.json", tmp_path / "figure.svg"
    options = ["--also", "shortest", "--also", "tfidf:" + data, "--resamples", "50"]
    assert main(["evaluate", "longest", data, *options, "--json", str(out), "--figure", str(figure)]) == 0
    text = capsys.readouterr().out
    assert "longest minus shortest: accuracy +0.500 [" in text
    assert "longest minus it," in text
    assert "shortest is WORSE than the best baseline" in text
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["systems"] == ["longest", "shortest", "data.jsonl"]
    assert found["sections"][0]["overall"]["systems"]["longest"]["minus"]["shortest"]["point"] == 0.5


def test_models_that_would_be_called_alike_keep_their_paths():
    assert system_names(("a/model", "b/model", "longest")) == {
        "a/model": "a/model",
        "b/model": "b/model",
        "longest": "longest",
    }


def test_the_function_and_the_command_write_the_same_files(data, tmp_path):
    names = ("command", "function")
    json_files, figures = ([tmp_path / f"{name}.{end}" for name in names] for end in ("json", "png"))
    assert main(["evaluate", "longest", data, "--json", str(json_files[0]), "--figure", str(figures[0])]) == 0
    evaluation = guerdon.evaluate_reward({"longest": guerdon.load_scorer("longest")}, guerdon.load_rows(data))
    evaluation.save(json_files[1])
    save_figure(accuracy_figure(evaluation), figures[1])
    assert json_files[0].read_bytes() == json_files[1].read_bytes()
    assert figures[0].read_bytes() == figures[1].read_bytes()


def test_training_prompts_and_missing_rewards_are_told_on_screen(data, tmp_path, capsys, monkeypatch):
    write_training_prompts(tmp_path, TrainingPrompts.of(["p0", "p1"]))
    (tmp_path / "trained.py").write_text(
        "import numpy as np\n"
        "from pathlib import Path\n"
        "class Trained:\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    def score(self, prompts, responses, *, references=None):\n"
        "        if any('39 ' in response for response in responses):\n"
        "            raise RuntimeError('too odd')\n"
        "        return np.array([len(r) for r in responses], dtype=np.float32)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["evaluate", "trained:Trained", data, "--resamples", "20"]) == 0
    text = capsys.readouterr().out
    assert "trained:Trained was TRAINED on the prompts of 5.0% of these rows" in text
    assert "trained:Trained gave no reward to 2 responses" in text
    assert "2 of them: RuntimeError: too odd" in text


def test_a_model_that_beats_the_baselines_is_said_to(tmp_path, capsys, monkeypatch):
    # What wins is the parity of the sum of the characters: no length and no word tells it.
    (tmp_path / "parity.py").write_text(
        "import numpy as np\n"
        "class Parity:\n"
        "    def score(self, prompts, responses, *, references=None):\n"
        "        return np.array([sum(map(ord, r)) % 2 for r in responses], dtype=np.float32)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    rng = random.Random(0)
    texts: dict[int, list[str]] = {0: [], 1: []}
    while min(map(len, texts.values())) < 60:
        text = "".join(rng.choices("abcdefghij ", k=rng.randint(20, 40))).strip()
        texts[sum(map(ord, text)) % 2].append(text)
    pairs = enumerate(zip(texts[1], texts[0], strict=False))
    rows = [{"prompt": f"p{i}", "chosen": odd, "rejected": even} for i, (odd, even) in pairs]
    data = write_lines(tmp_path / "data.jsonl", *rows)
    assert main(["evaluate", "parity:Parity", data, "--resamples", "200"]) == 0
    assert "parity:Parity beats the best baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--figure", "figure.docx"], "ends in none of them"),
        (["--resamples", "0"], "--resamples must be at least 1"),
        (["--json", "{data}/out.json"], "cannot write"),
        (["--group-regex", "("], "group"),
    ],
)
def test_bad_options_are_one_message_and_status_2(data, options, message, capsys):
    assert main(["evaluate", "longest", data, *(option.format(data=data) for option in options)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("size", [1, 2], ids=["one model", "ensemble"])
def test_a_saved_model_knows_its_training_prompts_and_its_baseline(data, tiny_bert, tmp_path, capsys, size):
    model = str(tmp_path / "model")
    options = ["--epochs", "0.2", "--batch-size", "4", "--validation", "0", "--ensemble-size", str(size)]
    assert main(["train", data, "--backbone", tiny_bert, "--out", model, *options]) == 0
    capsys.readouterr()
    assert main(["evaluate", model, data, "--resamples", "20"]) == 0
    text = capsys.readouterr().out
    assert "model was TRAINED on the prompts of 100.0% of these rows" in text
    assert "TF-IDF (same training data)" in text
    other = tmp_path / "other.jsonl"
    other.write_text(Path(data).read_text(encoding="utf-8").replace(': "p', ': "another p'), encoding="utf-8")
    assert main(["evaluate", model, str(other), "--resamples", "20"]) == 0
    assert "TRAINED" not in capsys.readouterr().out


def test_a_comparer_of_ones_own_is_measured_beside_scorers(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "judge.py").write_text(
        "import numpy as np\n"
        "class Judge:\n"
        "    def compare(self, prompts, a, b, *, references=None):\n"
        "        return np.array([(len(x) > len(y)) + (len(x) == len(y)) / 2 for x, y in zip(a, b)])\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "judge:Judge", data, "--also", "longest", "--resamples", "20"]) == 0
    assert "judge:Judge minus longest: accuracy +0.000 [0.000, 0.000]." in capsys.readouterr().out
    assert main(["score", "judge:Judge", data]) == 2
    assert "not a Scorer: it has no score() method" in capsys.readouterr().err


def test_a_published_set_is_named_with_its_file_and_has_its_own_score(tmp_path, capsys):
    rows = [
        {
            "question": f"q{i}",
            "response_A": "a" * (5 + i % 2 * 2),
            "response_B": "b" * 6,
            "label": "A>B",
            "source": source,
        }
        for i, source in enumerate(["mmlu-pro-law", "livecodebench", "mmlu-pro-math"])
    ]
    path, out = write_lines(tmp_path / "data.jsonl", *rows), tmp_path / "out.json"
    assert main(["evaluate", "longest", f"judgebench:{path}", "--json", str(out), "--resamples", "20"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("JudgeBench, its own score: 3 rows")
    assert "The published table has the 350 pairs of GPT-4o: judgebench:gpt." in text
    found = json.loads(out.read_text(encoding="utf-8"))["published"]
    assert found["name"] == "judgebench"
    assert found["scores"]["longest"]["knowledge"]["point"] == 0
    assert found["scores"]["longest"]["coding"]["point"] == 1
    assert found["scores"]["longest"]["math"]["point"] is None
    assert main(["evaluate", "longest", "judgebench:nowhere"]) == 2
    assert "has no part 'nowhere'" in capsys.readouterr().err


def test_ratings_have_ranks_and_picks_and_what_stands_behind_them(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i}", "response": "x" * (n + 1) + f" {i}", "scores": {"fluent": (n * 7 + i) % 4, "true": n}}
        for i in range(12)
        for n in range(4)
    ]
    data = write_lines(tmp_path / "data.jsonl", *rows)
    assert main(["evaluate", "longest", data, "--resamples", "20"]) == 0
    text = capsys.readouterr().out
    for words in ("ranks and picks", "Kendall", "best pick", "with ties", "the best by people", "k = 4", "isotonic"):
        assert words in text
    overall, *attributes = text.split("ratings: ")[1:]
    assert overall.startswith("overall")
    assert [one.partition(":")[0] for one in attributes] == ["fluent", "true"]
    assert all("best of k" not in one for one in attributes)


def test_steps_have_a_table_of_their_own(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i}", "steps": [f"one {i}", "two"], "labels": [1, i % 2], "subset": f"s{i // 6}"}
        for i in range(12)
    ]
    data = write_lines(tmp_path / "data.jsonl", *rows)
    assert main(["evaluate", "longest", data, "--resamples", "20", "--figure", str(tmp_path / "figure.png")]) == 0
    text = capsys.readouterr().out
    assert "steps: 12 rows, 95% intervals over 12 prompts" in text
    assert "step AUC" in text
    assert "F1 by subset" in text
    assert main(["compare", "longest", "shortest", data, "--resamples", "20"]) == 0
    assert main(["evaluate", "longest", data, "--reliability", str(tmp_path / "r.png")]) == 2
    assert "a reliability diagram needs 20 pairs" in capsys.readouterr().err


def test_a_calibration_is_kept_and_drawn(data, tmp_path, capsys):
    model, picture = str(tmp_path / "model"), tmp_path / "reliability.svg"
    guerdon.fit_reward(data, model, guerdon.FitConfig(members=("tfidf",)))
    capsys.readouterr()
    options = ["--resamples", "20", "--calibrate", "temperature", "--reliability", str(picture)]
    assert main(["evaluate", model, data, *options]) == 0
    text = capsys.readouterr().out
    assert "probabilities; fits are measured on other prompts than they saw" in text
    assert f"The temperature fit is kept in {model}: compare() now applies it, scores stay as they are." in text
    assert guerdon.load_scorer(model).calibration.method == "temperature"
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    assert main(["evaluate", "longest", data, "--calibrate", "platt"]) == 2
    assert "only a reward that guerdon saved keeps a calibration" in capsys.readouterr().err


@pytest.mark.slow
def test_the_example_of_the_docs_is_what_the_program_prints(capsys):
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    example = page[page.index("    $ guerdon evaluate") : page.index("    (then a table")].splitlines()
    assert main(example[0].removeprefix("    $ guerdon ").split()) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    table = [line.removeprefix("    ") for line in example[1:]]
    assert printed[: len(table)] == table
    verdict = page[page.index("    (then a table") :].splitlines()[1].strip()
    assert verdict in printed
