"""Pages of other origins, in a browser that is logged in: what they send is refused, and they read nothing.

The attacker's page is at another port of 127.0.0.1, which is the same site, so that the browser sends the cookie; and
at `evil.test`, a name that its owner has pointed to this machine (DNS rebinding).
"""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import OpenTab
from tests.support.attacker import Attacker, attacking
from tests.support.browser import EVIL, Tab
from tests.support.mqtt import HostRecorder
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
SECRETS = (
    "/api/state", "/api/events", "/api/camera/door/scores", "/api/camera/door/picture", "/api/stream", "/api/teach",
    "/api/teach/clips", "/api/teach/archive",
)  # fmt: off
OFF = '{"enabled": false}'
READ = """async (target) => {
    try {
        const answer = await fetch(target, { credentials: 'include' });
        return await answer.text();
    } catch (error) { return `blocked: ${error.name}`; }
}"""
READ_OPAQUE = """async (target) => {
    const answer = await fetch(target, { credentials: 'include', mode: 'no-cors' });
    return [answer.type, (await answer.text()).length];
}"""
POST = """async ([target, mode, type, body]) => {
    try {
        const headers = { 'Content-Type': type };
        const answer = await fetch(target, { method: 'POST', credentials: 'include', mode, headers, body });
        return answer.type;
    } catch (error) { return `blocked: ${error.name}`; }
}"""
LOAD = """([tag, target]) => new Promise((resolve) => {
    const node = document.createElement(tag);
    node.onload = () => resolve('loaded');
    node.onloadeddata = () => resolve('loaded');
    node.onerror = () => resolve('refused');
    if (tag === 'link') { node.rel = 'stylesheet'; node.href = target; } else node.src = target;
    document.body.append(node);
})"""
STREAM = """(target) => new Promise((resolve) => {
    const source = new EventSource(target, { withCredentials: true });
    source.onopen = () => resolve('open');
    source.onerror = () => { source.close(); resolve('refused'); };
})"""
SOCKET = """(target) => new Promise((resolve) => {
    const socket = new WebSocket(target);
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
})"""
FORM = """([target, type, body]) => {
    const frame = document.createElement('iframe');
    frame.name = 'result';
    const form = document.createElement('form');
    form.method = 'POST'; form.action = target; form.enctype = type; form.target = 'result';
    const field = document.createElement('input');
    field.name = body; field.value = '';
    form.append(field);
    document.body.append(frame, form);
    form.submit();
}"""

FRAME = """(target) => {
    const frame = document.createElement('iframe');
    frame.src = target;
    document.body.append(frame);
}"""
LINK = """(target) => {
    const link = document.createElement('a');
    link.href = target;
    document.body.append(link);
    link.click();
}"""
SANDBOX = """([target, body]) => {
    const sent = `{method: 'POST', mode: 'no-cors', credentials: 'include', body: '${body}'}`;
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts';
    frame.srcdoc = `<script>fetch('${target}', ${sent})</script>`;
    document.body.append(frame);
}"""
INJECT = """() => {
    const script = document.createElement('script');
    script.textContent = 'window.ran = 1';
    document.body.append(script);
    return window.ran ?? 0;
}"""


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    with attacking() as attacker:
        yield attacker


@pytest.fixture
def victim(open_tab: OpenTab) -> Tab:
    """A tab that is logged in, and has a picture."""
    tab = open_tab()
    tab.until(tab.picture_of)
    return tab


@pytest.fixture
def evil(victim: Tab, attacker: Attacker) -> Tab:
    """The attacker's page, in the browser profile that is logged in."""
    tab = Tab(victim.page.context)
    tab.page.goto(attacker.url)
    return tab


