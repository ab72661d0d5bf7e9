"""The hub's cache as tests need it."""

from __future__ import annotations

from pathlib import Path


def in_hub_cache(folder: str, name: str, cache: Path) -> None:
    """Puts a model where the hub's cache would have it."""
    place = cache / ("models--" + name.replace("/", "--"))
    (place / "snapshots").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee")
    (place / "snapshots" / "c0ffee").symlink_to(folder, target_is_directory=True)
