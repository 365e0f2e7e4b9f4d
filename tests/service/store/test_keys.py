"""API keys: known only by their sha256; the first one lies in a file that its owner alone can read."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.store import keys
from service.store.errors import KeyEnded, NotFound
from service.store.idempotency import Once
from service.store.keys import KeyState, NewKey
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


def new_key(store, tenant_id="default", scopes=("read",), once=None, **fields):
    """(what was made, the key) of a new key."""
    new = NewKey(tenant_id, "made", scopes, **fields)
    return keys.create(store, new, owner="default", answer=lambda row, now: row.id.encode(), once=once)


def rotate(store, key_id, overlap_seconds=0, tenant_id=None, once=None):
    return keys.rotate(
        store, tenant_id, key_id, overlap_seconds=overlap_seconds, owner="default", answer=lambda row, now: row.id.encode(), once=once
    )


def opens(store, key):
    try:
        return keys.identify(store, key) is not None
    except KeyEnded:
        return False


class TestAKeyThatWasMade:
    def test_may_do_what_it_was_made_for(self, scene):
        scene.tenant("acme")
        made, key = new_key(scene.store, "acme", ("write", "read"), requests_per_minute=60)
        identity = keys.identify(scene.store, key)
        assert (identity.tenant_id, identity.key_id, identity.scopes) == ("acme", made.id, {"read", "write"})
        assert (identity.key_requests_per_minute, identity.tenant_requests_per_minute) == (60, None)
        assert not identity.is_operator
        assert keys.get(scene.store, "acme", made.id)[0].scopes == ["read", "write"]

    def test_is_kept_nowhere(self, scene):
        _, key = new_key(scene.store, once=Once("POST /v1/keys", "k", "sha256:body"))
        rotated = rotate(scene.store, new_key(scene.store)[0].id)[1]
        for secret in (key, rotated):
            assert secret not in str(scene.contents())
            assert len(secret) == len("sk_") + 64

    def test_ends_when_its_time_is_over(self, scene):
        made, key = new_key(scene.store, expires_after_seconds=100)
        scene.clock.step(99.9)
        assert opens(scene.store, key)
        scene.clock.step(0.1)
        with pytest.raises(KeyEnded, match="has expired") as ended:
            keys.identify(scene.store, key)
        assert ended.value.how == "expired"
        assert keys.get(scene.store, None, made.id)[1] == "expired"

    def test_for_a_tenant_that_is_not_there_is_not_made(self, scene):
        before = scene.contents()
        with pytest.raises(NotFound, match="tenant 'nobody'"):
            new_key(scene.store, "nobody")
        assert scene.contents() == before

    def test_is_made_once_however_often_it_is_asked_for(self, scene):
        once = Once("POST /v1/keys", "k", "sha256:body")
        (first, key), (again, no_key) = new_key(scene.store, once=once), new_key(scene.store, once=once)
        assert (again.id, again.replayed) == (first.id, True)
        assert opens(scene.store, key)
        assert not opens(scene.store, no_key)


def test_a_key_that_somebody_thought_of_is_not_even_hinted_at(scene):
    """Ours are random to the last character; the beginning of a phrase tells much of it."""
    phrase = "correct-horse-battery-staple-42-times"
    keys.register(scene.store, phrase, "from SANKOFA_API_KEY")
    ours = new_key(scene.store)[1]
    hints = {row.name: row.hint for row, _ in keys.page(scene.store, None, limit=10)}
    assert hints == {"from SANKOFA_API_KEY": None, "made": ours[:7]}


class TestRotation:
    def test_gives_a_key_that_may_do_the_same(self, scene):
        scene.tenant("acme")
        old, _ = new_key(scene.store, "acme", ("admin",), requests_per_minute=7, expires_after_seconds=1000)
        made, key = rotate(scene.store, old.id)
        row, _ = keys.get(scene.store, "acme", made.id)
        before, _ = keys.get(scene.store, "acme", old.id)
        assert (row.name, row.scopes, row.max_requests_per_minute, row.replaces) == ("made", ["admin"], 7, old.id)
        assert row.expires_at == scene.clock() + 1000
        assert before.expires_at == scene.clock()
        assert keys.identify(scene.store, key).tenant_id == "acme"

    def test_lets_the_old_key_in_for_a_while(self, scene):
        old, old_key = new_key(scene.store)
        _, key = rotate(scene.store, old.id, overlap_seconds=60)
        scene.clock.step(59)
        assert opens(scene.store, old_key)
        assert opens(scene.store, key)
        scene.clock.step(1)
        assert not opens(scene.store, old_key)
        assert opens(scene.store, key)

    def test_never_lengthens_a_key(self, scene):
        old, _ = new_key(scene.store, expires_after_seconds=10)
        rotate(scene.store, old.id, overlap_seconds=60)
        assert keys.get(scene.store, None, old.id)[0].expires_at == scene.clock() + 10

    def test_of_a_key_that_has_ended_is_refused(self, scene):
        old, _ = new_key(scene.store)
        keys.revoke(scene.store, None, old.id)
        with pytest.raises(KeyEnded, match="revoked"):
            rotate(scene.store, old.id)

    def test_is_done_once_however_often_it_is_asked_for(self, scene):
        old, _ = new_key(scene.store)
        once = Once(f"POST /v1/keys/{old.id}/rotate", "k", "sha256:body")
        first, again = rotate(scene.store, old.id, once=once)[0], rotate(scene.store, old.id, once=once)[0]
        assert (again.id, again.replayed) == (first.id, True)


class TestRevocation:
    def test_ends_a_key_for_ever(self, scene):
        made, key = new_key(scene.store)
        keys.revoke(scene.store, "default", made.id)
        with pytest.raises(KeyEnded) as ended:
            keys.identify(scene.store, key)
        assert ended.value.how == "revoked"
        first = keys.get(scene.store, None, made.id)[0].revoked_at
        scene.clock.step(10)
        keys.revoke(scene.store, "default", made.id)
        assert keys.get(scene.store, None, made.id)[0].revoked_at == first

    def test_outlives_a_restart(self, scene):
        keys.register(scene.store, "sk_1", "laptop")
        keys.revoke(scene.store, None, keys.identify(scene.store, "sk_1").key_id)
        keys.register(scene.store, "sk_1", "laptop")
        assert not opens(scene.store, "sk_1")


@pytest.mark.parametrize("act", [keys.get, keys.revoke, lambda store, tenant, key: rotate(store, key, tenant_id=tenant)])
def test_another_tenants_key_is_not_there(scene, act):
    scene.tenant("acme")
    made, key = new_key(scene.store, "acme")
    with pytest.raises(NotFound):
        act(scene.store, "other", made.id)
    with pytest.raises(NotFound):
        act(scene.store, None, "key_none")
    assert opens(scene.store, key)


def test_keys_are_listed_by_tenant_and_state(scene):
    scene.tenant("acme")
    active, expired, revoked, other = (
        new_key(scene.store)[0].id,
        new_key(scene.store, expires_after_seconds=1)[0].id,
        new_key(scene.store)[0].id,
        new_key(scene.store, "acme")[0].id,
    )
    keys.revoke(scene.store, None, revoked)
    scene.clock.step(2)

    def listed(*arguments, **options):
        return {row.id for row, _ in keys.page(scene.store, *arguments, limit=10, **options)}

    assert listed(None) == {active, expired, revoked, other}
    assert listed("acme") == {other}
    assert listed("default", state=KeyState.ACTIVE) == {active}
    assert listed("default", state=KeyState.EXPIRED) == {expired}
    assert listed("default", state=KeyState.REVOKED) == {revoked}
    (newest,) = keys.page(scene.store, None, limit=1)
    assert newest[0].id not in listed(None, before=newest[0].id)
    assert len(listed(None, before=newest[0].id)) == 3


class TestLastUse:
    def test_is_written_every_few_minutes_only(self, scene):
        made, key = new_key(scene.store)

        def last_used():
            return keys.get(scene.store, None, made.id)[0].last_used_at

        assert keys.identify(scene.store, key).unmarked
        assert last_used() is None
        keys.mark_used(scene.store, made.id)
        first = last_used()
        assert first == scene.clock()
        scene.clock.step(keys.USED_SECONDS - 1)
        assert not keys.identify(scene.store, key).unmarked
        keys.mark_used(scene.store, made.id)
        assert last_used() == first
        scene.clock.step(1)
        assert keys.identify(scene.store, key).unmarked
        keys.mark_used(scene.store, made.id)
        assert last_used() == scene.clock()

    def test_is_written_after_a_clock_was_set_back(self, scene):
        made, key = new_key(scene.store)
        keys.mark_used(scene.store, made.id)
        scene.clock.step(-1000)
        assert keys.identify(scene.store, key).unmarked
        keys.mark_used(scene.store, made.id)
        assert keys.get(scene.store, None, made.id)[0].last_used_at == scene.clock()
