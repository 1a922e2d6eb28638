# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab of real hosts on one machine: systemd containers in a namespace of their own.

Run it from the root of the repository: ``python3 -m lab --help``. Everything it makes lies
below ``.cache/lab``; nothing it starts can reach any network outside the lab.
"""
