"""The tables of the configuration that concern the process: its metrics and its log."""

from typing import Literal

from pydantic import Field

from edge_tdn.config.table import ConfigTable


class MetricsConfig(ConfigTable):
    """[metrics]: the endpoint that Prometheus reads."""

    port: int = Field(default=0, ge=0, le=65_535, description="TCP port; 0 disables the metrics endpoint")
    address: str = Field(
        default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0: all addresses of this host"
    )

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/metrics"


class LogConfig(ConfigTable):
    """[log]: the log of `edge-tdn run`, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lines of lower levels are left out; --verbose: debug, whatever is set here"
    )
    format: Literal["text", "json"] = Field(
        default="text", description="text: key=value lines; json: one object a line, for programs that collect logs"
    )
