"""Open the page of a configuration: its port, its token and its certificate."""

import logging
from pathlib import Path

from edge_tdn.config.credentials import page_access, renew_certificate
from edge_tdn.config.tables import Config
from edge_tdn.hub.hub import Hub
from edge_tdn.process.passwords import hide
from edge_tdn.process.state_folder import state_folder
from edge_tdn.web.access import Admission, kept_token, new_token
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits
from edge_tdn.web.page_thread import DEFAULT_PAGE_TIMING, PageThread, PageTiming

log = logging.getLogger(__name__)

FOLDER = "page"  # in the state folder of the host


def open_page(
    config: Config,
    base: Path,
    hub: Hub,
    keep_token: bool = True,
    limits: HttpLimits = DEFAULT_HTTP_LIMITS,
    timing: PageTiming = DEFAULT_PAGE_TIMING,
) -> PageThread:
    """Open the port of the page; `start` serves it.

    `base` is the folder of relative paths. `keep_token`: False: a new token every time, which no file has. ConfigError:
    the address, the token or the certificate cannot be used.
    """
    given = page_access(config, base)
    token = given.token or (_kept_token(config) if keep_token else new_token())
    hide(token)
    tls = given.tls
    renew = (lambda: renew_certificate(tls, config, base)) if tls else (lambda: None)
    return PageThread(config, hub, Admission(token, tls, limits), limits, timing, renew)


def _kept_token(config: Config) -> str:
    """Return the token of the state folder; a new one if the disk refuses."""
    folder = state_folder() / config.host / FOLDER
    try:
        return kept_token(folder)
    except OSError as error:
        log.warning("page: %s: %s; sessions end with this daemon", folder, error.strerror or error)
        return new_token()
