# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A STAND-IN for CFEngine Enterprise's hub package, which is closed: for the lab only, no part of the collection.

``lab.enterprise.package`` builds it on this machine out of Debian's packages of CFEngine and PostgreSQL; nothing of
them is kept in the project. docs/lab-enterprise.md says what is real in it and what is not.
"""
