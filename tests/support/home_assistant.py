"""Home Assistant's own core and MQTT integration, without its pages.

Run by test_home_assistant_core.py, in the Python that has the package `homeassistant`.

    python home_assistant.py PORT FOLDER

reads one question per line, JSON, and answers each with a line of JSON. FOLDER: for its own files.
"""

import asyncio
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, config_entries, loader
from homeassistant.components import image
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml


class WarningCollector(logging.Handler):
    """Collects warnings of Home Assistant's components: documents, payloads and templates that they reject."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


async def start(port: int, folder: Path) -> HomeAssistant:
    """Start Home Assistant with the MQTT integration, connected to the broker on this loopback port."""
    home = HomeAssistant(str(folder))
    loader.async_setup(home)
    home.config.skip_pip = True
    home.config_entries = config_entries.ConfigEntries(home, {})
    await loader.async_get_custom_components(home)
    await bootstrap.async_load_base_functionality(home)
    await async_process_ha_core_config(home, {})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        pages = {"server_host": "127.0.0.1", "server_port": probe.getsockname()[1]}
    for component, settings in (("homeassistant", {}), ("http", pages)):  # MQTT requires http, which is not used
        if not await async_setup_component(home, component, {component: settings}):
            raise SystemExit(f"{component} was not set up")
    flow = await home.config_entries.flow.async_init("mqtt", context={"source": "user"})
    flow = await home.config_entries.flow.async_configure(flow["flow_id"], {"broker": "127.0.0.1", "port": port})
    if flow["type"] != "create_entry":
        raise SystemExit(f"no MQTT: {flow}")
    await home.async_start()
    return home


calls: list[list[Any]] = []  # of the services that are recorded: name and data


async def answer(home: HomeAssistant, question: dict[str, Any], warnings: WarningCollector) -> object:
    match question["ask"]:
        case "version":
            return __version__
        case "states":
            return {state.entity_id: [state.state, dict(state.attributes)] for state in home.states.async_all()}
        case "entities":
            return {entry.unique_id: entry.entity_id for entry in entity_registry.async_get(home).entities.values()}
        case "devices":
            devices = {device.id: device for device in device_registry.async_get(home).devices.values()}
            names = {key: identifier for key, device in devices.items() for _, identifier in device.identifiers}
            return {names[key]: [device.name, names.get(device.via_device_id)] for key, device in devices.items()}
        case "image":
            entity = home.data[image.DATA_COMPONENT].get_entity(question["entity"])
            return ((await entity.async_image()) or b"").hex()
        case "media_folder":
            return home.config.media_dirs["local"]
        case "add_phone":
            (entry,) = home.config_entries.async_entries("mqtt")
            registry, identifiers = device_registry.async_get(home), {("mobile_app", question["name"])}
            created = registry.async_get_or_create(
                config_entry_id=entry.entry_id, identifiers=identifiers, name=question["name"]
            )
            return created.id
        case "record_calls":
            domain, _, service = question["service"].partition(".")
            home.services.async_register(domain, service, lambda call: calls.append([question["service"], call.data]))
            return None
        case "calls":
            return calls
        case "automate":
            automations = [load_yaml(path) for path in question["files"]] + question["settings"]
            done = await async_setup_component(home, "automation", {"automation": automations})
            await home.async_block_till_done()
            return done and len(home.states.async_entity_ids("automation"))
        case "set_value":
            data = {"entity_id": question["entity"], "value": question["value"]}
            await home.services.async_call("number", "set_value", data, blocking=True)
            return None
        case "turn_on" | "turn_off" as service:
            await home.services.async_call("switch", service, {"entity_id": question["entity"]}, blocking=True)
            return None
        case "warnings":
            return warnings.lines
    raise ValueError(question)


async def main(port: int, folder: Path) -> None:
    warnings = WarningCollector()
    for where in ("homeassistant.components", "homeassistant.helpers.template"):
        logging.getLogger(where).addHandler(warnings)
    (folder / "configuration.yaml").touch()
    home = await start(port, folder)
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(await answer(home, json.loads(line), warnings), default=str) + "\n")
        sys.stdout.flush()
    await home.async_stop()


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
