"""Discovery documents of devices that also remove what Home Assistant found in an earlier one. Pure.

Home Assistant keeps an entity that is merely missing from the document of its device, until it is restarted. It removes
one of which the document has nothing but the platform. A document of a single entity needs no such care: its topic is
emptied.
"""

import json
from collections.abc import Mapping
from typing import Any


def removing(documents: Mapping[str, bytes], earlier: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return documents by topic, with the removal of each entity of a device that only the `earlier` ones have.

    Removals in the `earlier` documents are kept: the broker may not have been connected since.
    """
    return {topic: _removing(document, earlier.get(topic)) for topic, document in documents.items()}


def _removing(document: bytes, earlier: bytes | None) -> bytes:
    if earlier is None or earlier == document:
        return document
    content: dict[str, Any] = json.loads(document)
    components: dict[str, Any] = content.get("components", {})
    before: dict[str, Any] = json.loads(earlier).get("components", {})
    removed = {key: {"platform": one["platform"]} for key, one in before.items() if key not in components}
    if not removed:
        return document
    content["components"] = components | removed
    return json.dumps(content, ensure_ascii=False).encode()
