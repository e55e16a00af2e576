"""Messages: one line of printable characters, of a length that somebody reads, whatever is quoted in them."""

from __future__ import annotations

from mrcnn_cv.errors import MAX_CHARACTERS, InputError, one_line


def test_a_name_with_escape_sequences_reaches_no_terminal() -> None:
    text = str(InputError("\x1b[31mred\x1b[0m\n\x9b2J\r\u202ex\ud800.jpg is empty: copy it again"))
    assert text.isprintable()
    assert text.endswith(".jpg is empty: copy it again")


def test_a_long_message_keeps_what_to_do_about_it() -> None:
    text = one_line("a" * 10_000 + " does not exist: check the spelling")
    assert len(text) == MAX_CHARACTERS
    assert text.endswith(" does not exist: check the spelling")
    assert one_line("short") == "short"
