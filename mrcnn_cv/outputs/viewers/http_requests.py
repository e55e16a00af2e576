"""Which requests the server of --serve answers, by the names and pages that they come from.

A page from the web must neither see nor steer a view that this machine's browser reaches. So a request is refused that
names a host which is not ours (its name may have been pointed here for the purpose: DNS rebinding), or that a browser
says comes from another origin. Nothing of a request ever stands in an answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Mapping

_HOST = re.compile(r"(?:\[([0-9a-f:.]*)\]|([^:/?#@\[\]\s]*))(?::[0-9]{0,5})?")


def own_names(host: str) -> frozenset[str]:
    """Names for `is_ours`: the one that the user gave, and those that this machine has by itself."""
    machine = socket.gethostname().lower()
    short = machine.partition(".")[0]
    return frozenset({host.lower(), machine, short, f"{short}.local"})


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a Host field names us. An address cannot be pointed elsewhere; no field at all: this is no browser.

    names: in small letters, by which this machine may be called besides its addresses and localhost.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = (found[1] or found[2] or "").removesuffix(".")
    if not name or name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_of_another_page(fields: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of another origin asks. To follow a link to us is not that.

    fields: of the header, by their names in any letters.
    """
    origin = fields.get("origin")
    own = fields.get("host", "").lower()
    if origin is not None and origin.lower() not in (f"http://{own}", f"https://{own}"):
        return True
    is_link = fields.get("sec-fetch-mode") == "navigate" and fields.get("sec-fetch-dest") == "document"
    return fields.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_link
