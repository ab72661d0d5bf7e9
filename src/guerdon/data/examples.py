"""A row as a scorer is given it: each text with its name, and what the row says of it."""

from __future__ import annotations

from collections.abc import Iterator

from guerdon.types import AnyRow, Comparison, Ranking, Rating, Steps, prompt_text


def example_texts(row: AnyRow) -> Iterator[tuple[str, str]]:
    """Name and text of the prompt (turns of a chat as `role: content` lines), of each response, of a reference."""
    yield "prompt", prompt_text(row.prompt)
    if isinstance(row, Comparison):
        said = "a tie" if row.preference == 0.5 else f"preferred by {row.preference:.4g}" * (row.preference < 1)
        said = ", ".join(filter(None, (said, "" if row.margin is None else f"margin {row.margin:.4g}")))
        yield f"chosen ({said})" if said else "chosen", row.chosen
        yield "rejected", row.rejected
    elif isinstance(row, Rating):
        yield f"response ({', '.join(f'{name} {score:.4g}' for name, score in row.scores.items())})", row.response
    elif isinstance(row, Ranking):
        for text, score in zip(row.responses, row.scores, strict=True):
            yield f"response (score {score:.4g})", text
    elif isinstance(row, Steps):
        for text, label in zip(row.steps, row.labels, strict=True):
            yield f"step ({'not judged' if label is None else f'label {label:.4g}'})", text
    else:
        yield from (("generated", text) for text in row.generated)
    if row.reference:
        yield "reference", row.reference
