# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done to a pair in several steps on several hubs, as data.

model says what a step is. switchover makes the list of one, and says what follows when it fails; both are pure. perform
does a step on the hub where it runs, hub also those that need more of the library; execute goes through a list.
"""
