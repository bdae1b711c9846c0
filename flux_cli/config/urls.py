"""Addresses: what may be one, and which mean this machine."""

import re
from urllib.parse import urlsplit

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
    """An http(s) base address without its trailing slash. Plain http is for loopback only.

    Raises ValueError that says what is wrong.
    """
    if set("?#") & set(text):
        raise ValueError("an address here has no query or fragment")
    return web_address(text).rstrip("/")


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
