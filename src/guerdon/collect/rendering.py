"""Markdown of prompts and responses to HTML that carries nothing but text: no script, no image, no address loaded."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

_TAGS = {
    *(
        "p",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "code",
        "em",
        "strong",
    ),
    *("s", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_LONGEST = 200_000
"""Characters; a longer text is shown as it is."""


@functools.lru_cache(maxsize=2048)
def markdown_html(text: str) -> Markup:
    """A text as HTML.

    HTML within it is shown as it was written: annotators judge what the model wrote. What markdown-it makes is cleaned
    once more by nh3, so that a fault of one of them lets nothing through.
    """
    import nh3
    from markupsafe import Markup, escape

    if len(text) > _LONGEST:
        return Markup('<pre class="text">%s</pre>') % escape(text)
    html = _markdown().render(text.replace("\x00", "�"))
    return Markup(
        nh3.clean(
            html,
            tags=_TAGS,
            attributes={"a": {"href"}, "ol": {"start"}, "code": {"class"}},
            url_schemes={"http", "https"},
            link_rel="noopener noreferrer nofollow",
        )
    )


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # An image would be loaded from elsewhere; without the rule its alternative text and address stand there.
    options = {"html": False, "linkify": False, "breaks": True}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).disable("image")
