"""The table of the configuration that concerns the page in the browser."""

import ipaddress
import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from edge_tdn.config.checks import HOST
from edge_tdn.config.table import ConfigTable

HOST_AND_PORT = re.compile(rf"(?:{HOST.pattern}|\[[0-9a-fA-F:.]+\])(?::\d{{1,5}})?")


class WebConfig(ConfigTable):
    """[web]: the page that shows cameras, scores and events in a browser."""

    port: int = Field(default=0, ge=0, le=65_535, description="TCP port, such as 8765; 0 disables the page")
    address: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address to listen on; any but this host's own needs a certificate or a trusted proxy",
    )
    token_file: str = Field(
        default="",
        description="file whose first line is the access token; or credential:NAME, loaded by systemd; empty: one is "
        "made in the state folder",
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="names, with or without a port, under which browsers reach the page; those of this host itself "
        "are always allowed",
    )
    trusted_proxy: str = Field(
        default="", description="address of the reverse proxy, which is then the only one that may connect"
    )
    cert_file: str = Field(default="", description="PEM: the certificate of the page, for https://")
    key_file: str = Field(default="", description="PEM: its key; or credential:NAME; empty: the key is in cert_file")
    label_folder: str = Field(
        default="", description="folder for clips to learn from, and for models; empty: one in the state folder"
    )
    trainer: str = Field(
        default="", description="program that trains models: the path of edge-tdn-train; empty: the one installed here"
    )

    @field_validator("hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST_AND_PORT.fullmatch(host):
                raise ValueError(f"{host!r} is not a name; allowed: names such as camera-host.lan or camera-host:8765")
        return hosts

    @field_validator("trusted_proxy")
    @classmethod
    def _address(cls, proxy: str) -> str:
        try:
            return str(ipaddress.ip_address(proxy)) if proxy else ""
        except ValueError as error:
            raise ValueError(f"{proxy!r} is not an address; allowed: one IP address, such as 192.168.1.5") from error

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs a cert_file")
        if self.trusted_proxy and not self.hosts:
            raise ValueError("trusted_proxy needs hosts: the names under which browsers reach the proxy")
        if not (self.is_local or self.cert_file or self.trusted_proxy):
            raise ValueError(
                f"address = {self.address!r} sends pictures and the token in plain text; set cert_file, or "
                "trusted_proxy, or listen on 127.0.0.1"
            )
        return self

    @property
    def is_local(self) -> bool:
        """True if only programs of this host can connect."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"

    @property
    def url(self) -> str:
        """The address of the page in a browser: on this host, or by its first name."""
        if self.trusted_proxy:
            return f"https://{self.hosts[0]}/"
        scheme = "https" if self.cert_file else "http"
        name = self.hosts[0] if self.hosts and not self.is_local else self.address
        host = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
        return f"{scheme}://{host}/" if re.search(r":\d+$", host) else f"{scheme}://{host}:{self.port}/"
