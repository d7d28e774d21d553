"""podman with images and containers of its own, in a folder that can be deleted."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

CONTAINERS = """\
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


class Podman:
    """Runs podman and podman-compose. It needs no systemd, therefore nothing runs the health checks by itself."""

    def __init__(self, folder: Path) -> None:
        storage, containers = folder / "storage.conf", folder / "containers.conf"
        lines = ["[storage]", 'driver = "overlay"', f'graphroot = "{folder}/images"', f'runroot = "{folder}/run"']
        storage.write_text("\n".join([*lines, ""]))
        containers.write_text(CONTAINERS)
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "DISABLE_HC_SYSTEMD": "true",
        }

    def run(self, *words: str, program: str = "podman", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([program, *words], capture_output=True, text=True, env=self._environment)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what podman knows about an image or a container."""
        (found,) = json.loads(self.run("inspect", name).stdout)
        return dict(found)

    def is_healthy(self, container: str) -> bool:
        """Run the container's health check once."""
        return self.run("healthcheck", "run", container, check=False).returncode == 0

    def close(self) -> None:
        """Remove all containers and images."""
        self.run("rm", "--all", "--force", "--volumes", check=False)
        self.run("system", "reset", "--force", check=False)
