# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What forbids a pair, one file for each concern: a context in, problems and notes out. all_checks.py lists them."""
