"""The hub between the daemon and its page: teaching, which is opened by the first who asks."""

from pathlib import Path

from edge_tdn.hub.hub import Hub
from tests.support.scripted_teaching import ScriptedTeaching


def test_teaching_is_opened_once_when_it_is_first_needed_and_never_after_its_end(tmp_path: Path) -> None:
    hub, opened, closed = Hub("b007"), list[ScriptedTeaching](), list[ScriptedTeaching]()

    class Closing(ScriptedTeaching):
        def close(self) -> None:
            closed.append(self)

    def open_() -> ScriptedTeaching:
        opened.append(Closing(tmp_path))
        return opened[-1]

    assert not hub.teaches
    assert hub.teaching() is None
    hub.offer_teaching(open_)
    assert hub.teaches
    assert not opened
    assert hub.teaching() is hub.teaching() is opened[0]
    hub.end_teaching()
    assert closed == opened
    assert not hub.teaches
    assert hub.teaching() is None
    assert len(opened) == 1
