"""The configuration file: services by name, for those who use more than one.

    profile = "work"                        # the one in use unless another is named

    [profiles.work]
    url = "https://training.example.org"
    api_key_file = "~/keys/training"        # or: api_key = "sk_..."

It is `sankofa/config.toml` in `$XDG_CONFIG_HOME`, else in `~/.config`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sankofa.errors import InvalidInput

FIELDS = {"url", "api_key", "api_key_file"}


def config_path() -> Path:
    """Where the configuration file is, or would be."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sankofa" / "config.toml"


@dataclass(frozen=True)
class Profile:
    """A service of the configuration file."""

    name: str
    url: str
    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | None = None

    @property
    def source(self) -> str:
        """How messages call it."""
        return f"profile {self.name} in {config_path()}"

    def key(self) -> str | None:
        """Its key, if it names one. Raises InvalidInput where the file of the key cannot be read."""
        if self.api_key_file is None:
            return self.api_key
        path = Path(self.api_key_file).expanduser()
        try:
            return path.read_text(errors="replace").strip()
        except OSError as error:
            raise InvalidInput(f"{self.source}: api_key_file {path} cannot be read ({error.strerror})") from error


def read_profile(name: str | None = None) -> Profile | None:
    """The profile of this name, else the one that SANKOFA_PROFILE or the file's own `profile` names; None where nobody names one.

    Raises InvalidInput where there is no such profile, and for whatever is wrong with the file.
    """
    path, named = config_path(), name or os.environ.get("SANKOFA_PROFILE")
    document = _read(path)
    chosen = named or document.get("profile")
    if chosen is None:
        return None
    profiles = document.get("profiles")
    known = profiles if isinstance(profiles, dict) else {}
    if not isinstance(chosen, str) or chosen not in known:
        close = difflib.get_close_matches(str(chosen), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there {_listed(list(known))}" if path.exists() else "there is no such file"
        raise InvalidInput(f"{path}: no profile {chosen}; {hint}")
    if not isinstance(known[chosen], dict):
        raise InvalidInput(f'{path}: {chosen} of [profiles] is no table; expected [profiles.{chosen}] with url = "https://HOST"')
    return _profile(path, chosen, known[chosen])


def profile_names() -> list[str]:
    """The names of all profiles. Raises InvalidInput for a file that cannot be read."""
    profiles = _read(config_path()).get("profiles", {})
    return [name for name in profiles if isinstance(profiles[name], dict)] if isinstance(profiles, dict) else []


def _profile(path: Path, name: str, fields: dict[str, Any]) -> Profile:
    where = f"{path}: [profiles.{name}]"
    for unknown in sorted(fields.keys() - FIELDS):
        close = difflib.get_close_matches(unknown, FIELDS, 1)
        raise InvalidInput(
            f"{where}: unknown {unknown}; " + (f"did you mean {close[0]}?" if close else f"expected {', '.join(sorted(FIELDS))}")
        )
    for field_name, value in fields.items():
        if not isinstance(value, str) or not value:
            raise InvalidInput(f"{where}: {field_name}: expected a text, got {type(value).__name__}")
    if "url" not in fields:
        raise InvalidInput(f'{where}: expected url = "https://HOST"')
    if {"api_key", "api_key_file"} <= fields.keys():
        raise InvalidInput(f"{where}: expected api_key or api_key_file, got both")
    return Profile(name, **fields)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not TOML: expected text in UTF-8, byte {error.start + 1:,} is none") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not TOML: {error}") from error


def _listed(known: list[str]) -> str:
    return f"are {', '.join(known)}" if len(known) > 1 else f"is {known[0]}" if known else "are none"
