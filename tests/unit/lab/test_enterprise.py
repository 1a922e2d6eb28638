# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-in for Enterprise's package: its pure parts, and the images that stand on it."""

from __future__ import annotations

from lab import images
from lab.enterprise import package


def test_it_needs_what_debians_packages_need_but_not_these_themselves():
    found = package.depends("libpromises3 (= 3.24.1-2), e2fsprogs",
                            "postgresql-client-17, locales | locales-all, libpq5",
                            "libpq5, postgresql-client-common (>= 182~)")
    assert found == "adduser, e2fsprogs, libpq5, libpromises3 (= 3.24.1-2), openssl, python3"


def test_units_have_the_vendors_paths():
    text = package.unit("ConditionPathExists=/usr/bin/pg_ctl\nExecStart=/usr/bin/cf-hub --no-fork\n"
                        "PIDFile=/var/lib/cfengine3/state/x\nWants=cf-reactor.service\nExecStart=/usr/bin/env\n")
    assert text == ("ConditionPathExists=/var/cfengine/bin/pg_ctl\nExecStart=/var/cfengine/bin/cf-hub --no-fork\n"
                    "PIDFile=/var/cfengine/state/x\nWants=cf-reactor.service\nWants=cf-php-fpm.service\n"
                    "ExecStart=/usr/bin/env\n")


def test_a_hub_takes_its_policy_from_its_masterfiles():
    assert package.policy('ifelse( "am_policy_hub", "/usr/share/cfengine3/masterfiles",') == (
        'ifelse( "am_policy_hub", "/var/cfengine/masterfiles",')


def test_it_says_what_it_is_wherever_it_is_listed():
    assert "stand-in for the closed package, for tests only" in package.CONTROL


def test_images_know_what_they_stand_on(monkeypatch):
    assert [path.name for path in images.chain("trixie", "enterprise")] == ["enterprise", "vendor", "blank"]
    assert [path.name for path in images.chain("trixie", "single")] == ["single", "client", "blank"]
    assert images.standing_on(["vendor"]) == ["vendor", "enterprise"]
    assert images.standing_on(["blank"]) == list(images.KINDS)
    assert images.standing_on(["client"]) == ["client", "single"]
    assert set(images.recipes("bookworm")) == {"blank", "client", "single"}
    before = images.recipes("trixie")
    monkeypatch.setattr(package, "recipe", lambda: [b"another"])
    after = images.recipes("trixie")
    assert [kind for kind in images.KINDS if before[kind] != after[kind]] == ["vendor", "enterprise"]
