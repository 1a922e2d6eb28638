# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL on a host and its streaming replication. Knows nothing of CFEngine: any pair of servers can use it.

What runs a program takes a runner (core/run.py) or a client.Postgres that has one, and raises HubError with the
operator's words. clone_run, takeover, slots, replication_user, initdb and trial change something; look and status read
a server; evidence says whether data may follow a primary; the rest are pure functions on text.
"""
