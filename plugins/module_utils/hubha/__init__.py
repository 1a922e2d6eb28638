# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The library of the pair: the same tree is module_utils of the collection and the program ``hub-ha`` on each hub.

Relative imports only, Python 3.9 and its standard library. Arrows go one way; those beside each other do not see each other:

    core <- pg, cluster, host <- cfengine <- facts, pair <- plan, health <- ops <- agent

pg and cluster know nothing of CFEngine: they are of use to others, too.
"""
