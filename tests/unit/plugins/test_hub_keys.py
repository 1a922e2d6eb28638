# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which keys a host trusts, with real directories."""

from __future__ import annotations

import base64
import json
import os
import time
import zlib
from unittest import mock

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import key_files, keys as keys_model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe as hub_loader
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_keys
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.keys import cfkeys

A, B, C = cfkeys.A, cfkeys.B, cfkeys.C
OLD, WEAK = cfkeys.KNOWN["cf-key-3.21.0-4096"], cfkeys.public(512)


def name(key, kind="MD5", user="root"):
    return "%s-%s.pub" % (user, key[kind])


def item(key, host=None, **more):
    return dict({"public": key["public"]}, **dict({"host": host} if host else {}, **more))


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    """A ppkeys directory: own key A, and client C is trusted."""
    folder = tmp_path / "ppkeys"
    folder.mkdir(mode=0o700)
    for file, text in (("localhost.pub", A["public"]), ("localhost.priv", "OWN-PRIVATE"), (name(C), C["public"])):
        (folder / file).write_text(text, encoding="utf-8")
        (folder / file).chmod(0o600)
    return folder


@pytest.fixture(name="warned", autouse=True)
def fixture_warned():
    """The list of warnings. Ansible keeps them for a whole process, which here is many modules'."""
    found = []
    with mock.patch.object(hub_keys.KeysModule, "warn", side_effect=found.append):
        yield found


@pytest.fixture(name="keys")
def fixture_keys(run_module, hub):
    """keys(state=..., ...) on that directory; first in check mode, which must tell the same and change nothing."""
    def keys(path=None, **arguments):
        folder = str(path or hub)
        before = state(folder)
        checked = run_module(hub_keys, path=folder, check=True, diff=True, **arguments)
        assert state(folder) == before
        done = run_module(hub_keys, path=folder, diff=True, **arguments)
        assert checked == done
        if done.get("failed"):
            assert state(folder) == before, "nothing was changed"
        elif done["changed"]:
            again = run_module(hub_keys, path=folder, diff=True, **arguments)
            assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"] == ""
        text = json.dumps(done)
        assert "OWN-PRIVATE" not in text and not [line for line in secrets() if line in text]
        return done
    return keys


def state(folder):
    """{name: (mode, bytes, inode)} of everything in it."""
    found = {}
    for file in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, file)
        info = os.lstat(path)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as handle:
                found[file] = (info.st_mode & 0o7777, handle.read(), info.st_ino)
        else:
            found[file] = (info.st_mode, info.st_ino)
    return found


def secrets():
    return cfkeys.private().split("\n")[1:-2]


# --- present ------------------------------------------------------------------------------------------------------

def test_keys_are_trusted(keys, hub):
    before = state(hub)
    done = keys(state="present", keys=[item(B, "hub2", digest=B["MD5"]), item(C, "client1"), item(A, "hub1")])
    assert (done["added"], done["rewritten"], done["present"], done["own"], done["count"]) == ([name(B)], [], 1, 1, 2)
    assert done["diff"]["before"] == "" and done["diff"]["after"] == name(B) + "  hub2\n"
    after = state(hub)
    assert after.pop(name(B))[:2] == (0o600, B["public"].encode()) and after == before
    assert (hub / name(B)).stat().st_uid == 0


@pytest.mark.parametrize("more, kind", [({"digest_type": "SHA"}, "SHA"), ({"digest_type": "MD5"}, "MD5")])
def test_digest_type_is_taken_as_given(keys, hub, more, kind):
    assert keys(state="present", keys=[item(B)], **more)["added"] == [name(B, kind)]