@pytest.fixture(autouse=True)
def _nothing_has_changed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert after each attack that the daemon serves as before and the victim is still logged in."""
    yield
    daemon: PageDaemon = request.getfixturevalue("daemon")
    cookie = daemon.log_in()
    state = daemon.get("/api/state", cookie)
    assert isinstance(state, dict)
    assert all(camera["enabled"] for camera in state["cameras"])
    assert "Traceback" not in daemon.log()


def statuses_of(tab: Tab, daemon: PageDaemon) -> set[int]:
    """Return the statuses that the daemon has answered to a tab, which the browser may report after the script."""
    return tab.until(lambda: reported(tab, daemon))


def reported(tab: Tab, daemon: PageDaemon) -> set[int]:
    """Return the statuses that the browser has reported so far."""
    return {status for target, status in tab.answers if f":{daemon.port}/" in target}


def test_the_cookie_reaches_other_ports_of_this_host_so_that_it_alone_proves_nothing(
    evil: Tab, attacker: Attacker, daemon: PageDaemon
) -> None:
    """This is why Origin and Sec-Fetch-Site are checked. Its name has the port, so that two daemons do not collide."""
    assert f"edge_tdn_{daemon.port}=" in attacker.cookies[0]


@pytest.mark.parametrize("target", SECRETS)
def test_another_origin_reads_nothing(evil: Tab, daemon: PageDaemon, target: str) -> None:
    address = f"{daemon.url.rstrip('/')}{target}"
    assert evil.run(READ, address) == "blocked: TypeError"
    with pytest.raises(Exception, match="Failed to fetch"):  # CORP refuses even the opaque answer
        evil.run(READ_OPAQUE, address)
    assert statuses_of(evil, daemon) == {403}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("no-cors", "text/plain"), ("no-cors", "application/x-www-form-urlencoded"), ("cors", "application/json")],
)
def test_another_origin_posts_no_command(
    evil: Tab, daemon: PageDaemon, raw: HostRecorder, mode: str, kind: str
) -> None:
    """JSON needs a preflight, which is refused, too; without one only the check of the origin is left."""
    target = f"{daemon.url}api/camera/door/enabled"
    assert str(evil.run(POST, [target, mode, kind, OFF])).startswith("blocked")
    raw.synchronize()
    assert reported(evil, daemon) <= {403, 405}
    assert raw.state("door") != "disabled"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_origin_is_refused(evil: Tab, daemon: PageDaemon, kind: str) -> None:
    """A form needs no permission to be sent; `text/plain` can even be made to look like JSON."""
    evil.run(FORM, [f"{daemon.url}api/camera/door/enabled", kind, OFF.replace("}", ', "id": "')])
    assert statuses_of(evil, daemon) == {403}


def test_a_form_does_not_log_the_browser_in_as_another(evil: Tab, daemon: PageDaemon) -> None:
    evil.run(FORM, [f"{daemon.url}api/session", "text/plain", '{"token": "'])
    assert statuses_of(evil, daemon) == {403}


@pytest.mark.parametrize("tag", ["img", "video", "script", "link"])
@pytest.mark.parametrize("target", ["api/camera/door/picture", "api/state", "static/js/main.js"])
def test_nothing_is_embedded_in_a_page_of_another_origin(evil: Tab, daemon: PageDaemon, tag: str, target: str) -> None:
    assert evil.run(LOAD, [tag, daemon.url + target]) == "refused"
    assert statuses_of(evil, daemon) == {403}


def test_an_event_stream_is_not_opened_from_another_origin(evil: Tab, daemon: PageDaemon) -> None:
    assert evil.run(STREAM, f"{daemon.url}api/stream") == "refused"
    assert statuses_of(evil, daemon) == {403}


def test_a_web_socket_is_not_opened(evil: Tab, daemon: PageDaemon) -> None:
    """The page has none."""
    assert evil.run(SOCKET, f"ws://127.0.0.1:{daemon.port}/api/stream") == "refused"


def test_the_page_is_not_framed(evil: Tab, daemon: PageDaemon) -> None:
    evil.run(FRAME, daemon.url)
    assert statuses_of(evil, daemon) == {403}
    evil.until(lambda: evil.page.frames[-1].url.startswith("chrome-error:"))
    assert "edge-tdn" not in evil.page.frames[-1].content()


def test_a_window_opened_by_another_origin_shows_no_data_and_cannot_be_read(evil: Tab, daemon: PageDaemon) -> None:
    with evil.page.context.expect_page() as opened:
        evil.run("(target) => { window.other = window.open(target); }", f"{daemon.url}api/state")
    opened.value.get_by_text("requests from other sites are refused").wait_for()
    assert evil.until(lambda: evil.run("() => window.other.closed")), "another process: the opener holds none of it"


def test_a_link_from_another_site_opens_the_page_as_its_own_window(evil: Tab, daemon: PageDaemon) -> None:
    """The shell holds no data; it asks for them from its own origin, so that a link in a mail or a wiki works."""
    evil.run(LINK, daemon.url)
    evil.shows("Cameras", "h1")
    assert evil.run("() => window.opener") is None


@pytest.mark.parametrize("target", ["", "api/state", "static/js/main.js"])
def test_a_name_that_was_pointed_to_this_host_is_refused(victim: Tab, daemon: PageDaemon, target: str) -> None:
    """DNS rebinding: for the browser the attacker's page and this port are then one origin."""
    tab = Tab(victim.page.context)
    answer = tab.page.goto(f"http://{EVIL}:{daemon.port}/{target}")
    assert answer
    assert answer.status == 421
    assert "edge-tdn" not in tab.page.title()


def test_a_rebound_page_reads_nothing_and_sends_nothing(victim: Tab, daemon: PageDaemon) -> None:
    tab = Tab(victim.page.context)
    tab.page.goto(f"http://{EVIL}:{daemon.port}/")
    read = tab.run(READ, "/api/state")
    assert "is not a name of this page" in read
    assert tab.run(POST, ["/api/camera/door/enabled", "cors", "application/json", OFF]) == "basic"
    assert statuses_of(tab, daemon) == {421}


def test_a_page_without_an_origin_is_refused(evil: Tab, daemon: PageDaemon) -> None:
    """A frame in a sandbox has the origin `null`, and so has a file."""
    target = f"{daemon.url}api/camera/door/enabled"
    evil.run(SANDBOX, [target, OFF])
    evil.until(lambda: any("Failed to load resource" in one and target in one for one in evil.messages))


def test_a_cookie_that_another_program_sets_does_not_lock_the_browser_out(
    evil: Tab, victim: Tab, daemon: PageDaemon
) -> None:
    """Cookies know no port: every page of this host can add one of the same name, under a longer path."""
    evil.run(f"() => {{ document.cookie = 'edge_tdn_{daemon.port}=forged; path=/api'; }}")
    victim.page.reload()
    victim.shows("Cameras", "h1")
    victim.until(victim.picture_of)


def test_names_from_outside_are_text(open_tab: OpenTab, daemon: PageDaemon) -> None:
    """An address with markup in it adds nothing to the page, and no script can be injected into it."""
    tab = open_tab("#/camera/%3Cimg%20src=x%20onerror=alert(1)%3E")
    tab.page.on("dialog", lambda dialog: tab.messages.append(f"dialog: {dialog.message}"))
    tab.page.wait_for_timeout(1000)
    assert tab.page.locator("main img[src=x]").count() == 0
    assert not [one for one in tab.messages if one.startswith("dialog")]
    assert tab.run(INJECT) == 0, "the policy allows no script but the page's own files"
