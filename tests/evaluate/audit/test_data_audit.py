from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.audit.audit_files import audit_data
from guerdon.evaluate.audit.audit_page import labels_page
from guerdon.evaluate.audit.data_audit import audit_labels
from guerdon.evaluate.audit.label_errors import find_label_errors
from guerdon.evaluate.audit.natural_pairs import natural_pairs
from guerdon.types import Comparison

from .conftest import sentence


def learnable(count: int, seed: int = 0) -> list[Comparison]:
    """People prefer the response with the good word."""
    rng = np.random.default_rng(seed)
    return [
        Comparison(
            prompt=f"p{i}",
            chosen=f"{sentence(rng)} It is excellent.",
            rejected=f"{sentence(rng)} It is dreadful.",
            id=str(i),
        )
        for i in range(count)
    ]


def turned(row: Comparison) -> Comparison:
    return replace(row, chosen=row.rejected, rejected=row.chosen)


def test_turned_labels_are_the_first_suspects():
    rows = [turned(row) if i % 20 == 0 else row for i, row in enumerate(learnable(200))]
    pairs = natural_pairs(rows)
    found = find_label_errors(pairs)
    suspects = {int(pairs.pairs[place].row.id) for place in found.order[:10].tolist()}
    assert len(suspects & {i for i in range(200) if i % 20 == 0}) >= 9
    assert 5 <= found.expected <= 20
    clean = find_label_errors(natural_pairs(learnable(200)))
    assert clean.precision.point > 0.8
    assert clean.detectable


def test_labels_of_a_coin_are_not_detectable():
    rng = np.random.default_rng(1)
    rows = [Comparison(prompt=f"p{i}", chosen=sentence(rng), rejected=sentence(rng)) for i in range(200)]
    found = find_label_errors(natural_pairs(rows))
    assert not found.detectable
    assert "not detectable here" in audit_labels(rows).errors.sentence()


def test_what_other_pairs_say_of_a_response_counts():
    """Words say nothing, but who won elsewhere does."""
    rng = np.random.default_rng(2)
    texts = [f"{rng.integers(10**8)} {rng.integers(10**8)}" for _ in range(24)]
    rows = []
    for _ in range(300):
        better, worse = sorted(rng.choice(24, 2, replace=False))
        rows.append(Comparison(prompt="p", chosen=texts[better], rejected=texts[worse], id=str(len(rows))))
    wrong = set(range(0, 300, 20))
    rows = [turned(row) if i in wrong else row for i, row in enumerate(rows)]
    pairs = natural_pairs(rows)
    found = find_label_errors(pairs, check=False)
    suspects = {int(pairs.pairs[place].row.id) for place in found.order[:15].tolist()}
    assert len(suspects & wrong) >= 8, "two places apart can be told, neighbours cannot"


def test_few_pairs_are_not_ranked():
    assert find_label_errors(natural_pairs(learnable(20))) is None


def test_length_doubles_contradictions_and_circles(rows):
    more = [
        rows[0],
        turned(rows[1]),
        Comparison(prompt="c", chosen="alpha", rejected="beta"),
        Comparison(prompt="c", chosen="beta", rejected="gamma"),
        Comparison(prompt="c", chosen="gamma", rejected="alpha"),
        Comparison(prompt="another prompt", chosen=rows[2].chosen.upper(), rejected="nothing of the kind"),
    ]
    beside = [replace(rows[4], prompt="What about 2?  ", chosen=rows[4].chosen + " Indeed.")]
    found = audit_labels([*rows, *more], beside={"test": beside})
    length = next(line for line in found.lines if line.name == "length")
    assert length.rate.point == pytest.approx(2 / 3, abs=0.03)
    assert length.flagged
    assert (found.repeats, found.contradictions, found.in_circles) == (1, 1, 3)
    doubles = {(one.what, one.beside): (one.exact, one.near) for one in found.duplicates}
    assert doubles["responses", ""][0] == 2, "both of the pair of doubles"
    assert doubles["prompts", "test"][0] == 1
    assert doubles["responses", "test"][0] + doubles["responses", "test"][1] == 2
    sentences = " ".join(found.sentences())
    for told in ("People preferred the longer response in 0.6", "1 of 96 rows repeat", "judged both ways, and 3"):
        assert told in sentences


def test_an_annotator_who_always_takes_the_longer_response_is_found():
    rng = np.random.default_rng(3)
    rows = []
    for number in range(240):
        long, short = sentence(rng) + " " + sentence(rng), sentence(rng)
        lazy = number % 4 == 0
        won = (long, short) if lazy or rng.random() < 0.5 else (short, long)
        who = "lazy" if lazy else f"careful {number % 4}"
        rows.append(Comparison(prompt=f"p{number}", chosen=won[0], rejected=won[1], extra={"annotator": who}))
    found = audit_labels(rows)
    by_name = {one.name: one for one in found.annotators}
    assert set(by_name) == {"lazy", "careful 1", "careful 2", "careful 3"}
    assert by_name["lazy"].longer.rate.point == 1
    assert by_name["lazy"].longer.flagged
    assert by_name["lazy"].others_longer == pytest.approx(0.5, abs=0.12)
    assert "lazy" in labels_page(found)
    with pytest.raises(ConfigError, match="no row has a column 'who'"):
        audit_labels(rows, annotator="who")


def test_labels_without_any_leaning_are_rarely_flagged():
    flags = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = []
        for number in range(80):
            a, b = (" ".join(sentence(rng) for _ in range(rng.integers(1, 4))) for _ in "ab")
            if a != b:
                rows.append(Comparison(prompt=f"p{number}", chosen=a, rejected=b))
        flags.append(any(line.flagged for line in audit_labels(rows).lines))
    assert np.mean(flags) <= 0.2


def test_function_and_command_write_the_same(rows, tmp_path, capsys):
    data, other = tmp_path / "rows.jsonl", tmp_path / "test.jsonl"
    write_rows(rows, data)
    write_rows(rows[:3], other)
    assert main(["data", "audit", str(data), "--beside", str(other), "--out", str(tmp_path / "command")]) == 0
    assert "responses have a double in test.jsonl" in capsys.readouterr().out
    audit_data(data, tmp_path / "function", beside=[str(other)])
    for name in ("audit.json", "audit.html"):
        assert (tmp_path / "command" / name).read_text() == (tmp_path / "function" / name).read_text()
    assert json.loads((tmp_path / "command" / "audit.json").read_text())["rows"] == 90


def test_no_rows():
    with pytest.raises(DataError, match="there is no row to audit"):
        audit_data([])
