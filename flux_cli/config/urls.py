"""Addresses: what may be one, and which mean this machine."""

import re
from posixpath import normpath
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]*)?"


def is_loopback(host: str) -> bool:
    """Whether `host` can only mean this machine (RFC 6761 for `localhost` and the names below it)."""
    host = host.strip("[]").casefold()
    numbers = re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    numbers = numbers and all(int(part) < 256 for part in host.split("."))
    return numbers or host == "::1" or host == "localhost" or host.endswith(".localhost")


def is_local(url: str) -> bool:
    """Whether an address can only be one of this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def address(text: str) -> str:
    """Return an http(s) base URL in the one spelling that stands for its service. Plain http is for loopback only.

    Budgets, slots and the cache belong to a service: `HTTPS://API.PiAPI.ai:443/api/v1/` must not get its own.
    Raise ValueError that says what is wrong.
    """
    if set("?#") & set(text):
        raise ValueError("an address here has no query or fragment")
    parts = urlsplit(web_address(text))
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS[parts.scheme]) else ""
    path = normpath(f"/{parts.path.strip('/')}").rstrip("/")
    return f"{parts.scheme}://{host}{port}{path}"


def web_address(text: str) -> str:
    """An http(s) address, query allowed. Plain http is for loopback only. Raises ValueError that says what is wrong."""
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not an address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("not an http(s) address")
    if parts.username is not None:
        raise ValueError("an address here has no user name")
    # urlsplit forgives what the HTTP client would read otherwise, or not at all.
    if not re.fullmatch(_NETLOC, parts.netloc) or re.search(r"[\x00-\x20\x7f]", text.strip()):
        raise ValueError("not an address")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// is accepted for this machine only; use https://")
    return text.strip()


def is_picture_address(text: str) -> bool:
    """Whether `text` is an http(s) address that may stand in a request: no user name, nothing unprintable."""
    try:
        parts = urlsplit(text)
        host, name, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    return parts.scheme in ("http", "https") and bool(host) and name is None and plain
