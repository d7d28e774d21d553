"""Two real mosquittos with the shipped settings, and a bridge between them over a link that can be cut."""

import re
from pathlib import Path

from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.wire import Wire

SETTINGS = ROOT / "configs" / "mosquitto"


class BridgedBrokers:
    """`edge` forwards to `centre` through `link`. `without`: a setting that both leave out."""

    def __init__(self, folder: Path, without: str = "") -> None:
        self._folder, self._without = folder, without
        self.centre = self._start("centre", {})
        self.link = Wire(self.centre.port)
        self.edge = self._start("edge", {"address centre.lan:1883": f"address 127.0.0.1:{self.link.port}"})

    def _start(self, name: str, changes: dict[str, str]) -> Mosquitto:
        folder = self._folder / name
        folder.mkdir()
        broker = Mosquitto(folder)
        broker.stop()
        text = (SETTINGS / f"{name}.conf").read_text()
        changes |= {"persistence_location /var/lib/mosquitto/": f"persistence_location {folder}/\nuser root"}
        for line, replacement in changes.items():
            assert line in text, line
            text = text.replace(line, replacement)
        text = re.sub(r"^listener 1883.*$", f"listener {broker.port} 127.0.0.1", text, flags=re.M)
        if self._without:
            text = re.sub(rf"^{self._without}.*$", "", text, flags=re.M)
        (folder / "mosquitto.conf").write_text(f"sys_interval 1\n{text}")
        broker.start()
        return broker

    def close(self) -> None:
        self.edge.stop()
        self.link.close()
        self.centre.stop()
