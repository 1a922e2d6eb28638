# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that run on their own (on a host, or beside the lab) and need nothing of the lab but psycopg2."""
