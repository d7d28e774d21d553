"""`edge-tdn run` with the page, as a process of its own, and requests to it."""

import re
import signal
from pathlib import Path

from tests.support.daemon import DaemonProcess
from tests.support.page_client import PageClient
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import eventually

RECORD = "[record]\nfolder = 'recordings'\nsnapshot = true\nclip = true\npost_roll_s = 0.5\n"
QUICK = "[decide]\nmerge_gap_s = 0.0\ncool_down_s = 0.0\n"  # every action of the scene is an event, ended at once


class PageDaemon(DaemonProcess, PageClient):
    """A daemon with the page at a free port; `port` may be that of one before, which has ended."""

    def __init__(
        self, folder: Path, broker_url: str, *cameras: str, port: int = 0, record: str = RECORD, extra: str = ""
    ) -> None:
        """`record`: the table of recordings. `extra`: follows [decide], which is the last table."""
        folder.mkdir(exist_ok=True)
        PageClient.__init__(self, port or free_port())
        self.config = write_site(
            folder, broker_url, *cameras, extra=f"[web]\nport = {self.port}\n{record}{QUICK}{extra}"
        )
        DaemonProcess.__init__(self, self.config, STATE_DIRECTORY=str(folder / "state"))

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
        return self.session(self.token())
