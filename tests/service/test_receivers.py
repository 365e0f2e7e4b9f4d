"""Where webhooks may go: nowhere that is not public, however it is written."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from service import receivers
from service.receivers import ForbiddenReceiver, Receiver

# fmt: off
PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
    "2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fec0::1", "ff02::1",
]
# fmt: on
PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_closed_network_is_not_public(address: str) -> None:
    assert not receivers.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert receivers.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0", "0x7f.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25lo]", "017700000001"],
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises((ForbiddenReceiver, OSError)):
        receivers.resolve(receivers.parse(f"https://{host}/", private=False), private=False)


def test_a_name_is_refused_when_one_of_its_addresses_is_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(receivers.socket, "getaddrinfo", lambda *_, **__: found)
    receiver = receivers.parse("https://rebinding.example/", private=False)
    with pytest.raises(ForbiddenReceiver, match=r"rebinding\.example leads to 10\.0\.0\.1, which is no public address"):
        receivers.resolve(receiver, private=False)
    assert receivers.resolve(receiver, private=True) == ["8.8.8.8", "10.0.0.1"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com/", "expected https://"),
        ("ftp://example.com/", "expected a URL like"),
        ("example.com/hook", "expected a URL like"),
        ("https:///path", "expected a URL like"),
        ("https://example.com:many/", "expected a URL like"),
        ("https://[::1/", "expected a URL like"),
        ("https://user:secret@example.com/", "expected no user and password"),
        ("https://example.com/#there", "expected no fragment"),
        ("https://example.com/a b", "printable ASCII"),
        ("https://example.com/\r\nHost: x", "printable ASCII"),
        ("https://exämple.com/", "printable ASCII"),
        ("https://example.com/" + "x" * 2000, "up to 2,000"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(url: str, told: str) -> None:
    with pytest.raises(ForbiddenReceiver, match=told):
        receivers.parse(url, private=False)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ForbiddenReceiver, match="not a host's name"):
        receivers.resolve(Receiver(True, "x" * 300, 443, "/"), private=False)


def test_a_url_is_taken_apart() -> None:
    assert receivers.parse("https://example.com", private=False) == Receiver(True, "example.com", 443, "/")
    plain = receivers.parse("http://[::1]:8080/a/b?c=d", private=True)
    assert (plain, plain.authority) == (Receiver(False, "::1", 8080, "/a/b?c=d"), "[::1]:8080")
    assert receivers.parse("https://example.com:443/", private=False).authority == "example.com"
