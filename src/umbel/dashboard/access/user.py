"""User: somebody who asks the dashboard for something."""

from __future__ import annotations

import msgspec

from umbel.dashboard.access.rights import Right, Role, rights_of


class User(msgspec.Struct, frozen=True):
    """Somebody with a *name*, as the audit log will show it, and a *role*."""

    name: str
    role: Role = "viewer"

    def rights(self, *, read_only: bool = False) -> frozenset[Right]:
        """What he may do."""
        return rights_of(self.role, read_only=read_only)
