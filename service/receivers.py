"""Where webhooks may go: an address that somebody names must not lead into our own network.

Asked twice: when a webhook is made, and for every attempt, which then connects to the very addresses that were looked at here. So a name
that leads elsewhere by the time it is used (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

LONGEST_URL = 2000
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last 32 bits are an IPv4 address
# What `ipaddress` takes for global, in some of the Pythons that we run on: networks of special use, and an address that is answered by
# the cloud that a machine runs in, to that machine alone.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",
        "168.63.129.16/32",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenReceiver(Exception):
    """The URL names no receiver that a webhook may have; the message says why, and what would do."""


@dataclass(frozen=True)
class Receiver:
    """A URL, taken apart. path: with the query."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse(url: str, *, private: bool) -> Receiver:
    """The receiver that `url` names. private: http will do. Raises ForbiddenReceiver."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ForbiddenReceiver(f"expected up to {LONGEST_URL:,} printable ASCII characters without spaces (a name of others as xn--...)")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ForbiddenReceiver(f"expected a URL like https://example.com/path; {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ForbiddenReceiver("expected a URL like https://example.com/path")
    if parts.scheme == "http" and not private:
        raise ForbiddenReceiver("expected https://: over plain http anybody on the way can read and change what is sent")
    if parts.username is not None or parts.password is not None:
        raise ForbiddenReceiver("expected no user and password in it: the signature says who sends")
    if parts.fragment:
        raise ForbiddenReceiver("expected no fragment (#...): it would not be sent")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Receiver(secure, host, port or (443 if secure else 80), path)


def resolve(receiver: Receiver, *, private: bool) -> list[str]:
    """The addresses of the receiver, none of which is forbidden. Raises ForbiddenReceiver, or OSError where it has none."""
    try:
        found = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long
        raise ForbiddenReceiver(f"{receiver.host!r} is not a host's name") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    if not private:
        for address in addresses:
            if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise ForbiddenReceiver(
                    f"{receiver.host} leads to {address}, which is no public address; where webhooks are to stay in a closed network, its "
                    "operator sets SANKOFA_WEBHOOK_PRIVATE"
                )
    return addresses


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet at large, and not to this machine, its network, its cloud, or to nobody."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback or address.is_link_local
    return address.is_global and not special and not any(address in network for network in NOT_PUBLIC)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
