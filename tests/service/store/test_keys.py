"""API keys: known only by their sha256; the first one lies in a file that its owner alone can read."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.store import keys
from service.store.models import ApiKey


def test_a_key_tells_whose_it_is_and_what_it_may_do(store):
    keys.register(store, "sk_1", "laptop")
    identity = keys.identify(store, "sk_1")
    assert identity.tenant_id == "default"
    assert identity.scopes == {"read", "write", "admin"}
    assert keys.identify(store, "sk_2") is None
    assert keys.identify(store, "") is None


def test_the_key_itself_is_not_in_the_database(scene):
    keys.register(scene.store, "sk_very_secret", "laptop")
    assert "sk_very_secret" not in str(scene.contents())


def test_registering_again_changes_nothing(scene):
    keys.register(scene.store, "sk_1", "laptop")
    before = scene.contents()
    scene.clock.step(10)
    keys.register(scene.store, "sk_1", "other name")
    assert scene.contents() == before


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_key_is_refused(store, blank):
    with pytest.raises(ValueError, match="'laptop' is blank"):
        keys.register(store, blank, "laptop")
    assert keys.identify(store, blank) is None


class TestFirstKey:
    def test_is_made_once_and_only_its_owner_can_read_it(self, store, tmp_path):
        path = tmp_path / "key"
        key = keys.first_key(store, path)
        assert keys.first_key(store, path) == key == path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(key) == len("sk_") + 64  # 256 bits
        assert keys.identify(store, key) is not None
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith("key")] == ["key"]

    def test_of_a_new_database_is_the_one_in_the_file(self, store, tmp_path):
        (tmp_path / "key").write_text("sk_from_before\n")
        assert keys.first_key(store, tmp_path / "key") == "sk_from_before"
        assert keys.identify(store, "sk_from_before") is not None

    def test_is_the_same_for_processes_that_start_at_once(self, store, tmp_path):
        with ThreadPoolExecutor(8) as threads:
            made = set(threads.map(lambda _: keys.first_key(store, tmp_path / "key"), range(8)))
        assert len(made) == 1
        with store.read() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(ApiKey)) == 1

    def test_in_an_empty_file_is_refused(self, store, tmp_path):
        (tmp_path / "key").touch()
        with pytest.raises(ValueError, match="blank"):
            keys.first_key(store, tmp_path / "key")