def test_digest_type_of_the_given_digests_and_of_what_is_there(keys, hub, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    failed = keys(empty, state="present", keys=[item(B)])
    assert failed["failed"] and "Give digest_type" in failed["msg"]
    assert keys(empty, state="present", keys=[item(B), item(A, digest=A["SHA"])])["added"] == sorted(
        [name(A, "SHA"), name(B, "SHA")])
    assert keys(empty, state="present", keys=[item(C)])["added"] == [name(C, "SHA")]
    failed = keys(empty, state="present", keys=[item(OLD, digest=OLD["MD5"])])
    assert failed["failed"] and "the files here have SHA, the given digests MD5" in failed["msg"]


def test_user(keys, hub):
    assert keys(state="present", keys=[item(B, user="Administrator")])["added"] == [name(B, user="Administrator")]


def test_no_keys_is_no_change(keys):
    done = keys(state="present", keys=[])
    assert done["changed"] is False and done["count"] == 0


def test_file_with_the_right_key_is_put_right(keys, hub):
    (hub / name(B)).write_bytes(B["public"].replace("\n", "\r\n").encode())
    (hub / name(C)).chmod(0o666)
    (hub / name(OLD)).write_bytes(b"")
    given = [item(B, "b"), item(C), item(OLD)]
    done = keys(state="present", keys=given)
    assert done["rewritten"] == sorted(name(key) for key in (B, C, OLD)) and done["added"] == []
    assert name(B) + "  b\n" in done["diff"]["after"] and name(B) + " (not as it should be)\n" in done["diff"]["before"]
    for key in (B, C, OLD):
        assert state(hub)[name(key)][:2] == (0o600, key["public"].encode())


def test_readable_for_others_is_no_danger_and_stays(keys, hub):
    (hub / name(C)).chmod(0o644)
    assert keys(state="present", keys=[item(C)])["changed"] is False


def test_links(keys, hub, tmp_path):
    """CFEngine gives a hub's own key its second name with a hard link."""
    os.link(hub / name(C), tmp_path / "other")
    (hub / name(C)).chmod(0o660)
    (hub / name(B)).symlink_to("/nowhere")
    done = keys(state="present", keys=[item(C), item(B)])
    assert done["rewritten"] == [name(C)] and done["added"] == [name(B)]
    assert state(hub)[name(B)][:2] == (0o600, B["public"].encode())
    assert os.stat(tmp_path / "other").st_mode & 0o777 == 0o660, "it is another file now"


def bad_keys():
    return {
        "garbage": (dict(item(B), public="changeme"), "it is no public key of CFEngine"),
        "truncated": (dict(item(B), public=B["public"][:200]), "it is cut off"),
        "trailing text": (dict(item(B), public=B["public"] + "x"), "something follows the key"),
        "private": (dict(item(B), public=cfkeys.private()), "PRIVATE key"),
        "X.509": (dict(item(B), public=cfkeys.spki()), "X.509"),
        "weak": (dict(item(B), public=WEAK), "only 512 bits"),
        "even exponent": (dict(item(B), public=cfkeys.public(exponent=4)), "exponent is even"),
        "nothing": (dict(item(B), public=None), "it is empty"),
        "another key": (item(B, digest=C["SHA"]), "another key is expected: %s, and this is %s" % (C["SHA"], B["SHA"])),
        "no digest": (item(B, digest="12:34"), "its digest must be"),
        "path as user": (item(B, user="../../etc/x"), "its user is not"),
        "own name as user": (item(B, user="localhost.pub"), "its user is not"),
        "list as user": (item(B, user=["root"]), "its user is not"),
        "no public": ({"host": "x"}, "it must be a dict with public"), "text": (B["public"], "it must be a dict"),
        "private as text": (cfkeys.private(), "it must be a dict"), "list": ([B["public"]], "it must be a dict"),
        "private as digest": (item(B, digest=cfkeys.private()), "its digest must be"),
        "private as field": (dict(item(B), **{cfkeys.private(): 1}), "it has an entry that is none of"),
        "misspelt": (dict(item(B), hots="x"), "it has an entry that is none of public, host, digest, user")}


BAD = bad_keys()


@pytest.mark.parametrize("which", sorted(BAD))
def test_bad_key_is_refused_with_everything(keys, which):
    bad, words = BAD[which]
    if isinstance(bad, dict):
        bad = dict(bad, host="client3")
    done = keys(state="present", keys=[item(B, "hub2"), bad])
    assert done["failed"] and words in done["msg"] and len(done["problems"]) == 1
    assert ("client3: " if isinstance(bad, dict) else "key number 2: ") in done["msg"]
    assert done["msg"].startswith("nothing was changed in ")


def test_all_bad_keys_in_one_error(keys, hub):
    texts = [bad["public"] for bad, dummy in BAD.values() if isinstance(bad, dict) and "public" in bad]
    given = [item({"public": text}, "host%d" % number)
             for number, text in enumerate(text for text in texts if text != B["public"])]
    (hub / name(OLD)).write_text("note", encoding="utf-8")
    done = keys(state="present", keys=given + [item(OLD, "old"), item(B, "one"), item(B, "two")])
    assert len(done["problems"]) == len(given) + 2 == 10
    for number in range(len(given)):
        assert "host%d: " % number in done["msg"]
    assert "one and two: they have one and the same key" in done["msg"]
    assert "remove localhost.priv and localhost.pub from its ppkeys directory and run cf-key" in done["msg"]
    assert "old: %s: a file of that name is there" % name(OLD) in done["msg"]


@pytest.mark.parametrize("text, words", [
    (A["public"], "holds another key"), ("note", "it is no public key"), (B["public"] + "x", "something follows"),
    (cfkeys.private(), "PRIVATE")])
def test_a_file_of_that_name_with_something_else_is_left_alone(keys, hub, text, words):
    (hub / name(B)).write_text(text, encoding="utf-8")
    done = keys(state="present", keys=[item(B, "hub2"), item(OLD, "new")])
    assert done["failed"] and "hub2: %s: a file of that name is there" % name(B) in done["msg"] and words in done["msg"]
    assert "move it away" in done["msg"]


def test_what_is_no_file_is_left_alone(keys, hub):
    (hub / name(B)).mkdir()
    os.mkfifo(hub / name(OLD))
    done = keys(state="present", keys=[item(B), item(OLD)])
    assert done["msg"].count("it is no file") == 2


@pytest.mark.parametrize("arguments, words", [
    ({"state": "present"}, "needs keys or archive"), ({"state": "absent"}, "digests"),
    ({"state": "absent", "digests": ["MD5=12"]}, "digest number 1 is not MD5=... or SHA=..."),
    ({"state": "packed", "exclude": [A["MD5"], "x"]}, "digest number 2 is not"),
    ({"state": "present", "keys": {"public": B["public"]}}, "keys"),
    ({"state": "present", "keys": 7}, "key number 1: it must be a dict"),
    ({"state": "present", "keys": cfkeys.private()}, "it must be a dict"),
    ({"state": "present", "key": cfkeys.private()}, "Unsupported parameters"),
    ({"state": cfkeys.private()}, "a private key was given where it does not belong"),
    ({"state": "present", "keys": [], "digest_type": "md4"}, "digest_type"),
    ({"state": "absent", "digests": [cfkeys.private()]}, "digest number 1 is not"),
    ({"state": "present", "archive": cfkeys.private()}, "cannot be read")])
def test_bad_arguments(keys, arguments, words):
    done = keys(**arguments)
    assert done["failed"] and words in done["msg"]


def test_the_hosts_log_shows_no_keys(run_module, hub):
    with mock.patch.object(hub_keys.KeysModule, "log") as log:
        done = run_module(hub_keys, path=str(hub), state="present", keys=[dict(item(B), public=cfkeys.private())])
        assert done["failed"]
        run_module(hub_keys, path=str(hub), state="packed", exclude=[A["MD5"]])
    said = [call.args[0] for call in log.call_args_list]
    assert len(said) == 2 and "keys=1 entries" in said[0] and "path=%s" % hub in said[1] and "state=packed" in said[1]
    assert not [line for line in secrets() if line in str(log.call_args_list)]


def test_no_directory(keys, tmp_path):
    for arguments in ({"state": "present", "keys": [item(B)]}, {"state": "packed"}, {"state": "absent", "digests": []}):
        done = keys(tmp_path / "none", **arguments)
        assert done["msg"] == ("%s/none is no directory on this host: install CFEngine first, or correct the path"
                               % tmp_path)


def test_own_key_that_is_damaged(keys, hub):
    (hub / "localhost.pub").write_text("x", encoding="utf-8")
    assert "localhost.pub is not this host's public key" in keys(state="present", keys=[item(B)])["msg"]
    (hub / "localhost.pub").unlink()
    assert keys(state="present", keys=[item(B)])["changed"]


def test_disk_that_takes_nothing(run_module, hub):
    before = state(hub)
    with mock.patch.object(key_files.os, "rename", side_effect=OSError(28, "No space left on device")):
        done = run_module(hub_keys, path=str(hub), state="present", keys=[item(B)])
    assert done["failed"] and "cannot put the keys in %s right: " % hub in done["msg"] and "No space" in done["msg"]
    assert state(hub) == before, "half of a file was left"


# --- absent -------------------------------------------------------------------------------------------------------

def test_keys_are_not_trusted_any_more(keys, hub):
    (hub / name(B)).write_text(B["public"], encoding="utf-8")
    (hub / name(B, "SHA", "Administrator")).write_text(B["public"], encoding="utf-8")
    (hub / "root-192.168.1.5.pub").write_text(B["public"], encoding="utf-8")
    (hub / name(OLD)).write_text("garbage", encoding="utf-8")
    (hub / "other.pub").write_text("garbage", encoding="utf-8")
    before = state(hub)
    done = keys(state="absent", digests=[B["SHA"], OLD["MD5"], A["MD5"]])
    assert done["removed"] == sorted(set(before) - set(state(hub))) == sorted(
        [name(B), name(B, "SHA", "Administrator"), name(OLD), "root-192.168.1.5.pub"])
    assert sorted(state(hub)) == ["localhost.priv", "localhost.pub", "other.pub", name(C)]
    assert done["diff"]["before"].splitlines() == done["removed"]


# --- packed -------------------------------------------------------------------------------------------------------

def test_from_hub_to_hub(keys, hub, tmp_path, warned):
    other = tmp_path / "other"
    other.mkdir()
    (other / "localhost.pub").write_text(B["public"], encoding="utf-8")
    (hub / name(A)).write_text(A["public"], encoding="utf-8")
    (hub / name(B)).write_text(B["public"], encoding="utf-8")
    (hub / name(OLD, user="Administrator")).write_bytes(OLD["public"].replace("\n", "\r\n").encode())
    packed = keys(state="packed")
    assert packed["count"] == 4 and packed["left_out"] == [] and packed["changed"] is False and not warned
    done = keys(other, state="present", archive=packed["archive"])
    assert done["added"] == sorted([name(A), name(C), name(OLD, user="Administrator")]) and done["own"] == 1
    assert sorted(os.listdir(other)) == sorted(done["added"] + ["localhost.pub"])
    assert state(other)[name(OLD, user="Administrator")][:2] == (0o600, OLD["public"].encode())
    packed = keys(state="packed", exclude=[A["MD5"], B["SHA"]])
    assert packed["count"] == 2
    done = keys(other, state="present", archive=packed["archive"], keys=[item(C, "client1")])
    assert done["changed"] is False and done["count"] == done["present"] == 2


def test_identity_is_never_carried(keys, hub):
    for file in ("localhost.pub", "localhost.priv"):
        (hub / file).write_text("OWN-PRIVATE", encoding="utf-8")
    packed = keys(state="packed")
    assert packed["count"] == 1 and b"OWN-PRIVATE" not in base64.b64decode(packed["archive"])


def packet(*fields):
    """What keys_model.carried makes, of fields that it would never take."""
    plain = b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    return base64.b64encode(zlib.crc32(plain).to_bytes(4, "big") + plain).decode()


@pytest.mark.parametrize("user", ["localhost.", "../root", "/etc/root", "a/b", "", ".x", "a\nb"])
def test_archive_with_what_does_not_belong_there(keys, hub, user):
    key = keys_model.parse(B["public"])
    before = state(hub)
    done = keys(state="present", archive=packet(user.encode(), b"MD5", *key))
    assert done["failed"] and "does not belong there" in done["msg"] and state(hub) == before


def test_archive_is_not_believed(keys, hub):
    key = keys_model.parse(B["public"])
    before = state(hub)
    good = packet(b"root", b"MD5", *key)
    damaged = base64.b64encode(base64.b64decode(good)[:-3] + b"xyz").decode()
    for text, words in ((damaged, "checksum"), (good[:-8], "checksum"),
                        (packet(b"root", b"MD5", b"\x03", b"\x03"), "bits"),
                        (packet(b"root", b"MD5", key.modulus, b"\x02"), "exponent"), ("!" + good, "cannot be read"),
                        (packet(b"\xff", b"MD5", *key), "cannot be read")):
        done = keys(state="present", archive=text)
        assert done["failed"] and words in done["msg"] and state(hub) == before, words


def test_garbage_is_left_out_and_named(keys, hub, warned):
    garbage = {"note.pub": b"note", "root-192.168.1.9.pub": B["public"].encode(), name(B): A["public"].encode(),
               name(OLD): b"", "\udcff.pub": b"\xff", "big.pub": b"x" * 100000}
    for file, data in garbage.items():
        (hub / file).write_bytes(data)
    (hub / ("root-MD5=" + "0" * 32 + ".pub")).write_text(cfkeys.private(), encoding="utf-8")
    (hub / "dir.pub").mkdir()
    os.mkfifo(hub / "pipe.pub")
    (hub / "broken.pub").symlink_to("/nowhere")
    (hub / ".hub_ha.tmp").write_text("x", encoding="utf-8")
    packed = keys(state="packed")
    assert not {"skipped", "failed"} & set(packed), "Ansible itself gives these a meaning"
    reasons = dict((entry["file"], entry["reason"]) for entry in packed["left_out"])
    assert packed["count"] == 1 and len(reasons) == 10
    assert "PRIVATE" in reasons.pop("root-MD5=" + "0" * 32 + ".pub")
    assert reasons == {
        "note.pub": "its name is not USER-DIGEST.pub", "root-192.168.1.9.pub": "its name is not USER-DIGEST.pub",
        name(B): "the key inside is %s, which is not what its name says" % A["MD5"], name(OLD): "it is empty",
        "\ufffd.pub": "its name is not USER-DIGEST.pub", "big.pub": "its name is not USER-DIGEST.pub",
        "dir.pub": "it is no file", "pipe.pub": "it is no file", "broken.pub": "it is a link to nothing"}
    assert len(warned) == 2 and warned[0] == warned[1]
    assert warned[0].startswith("10 files in %s are no trusted keys and are left out: big.pub: its name" % hub)


def test_one_file_of_garbage(keys, hub, warned):
    (hub / name(B)).write_bytes(b"")
    keys(state="packed", exclude=[B["MD5"]])
    assert warned[0] == "1 file in %s is no trusted key and is left out: %s: it is empty" % (hub, name(B))


def test_what_hubs_compare_has_no_garbage_in_it(keys, hub, tmp_path):
    """Or else each run would find a difference that no run can end."""
    (hub / "note.pub").write_text("note", encoding="utf-8")
    (hub / name(OLD)).write_bytes(OLD["public"].encode()[:-30])
    (hub / name(B)).write_bytes(B["public"].replace("\n", "\r\n").encode())
    other = tmp_path / "other"
    other.mkdir()
    assert hub_loader.client_keys(str(other)) == hub_loader.client_keys(str(tmp_path / "none")) == set()
    keys(other, state="present", archive=keys(state="packed")["archive"])
    assert hub_loader.client_keys(str(hub)) == hub_loader.client_keys(str(other)) == {name(B), name(C)}


# --- thousands ----------------------------------------------------------------------------------------------------

def test_diff_of_many(keys):
    given = [{"public": cfkeys.public(1024, seed), "host": "client%d" % seed} for seed in range(30)]
    done = keys(state="present", keys=given)
    assert len(done["added"]) == 30 and done["diff"]["after"].count("\n") == 21
    assert done["diff"]["after"].endswith("\nand 10 more\n")
    done = keys(state="absent", digests=[keys_model.split_name(file)[1] for file in done["added"]])
    assert len(done["removed"]) == 30 and done["diff"]["before"].endswith("\nand 10 more\n")


def test_ten_thousand_keys(run_module, hub, tmp_path, capsys):
    """1.5 s each on a machine with nothing else to do. Here the bound is on the time that Python computes: how long the
    disk takes is the machine's affair, and tests run side by side."""
    other = tmp_path / "other"
    other.mkdir()
    given = [{"public": cfkeys.public(2048, seed), "host": "client%d" % seed} for seed in range(10000)]
    figures = []

    def timed(what, **arguments):
        wall, computing = time.monotonic(), os.times().user
        done = run_module(hub_keys, **arguments)
        figures.append((what, time.monotonic() - wall, os.times().user - computing))
        assert not done.get("failed"), done["msg"][:500]
        return done

    assert timed("present, from a list", path=str(hub), state="present", keys=given)["count"] == 10000
    packed = timed("packed", path=str(hub), state="packed")
    archive = packed["archive"]
    assert packed["count"] == 10001 and len(archive) < 5e6
    done = timed("present, from an archive", path=str(other), state="present", archive=archive)
    assert len(done["added"]) == 10001 and len(json.dumps(done["invocation"])) < 500
    done = timed("present, again", path=str(other), state="present", archive=archive)
    assert done["changed"] is False and done["present"] == 10001 and len(json.dumps(done)) < 1000
    wall, computing = time.monotonic(), os.times().user
    assert len(hub_loader.client_keys(str(other))) == 10001
    figures.append(("what hubs compare", time.monotonic() - wall, os.times().user - computing))
    with capsys.disabled():
        for what, wall, computing in figures:
            print("\n10,000 keys, %-24s %.2f s, computing %.2f s of at most 1.5 s" % (what, wall, computing), end="")
        print()
    assert max(figure[2] for figure in figures) < 1.5
