# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Would the kernel give a PostgreSQL server its shared memory once the one that runs has given its own back? Pure,
but for pools().

The rule is the kernel's (mm/util.c, __vm_enough_memory): with vm.overcommit_memory 0 one mapping may be as large as
memory and swap together, whatever else is in use; with 2 what is promised to all may not exceed the commit limit; with 1
nothing is refused. Huge pages are taken from their own pool, of which there is one for each size.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional

from ..core.files import read_text

MB = 1 << 20
HUGE_PAGES = "/sys/kernel/mm/hugepages"


@dataclass(frozen=True)
class Machine:
    """Memory of a machine in bytes. overcommit: vm.overcommit_memory. huge: all huge pages of the
    usual size that there may be. pools: {size of a page in kB, in digits: all pages of that size that there may be}."""

    total: int
    swap: int
    overcommit: int
    commit_limit: int
    committed: int
    huge: int
    pools: Mapping[str, int] = field(default_factory=dict)


def machine(meminfo: str, overcommit: str, huge_overcommit: str = "0",
            sizes: Optional[Mapping[str, int]] = None) -> Machine:
    """Out of /proc/meminfo, /proc/sys/vm/overcommit_memory and /proc/sys/vm/nr_overcommit_hugepages. sizes: pools()."""
    values = {name: int(number) for name, number in re.findall(r"(?m)^(\w+):\s+(\d+)", meminfo)}
    pages = values.get("HugePages_Total", 0) + _number(huge_overcommit)
    return Machine(values.get("MemTotal", 0) << 10, values.get("SwapTotal", 0) << 10, _number(overcommit),
                   values.get("CommitLimit", 0) << 10, values.get("Committed_AS", 0) << 10,
                   pages * (values.get("Hugepagesize", 0) << 10), dict(sizes or {}))


def pools(folder: str = HUGE_PAGES) -> Dict[str, int]:
    """{size of a page in kB, in digits: bytes} of the huge pages that this machine may give, {} where there are none."""
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        size = re.fullmatch(r"hugepages-(\d+)kB", name)
        if size:
            pages = [_number(read_text(os.path.join(folder, name, file)) or "")
                     for file in ("nr_hugepages", "nr_overcommit_hugepages")]
            found[size.group(1)] = sum(pages) * (int(size.group(1)) << 10)
    return found


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0


def fits(need: int, where: Machine, held: int = 0, huge_pages: str = "try", page_size: str = "0") -> bool:
    """True when a server that needs so many bytes of shared memory would get them after the one that runs has ended.

    held: bytes that the running one gives back. huge_pages: the setting; only with "on" nothing else will do.
    page_size: huge_page_size in kB; "0", or "" where a version has no such setting, is the usual size.
    """
    if huge_pages == "on":
        return need <= (where.huge if page_size in ("", "0") else where.pools.get(page_size, 0))
    if where.overcommit == 2:
        return need <= where.commit_limit - where.committed + held
    return need <= where.total + where.swap
