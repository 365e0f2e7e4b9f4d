"""Where the service is and which key opens it, when nobody says so.

Each is looked for in this order, and the first place that names it wins:

1. an argument: Client(url=..., api_key=..., profile=...), or --url, --api-key, --profile
2. the environment: SANKOFA_URL, SANKOFA_API_KEY, SANKOFA_PROFILE
3. the configuration file's own `profile` (see profiles.py)
4. this machine's installation

A profile's key is sent to that profile's address alone, and the key of this machine's installation to no other machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sankofa.errors import InvalidInput
from sankofa.profiles import Profile, read_profile


def user_data_folder() -> Path:
    """Where programs keep a user's data: `$XDG_DATA_HOME`, else `~/.local/share`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def default_data_dir() -> Path:
    """The data folder of this user's installation: `SANKOFA_DATA_DIR`, else `sankofa` in the user's data folder."""
    named = os.environ.get("SANKOFA_DATA_DIR")
    return Path(named) if named else user_data_folder() / "sankofa"


@dataclass(frozen=True)
class Address:
    """A service's address, without a slash at its end, and the key that opens it, if one was found; and where each comes from."""

    url: str
    url_source: str
    key: str | None = field(repr=False)
    key_source: str


def find(url: str | None = None, key: str | None = None, profile: str | None = None) -> Address:
    """The service that arguments, environment, configuration file or this machine name.

    Raises InvalidInput for an address that is none, a key that no header can carry, and whatever is wrong with the configuration file;
    it names where that comes from, and never the key.
    """
    told = read_profile(profile) if profile is not None else None
    # What was told in an argument is not mixed with another profile.
    usual = read_profile() if told is None else None
    found_url, url_source = _url(url, told, usual)
    found_key, key_source = _key(found_url, key, told, usual)
    return Address(found_url, url_source, found_key, key_source)


def _url(url: str | None, told: Profile | None, usual: Profile | None) -> tuple[str, str]:
    places = [
        (url, "--url or Client(url=...)"),
        (told and told.url, told and told.source),
        (os.environ.get("SANKOFA_URL"), "SANKOFA_URL"),
        (usual and usual.url, usual and usual.source),
        (f"http://127.0.0.1:{os.environ.get('SANKOFA_PORT') or 8000}", "this machine"),
    ]
    found, source = next((str(found), str(source)) for found, source in places if found)
    if not is_url(found):
        raise InvalidInput(f"{source}: the service's address: expected http://HOST:PORT or https://HOST, got {shown(found)!r}")
    return found.rstrip("/"), source


def _key(url: str, key: str | None, told: Profile | None, usual: Profile | None) -> tuple[str | None, str]:
    own = default_data_dir() / "key"
    if key:
        return _sendable(key, "the API key given by --api-key or Client(api_key=...)"), "--api-key or Client(api_key=...)"
    for profile, before_environment in ((told, True), (usual, False)):
        given = os.environ.get("SANKOFA_API_KEY")
        if given and not before_environment:
            return _sendable(given, "SANKOFA_API_KEY"), "SANKOFA_API_KEY"
        if profile is not None and profile.url.rstrip("/") == url and (found := profile.key()):
            return _sendable(found, profile.source), profile.source
    if not is_loopback(url):
        return None, "nowhere"
    try:
        text = own.read_text(errors="replace").strip()
    except OSError:
        return None, "nowhere"
    return (_sendable(text, str(own)), str(own)) if text else (None, "nowhere")


def _sendable(key: str, source: str) -> str:
    """The key, which is never shown."""
    odd = next((at for at, character in enumerate(key, 1) if not "!" <= character <= "~"), None)
    if odd is not None:
        kind = {"\n": "a line end", "\r": "a line end", " ": "a space", "\t": "a tab"}.get(key[odd - 1], "none of these")
        raise InvalidInput(
            f"{source}: expected an API key of ASCII letters, digits and signs, but its character {odd} is {kind}; copy the key again"
        )
    return key


def is_url(text: str) -> bool:
    """Whether it is the address of a service, as far as that can be seen."""
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that hold no address
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def shown(url: str) -> str:
    """The address as it may be printed: without a password. It need not be one."""
    return re.sub(r"(?<=//)([^/?#:@]*):[^/?#]*@", r"\1:...@", url)


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine by a loopback address or as `localhost`."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
