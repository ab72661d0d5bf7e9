from __future__ import annotations

import pytest

from guerdon.cli.tables import new_table, output


def test_sentences_and_paths_stay_whole_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "the reward is kept in " + "/a long folder" * 30 + ": score it"
    output().print(sentence, style="bold")
    assert capsys.readouterr().out == sentence + "\n"


def test_tables_keep_to_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    table = new_table("title", "name", "about")
    table.add_row("x", "word " * 100)
    output().print(table)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 160
    assert len(lines) > 6
