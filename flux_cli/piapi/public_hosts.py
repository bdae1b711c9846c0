"""Which hosts are on the public internet: a URL from outside must not lead into a private network (SSRF)."""

import asyncio
import ipaddress
import socket

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are assigned to hosts on the internet (RFC 4291, section 2.4)."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Its last 32 bits are an IPv4 address. A resolver behind NAT64 gives such addresses for public hosts (RFC 6052)."""

NOT_PUBLIC = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]
"""Networks that `ipaddress` of some Python versions takes for public: a cloud's metadata service is in the first."""


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse an IP address in any notation that a connection accepts, such as `127.1`, `0x7f.1` and `2130706433`.

    Raise ValueError if `text` is a name.
    """
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeError):
        raise ValueError("not an IP address") from None


def is_public_address(text: str) -> bool:
    """Return whether an IP address is one of the public internet. Raise ValueError if `text` is a name.

    IPv6 addresses that contain an IPv4 address (6to4, Teredo, IPv4-compatible and the like) are not, except those of
    the well-known NAT64 prefix.
    """
    address = parse_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address in NAT64:
        address = ipaddress.IPv4Address(address.packed[-4:])
    if not address.is_global or any(address in network for network in NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_multicast
    return address in GLOBAL_UNICAST and address.sixtofour is None and address.teredo is None


async def is_public_host(host: str, port: int) -> bool:
    """Return whether every address of a host is public.

    A name without addresses counts as public: perhaps a proxy can resolve it, and otherwise no connection is possible.
    """
    try:
        return is_public_address(host)
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    return all(is_public_address(str(item[4][0])) for item in found)
