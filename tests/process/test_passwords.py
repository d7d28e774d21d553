"""Passwords are hidden in every text, in every form."""

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.process import passwords
from edge_tdn.process.passwords import hide, hide_in, without_password

LETTERS = st.characters(blacklist_characters="*", blacklist_categories=["Cs"])


@given(st.text(LETTERS, min_size=passwords.MIN_LENGTH), st.text(LETTERS), st.text(LETTERS))
def test_hidden_password_is_removed_in_every_form(secret: str, before: str, behind: str) -> None:
    passwords._hidden.clear()
    hide(secret, "me")
    for form in (secret, repr(secret), passwords.quote(secret, safe=""), passwords.json.dumps(secret)):
        assert secret not in without_password(f"{before}{form}{behind}")


def test_short_password_is_hidden_as_a_whole_word() -> None:
    hide("on")
    assert without_password("connection of on, 'on' on:on") == "connection of ***, '***' ***:***"


def test_password_of_an_address_is_hidden_wherever_a_library_writes_it() -> None:
    for address in ("rtsp://me:s%40cret1@h/x", "http://h/x?pwd=s3cret2", 'gst: rtspsrc user-pw="s3cret 3" ! x'):
        hide_in(address)
    text = without_password("user me password s@cret1 or s%40cret1 (bWU6c0BjcmV0MQ==), s3cret2, s3cret 3")
    assert text == "user me password *** or *** (***), ***, ***"
    hide_in("rtsp://host:554/live")
    assert without_password("rtsp://host:554/live") == "rtsp://host:554/live"


def test_text_between_two_addresses_is_not_hidden() -> None:
    text = "http://u:p@h/x: Not Found (404), URL: http://u:p@h/x, Redirect to: a@b"
    assert "Not Found (404), URL: http://u:***@" in without_password(text)
    assert without_password("rtsp://u:a://b@h/x") == "rtsp://u:***@h/x"
