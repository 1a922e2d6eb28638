# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pacemaker CIB as plain data: wanted objects and a current CIB in, a new CIB and a readable diff out.

Pure functions, no input or output. The life of a change is::

    wanted = normalise(module_parameters)
    before = parse(text_of_cibadmin_query)
    after, notes = edit(before, wanted)         # before is not touched
    if differs(before, after): diff(before, after, wanted)

Ownership: an object is owned when its id is given, an nvpair when its set was given. Everything else in the CIB
(other ids, the status section, attributes that agents write, comments) is copied as it is.
"""
