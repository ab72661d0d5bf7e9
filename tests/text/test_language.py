from __future__ import annotations

import pytest

from guerdon.text.language import is_chinese, language_of


def test_three_in_ten_letters_make_a_text_chinese():
    assert is_chinese("水开后煮 8 分钟。")
    assert not is_chinese("Boil it. 煮")
    assert not is_chinese("")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Put the egg into boiling water and wait for eight minutes.", "en"),
        ("Paris.", "en"),
        ("I don't know what that is.", "en"),
        ("水开后煮八分钟。", "zh"),
        ("用 Python 的 list 来保存结果，然后排序。", "zh"),
        ("Legen Sie das Ei in kochendes Wasser und warten Sie etwa acht Minuten lang.", None),
        ("Яйцо варят восемь минут.", None),
        ("def add(first, second):\n    total = first + second\n    print(total)\n    return total", None),
        ("Use this:\n```python\nprint(1)\n```\nand you are done with it.", None),
        ("12 + 30 = 42", None),
        ("", None),
    ],
)
def test_language(text, language):
    assert language_of(text) == language
