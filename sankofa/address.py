"""Where the service is and which key opens it, when nobody says so: from the environment, else from this machine's installation."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from sankofa.errors import InvalidInput


def user_data_folder() -> Path:
    """Where programs keep a user's data: `$XDG_DATA_HOME`, else `~/.local/share`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def default_data_dir() -> Path:
    """The data folder of this user's installation: `SANKOFA_DATA_DIR`, else `sankofa` in the user's data folder."""
    named = os.environ.get("SANKOFA_DATA_DIR")
    return Path(named) if named else user_data_folder() / "sankofa"


def find_url(url: str | None = None) -> str:
    """The service's address: `url`, else `SANKOFA_URL`, else this machine at `SANKOFA_PORT` or 8000. Without a slash at its end."""
    found = url or os.environ.get("SANKOFA_URL") or f"http://127.0.0.1:{os.environ.get('SANKOFA_PORT') or 8000}"
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"the service's address: expected http://HOST:PORT or https://HOST, got {found!r}")
    return found.rstrip("/")


def find_key(url: str, key: str | None = None) -> str | None:
    """The API key: `key`, else `SANKOFA_API_KEY`, else, for a service on this machine, the key file of the data folder; else None.

    Raises InvalidInput for one that no header can carry, naming where it comes from and not the key.
    """
    if key:
        return _sendable(key, "the API key given by --api-key or Client(api_key=...)")
    if given := os.environ.get("SANKOFA_API_KEY"):
        return _sendable(given, "SANKOFA_API_KEY")
    # A local key is never sent to another machine.
    if not is_loopback(url):
        return None
    path = default_data_dir() / "key"
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return None
    return _sendable(text, str(path)) if text else None


def _sendable(key: str, source: str) -> str:
    """The key, which is never shown."""
    odd = next((at for at, character in enumerate(key, 1) if not "!" <= character <= "~"), None)
    if odd is not None:
        kind = {"\n": "a line end", "\r": "a line end", " ": "a space", "\t": "a tab"}.get(key[odd - 1], "none of these")
        raise InvalidInput(
            f"{source}: expected an API key of ASCII letters, digits and signs, but its character {odd} is {kind}; copy the key again"
        )
    return key


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine by a loopback address or as `localhost`."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
