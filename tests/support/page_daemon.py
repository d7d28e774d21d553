"""`edge-tdn run` with the page, as a process of its own, and requests to it."""

import json
import re
import signal
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from tests.support.daemon import DaemonProcess
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S, eventually

RECORD = "[record]\nfolder = 'recordings'\nsnapshot = true\nclip = true\npost_roll_s = 0.5\n"
QUICK = "[decide]\nmerge_gap_s = 0.0\ncool_down_s = 0.0\n"  # every action of the scene is an event, ended at once


class PageDaemon(DaemonProcess):
    """A daemon with the page at a free port; `port` may be that of one before, which has ended."""

    def __init__(
        self, folder: Path, broker_url: str, *cameras: str, port: int = 0, record: str = RECORD, extra: str = ""
    ) -> None:
        """`record`: the table of recordings. `extra`: follows [decide], which is the last table."""
        folder.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.config = write_site(
            folder, broker_url, *cameras, extra=f"[web]\nport = {self.port}\n{record}{QUICK}{extra}"
        )
        super().__init__(self.config, STATE_DIRECTORY=str(folder / "state"))

    def link(self) -> str:
        """Return the newest link of the log, which logs in once."""
        return eventually(self._links, describe=self.log)[-1]

    def _links(self) -> list[str]:
        assert self.is_alive, self.log()
        return re.findall(r"page: (http://\S+#code=\S+)\n", self.log())

    def new_link(self) -> str:
        """Have a link logged by a reload, and return it: it has not been used."""
        known = len(self._links())
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(self._links()) > known, describe=self.log)
        return self._links()[-1]

    def token(self) -> str:
        """Return the access token that the daemon has made for itself."""
        self.link()
        (file,) = self.config.parent.glob("state/*/page/token")
        return file.read_text().strip()

    def log_in(self) -> str:
        """Log in without a browser, and return the value of the header Cookie."""
        self.link()
        status, _, headers = self.post("/api/session", {"token": self.token()})
        assert status == 204
        return headers["set-cookie"].partition(";")[0]

    def get(self, target: str, cookie: str) -> object:
        """Return the JSON of an answer."""
        status, body, _ = self.request("GET", target, {"Cookie": cookie})
        assert status == 200, body
        return json.loads(body)

    def post(
        self, target: str, content: object, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send JSON as the page does; return status, body and headers of the answer."""
        usual = {"Content-Type": "application/json", "Origin": self.url.rstrip("/")}
        return self.request("POST", target, usual | dict(headers or {}), json.dumps(content))

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Return status, body and headers of the answer to one request."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, target, body, dict(headers))
            answer: HTTPResponse = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
