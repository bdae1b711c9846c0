"""Checks of URLs: valid ones, and ones of this machine."""

import re
from posixpath import normpath
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]*)?"


def is_loopback(host: str) -> bool:
    """Return whether `host` is certainly this machine (RFC 6761 for `localhost` and its subdomains)."""
    host = host.strip("[]").casefold()
    numbers = re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    numbers = numbers and all(int(part) < 256 for part in host.split("."))
    return numbers or host == "::1" or host == "localhost" or host.endswith(".localhost")


def is_local(url: str) -> bool:
    """Return whether the host of a URL is certainly this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def workspace(service: str) -> str:
    """Return the URL of the page that lists the tasks of a service: PiAPI's workspace, or the page of a sandbox."""
    parts = urlsplit(service)
    return f"{parts.scheme}://{parts.netloc}" if is_local(service) else "https://piapi.ai/workspace"


def base_url(text: str) -> str:
    """Return an http(s) base URL in canonical form. Plain http is accepted for loopback only.

    Budgets, slots and the cache are kept per base URL, so that two spellings of one would double the limits.
    Raise ValueError with the requirement.
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
    """Return an http(s) URL without white space around it. Plain http is accepted for loopback only.

    Raise ValueError with the requirement.
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
    # urlsplit accepts URLs that an HTTP client interprets differently, or refuses.
    if not re.fullmatch(_NETLOC, parts.netloc) or re.search(r"[\x00-\x20\x7f]", text.strip()):
        raise ValueError("a URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("an https URL; http is accepted for this machine only")
    return text.strip()
