"""Games that are made once a session; where TextWorld is not installed, these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("textworld", reason="needs TextWorld: the extra `worlds`")

from guerdon.worlds.games import GameConfig, make_games


@pytest.fixture(scope="session")
def simple_game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense simple game."""
    return make_games(tmp_path_factory.mktemp("games") / "simple", GameConfig())[0]


@pytest.fixture(scope="session")
def coin_game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms and a coin."""
    return make_games(tmp_path_factory.mktemp("games") / "coins", GameConfig(kind="coins", level=2))[0]
