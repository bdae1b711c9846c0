"""URLs: which are valid, and which are on this machine."""

import re
from posixpath import normpath
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]*)?"


def is_loopback(host: str) -> bool:
    """Return whether `host` can only be this machine (RFC 6761 for `localhost` and the names below it)."""
    host = host.strip("[]").casefold()
    numbers = re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    numbers = numbers and all(int(part) < 256 for part in host.split("."))
    return numbers or host == "::1" or host == "localhost" or host.endswith(".localhost")


def is_local(url: str) -> bool:
    """Return whether a URL can only be on this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def base_url(text: str) -> str:
    """Return an http(s) base URL in the one spelling that stands for its service. Plain http is for loopback only.

    Budgets, slots and the cache belong to a service: `HTTPS://API.PiAPI.ai:443/api/v1/` must not get its own.
    Raise ValueError that says what is expected.
    """
    if set("?#") & set(text):
        raise ValueError("a URL without query and fragment")
    parts = urlsplit(web_address(text))
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS[parts.scheme]) else ""
    path = normpath(f"/{parts.path.strip('/')}").rstrip("/")
    return f"{parts.scheme}://{host}{port}{path}"


def web_address(text: str) -> str:
    """Return an http(s) URL; a query is allowed. Plain http is for loopback only.

    Raise ValueError that says what is expected.
    """
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("an http(s) URL")
    if parts.username is not None:
        raise ValueError("a URL without a user name")
    # urlsplit accepts what an HTTP client would read differently, or not at all.
    if not re.fullmatch(_NETLOC, parts.netloc) or re.search(r"[\x00-\x20\x7f]", text.strip()):
        raise ValueError("a URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("an https URL; http is accepted for this machine only")
    return text.strip()
