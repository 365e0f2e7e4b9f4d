"""The configuration file, and what goes before what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sankofa import InvalidInput
from sankofa.address import find, shown

CONFIG = """
profile = "work"

[profiles.work]
url = "https://work.example/"
api_key = "work-key"

[profiles.lab]
url = "http://lab.example:8000"
api_key_file = "{folder}/lab-key"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of two profiles, and no other place that names a service."""
    for name in ("SANKOFA_URL", "SANKOFA_API_KEY", "SANKOFA_PORT", "SANKOFA_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SANKOFA_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "sankofa" / "config.toml"
    path.parent.mkdir()
    path.write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "lab-key").write_text("lab-key\n")
    return path


def test_the_first_place_that_names_a_service_wins(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, lab = ("https://work.example", "work-key"), ("http://lab.example:8000", "lab-key")

    def found(**arguments: str) -> tuple[str, str | None]:
        address = find(**arguments)
        return address.url, address.key

    assert found() == work
    assert found(profile="lab") == lab
    monkeypatch.setenv("SANKOFA_PROFILE", "lab")
    assert found() == lab
    assert found(profile="work") == work
    monkeypatch.setenv("SANKOFA_API_KEY", "environment-key")
    assert found() == ("http://lab.example:8000", "environment-key")
    assert found(profile="work") == work, "an argument goes before the environment"
    monkeypatch.setenv("SANKOFA_URL", "http://environment.example")
    assert found() == ("http://environment.example", "environment-key")
    assert found(profile="lab", key="argument-key") == ("http://lab.example:8000", "argument-key")
    assert found(url="http://argument.example", key="argument-key") == ("http://argument.example", "argument-key")


def test_the_key_of_a_profile_goes_to_no_other_service(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("http://elsewhere.example").key is None
    assert find("http://elsewhere.example", profile="lab").key is None
    monkeypatch.setenv("SANKOFA_URL", "http://elsewhere.example")
    assert find().key is None
    assert find("https://work.example").key == "work-key"


def test_it_is_known_where_url_and_key_come_from(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = find()
    assert (address.url_source, address.key_source) == (f"profile work in {config}",) * 2
    assert "work-key" not in repr(address)
    monkeypatch.setenv("SANKOFA_URL", "http://environment.example")
    assert (find().url_source, find().key_source) == ("SANKOFA_URL", "nowhere")


@pytest.mark.parametrize(
    ("text", "profile", "told"),
    [
        (CONFIG, "lob", "no profile lob; did you mean lab?"),
        (CONFIG, "zzz", "no profile zzz; there are work, lab"),
        ("", "work", "no profile work; there are none"),
        ("profile = 3", None, "no profile 3"),
        ("profiles = 3", "work", "no profile work"),
        ("[profiles]\nwork = 3", "work", "work of [profiles] is no table; expected [profiles.work]"),
        ("[profiles.work", None, "is not TOML"),
        ("[profiles.work]\nurl = 'http://x'\napikey = 'y'", "work", "unknown apikey; did you mean api_key?"),
        ("[profiles.work]\nurl = 3", "work", "url: expected a text, got int"),
        ("[profiles.work]\napi_key = 'x'", "work", "expected url = "),
        ("[profiles.work]\nurl = 'http://x'\napi_key = 'x'\napi_key_file = 'y'", "work", "got both"),
        ("[profiles.work]\nurl = 'example.org'", "work", "expected http://HOST:PORT"),
        ("[profiles.work]\nurl = 'http://x'\napi_key_file = '/nowhere/key'", "work", "/nowhere/key cannot be read"),
        ("[profiles.work]\nurl = 'http://x'\napi_key = 'k\u00e9y'", "work", "character 2 is none of these"),
    ],
)
def test_what_is_wrong_with_it_is_told(config: Path, text: str, profile: str | None, told: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        find(profile=profile)
    assert told in str(refused.value)
    assert str(config) in str(refused.value)
    assert "k\u00e9y" not in str(refused.value)


def test_a_file_in_another_encoding_is_told_by_the_byte(config: Path) -> None:
    config.write_bytes(b"# caf\xe9\n")
    with pytest.raises(InvalidInput, match="expected text in UTF-8, byte 6 is none"):
        find(profile="work")


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("http://ann:secret@127.0.0.1:1/api", "http://ann:...@127.0.0.1:1/api"),
        ("http://ann@127.0.0.1:1", "http://ann@127.0.0.1:1"),
        ("http://:secret@[::1]:1", "http://:...@[::1]:1"),
        ("http://ann:sec@ret@host/a:b@c", "http://ann:...@host/a:b@c"),
        ("http://ann:secret@[::1", "http://ann:...@[::1"),
        ("nonsense", "nonsense"),
        ("https://training.example.org", "https://training.example.org"),
    ],
)
def test_a_password_in_an_address_is_not_printed(url: str, printed: str) -> None:
    assert shown(url) == printed


def test_a_profile_without_a_file_is_told(config: Path) -> None:
    config.unlink()
    assert find().url == "http://127.0.0.1:8000"
    with pytest.raises(InvalidInput, match="no profile work; there is no such file"):
        find(profile="work")


def test_the_example_of_the_documentation_is_understood(config: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    config.write_text(example.replace("~/keys", str(config.parent.parent)).replace('/training"', '/lab-key"'))
    assert (find().url, find().key) == ("https://training.example.org", "lab-key")
    assert find(profile="lab").key == "sk_..."
