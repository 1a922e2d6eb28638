# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A STAND-IN for CFEngine Enterprise's cf-hub, for the lab only: no part of the collection, no part of CFEngine.

Enterprise hubs collect reports with cf-hub, which is closed; the Community edition has no collector. To prove
that the hub which becomes active can collect from every client at once, the lab brings its own: what is real
is all that failover can break (the CFEngine protocol with the hub's own key, cf-serverd's access rules and
trust on the client, the replicated database, who is active). What is made up is the report itself, the tables
lab_* in cfdb, and the port of the calls.

Programs of their own on the hosts (Python's standard library only), started by ``python3 -m lab collector``:

- ``lab.collector.hub`` on every hub: collects while this hub is active, and takes clients' calls
- ``lab.collector.client`` on every client: keeps the report that is collected, and calls the hub
"""
