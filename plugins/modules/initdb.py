#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: initdb
short_description: Makes a new PostgreSQL data directory, whole or not at all
version_added: "1.0.0"
description:
  - Runs C(initdb) in a directory beside the data directory, adds roles and databases without a server, and puts the
    result into its place by a rename. What a run that was cut off left beside it is removed.
  - A data directory that holds a database is left alone, whatever is in it; one that holds other files is refused.
  - Nothing is started.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  data_dir:
    description: The data directory. The directory above it must be there.
    type: path
    required: true
  bin_dir:
    description: Directory with C(initdb) and C(postgres).
    type: path
    required: true
  owner:
    description: Operating system user that owns the database, and name of its first superuser.
    type: str
    required: true
  group:
    description: Group of the data directory. The user's own group when not given.
    type: str
  encoding:
    description: Encoding of its databases.
    type: str
    default: SQL_ASCII
  locale:
    description: Locale of its databases.
    type: str
    default: C
  superusers:
    description: Further superusers that may log in. Through the local socket, the user of the same name is one of them.
    type: list
    elements: str
    default: [root]
  databases:
    description: Empty databases to make, owned by O(owner).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Tells whether it would be made. The programs need not be there yet.
    support: full
  diff_mode:
    description: Shows what the data directory holds before and after.
    support: full
"""

EXAMPLES = r"""
- name: A new database for the hub
  cfengine.hub_ha.initdb:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    databases: [cfdb]
"""

RETURN = r"""
data_dir:
  description: The data directory.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.initdb import Initdb, Wanted


def go(initdb, check_mode):
    """The module's result. Raises HubError, OSError."""
    result = {"changed": False, "data_dir": initdb.data_dir}
    if initdb.needed():
        result.update(changed=True, diff={"before": "no database in %s\n" % initdb.data_dir,
                                          "after": "a new, empty database in %s\n" % initdb.data_dir})
        if not check_mode:
            initdb.make()
    return result


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            data_dir=dict(type="path", required=True),
            bin_dir=dict(type="path", required=True),
            owner=dict(type="str", required=True),
            group=dict(type="str"),
            encoding=dict(type="str", default="SQL_ASCII"),
            locale=dict(type="str", default="C"),
            superusers=dict(type="list", elements="str", default=["root"]),
            databases=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    params = module.params
    wanted = Wanted(**{key: params[key] for key in ("owner", "group", "encoding", "locale", "superusers", "databases")})
    postgres = Postgres(local_runner, params["bin_dir"], params["owner"], params["group"])
    try:
        result = go(Initdb(postgres, params["data_dir"], wanted), module.check_mode)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="Making %s failed: %s" % (params["data_dir"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
