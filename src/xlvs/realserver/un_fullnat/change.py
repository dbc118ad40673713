# SPDX-License-Identifier: Apache-2.0
"""``up`` and ``down`` of un-FULLNAT. Every step is written down before it is done."""

from __future__ import annotations

import msgspec

from xlvs.model.problem import Code, Problem
from xlvs.realserver.host import Host
from xlvs.realserver.state import Store, Sysctl, UnFullnat
from xlvs.realserver.un_fullnat.programs import Programs
from xlvs.realserver.un_fullnat.routing import Routing
from xlvs.realserver.un_fullnat.wanted import UnWanted, sysctls


class UnChanger:
    """Applies changes to one host and keeps its record."""

    def __init__(self, host: Host, routing: Routing, programs: Programs, store: Store) -> None:
        self._host = host
        self._routing = routing
        self._programs = programs
        self._store = store
        self._record = store.load()

    def up(self, wanted: UnWanted) -> UnFullnat:
        """Set up, or go on with other words. Raises Problem.

        A first ``up`` that fails leaves nothing behind.
        """
        self.check(wanted)
        before = self._record.un_fullnat
        now = before or self._first(wanted)
        families = tuple(sorted({*now.families, *wanted.families}))
        try:
            now = self._keep(msgspec.structs.replace(now, families=families))
            now = self._write_sysctls(now)
            self._routing.add(wanted.interface, families, wanted.mark)
            attached = self._programs.attach(wanted, now.maps)
            return self._keep(
                msgspec.structs.replace(now, maps=attached.maps, programs=attached.programs)
            )
        except BaseException:
            if before is None:
                self.down()
            raise

    def down(self) -> UnFullnat | None:
        """Take all back; what there was. Connections that were shown their clients end."""
        what = self._record.un_fullnat
        if what is None:
            return None
        if not self._programs.detach(what.interface, clsact=what.clsact):
            self._hand_over(what.interface)
        self._routing.remove(what.interface, what.families, what.mark)
        for path, value in what.sysctls.items():
            # Somebody else's later decision stays.
            if self._host.read(path) == value.wrote:
                self._host.write(path, value.before)
        self._record.un_fullnat = None
        self._store.save(self._record)
        return what

    def _keep(self, what: UnFullnat) -> UnFullnat:
        self._record.un_fullnat = what
        self._store.save(self._record)
        return what

    def check(self, wanted: UnWanted) -> None:
        """Raise the Problem that :meth:`up` would before it changes anything."""
        before = self._record.un_fullnat
        known = self._host.interfaces()
        if wanted.interface not in known:
            raise Problem(
                Code.INVALID,
                f"there is no interface {wanted.interface} here: there are {', '.join(known)}",
                "--interface",
            )
        if before is not None:
            if (before.interface, before.mark) != (wanted.interface, wanted.mark):
                raise Problem(
                    Code.INVALID,
                    f"un-FULLNAT is on {before.interface} with mark {before.mark} already: first"
                    " `xlvs realserver down --un-fullnat`, which ends its connections",
                    "--un-fullnat",
                )
            return
        refusal = self._routing.refusal(wanted.interface, wanted.families)
        if refusal:
            raise Problem(Code.NOT_SUPPORTED, refusal, "--interface")

    def _first(self, wanted: UnWanted) -> UnFullnat:
        # The qdisc goes with the last of ours that is on it.
        tunnels = self._record.decapsulation.get(wanted.interface)
        clsact = not self._programs.has_clsact(wanted.interface) or (
            tunnels is not None and tunnels.clsact
        )
        return UnFullnat(
            interface=wanted.interface, mark=wanted.mark, families=wanted.families, clsact=clsact
        )

    def _write_sysctls(self, what: UnFullnat) -> UnFullnat:
        for path, value in sysctls(what.interface, what.families).items():
            now = self._host.read(path)
            if now is None or now == value:
                continue
            known = what.sysctls.get(path)
            noted = {path: Sysctl(known.before if known else now, value)}
            what = self._keep(msgspec.structs.replace(what, sysctls=what.sysctls | noted))
            self._host.write(path, value)
        return what

    def _hand_over(self, interface: str) -> None:
        """The qdisc, to the tunnels' programs that are still on it."""
        tunnels = self._record.decapsulation.get(interface)
        if tunnels is not None:
            self._record.decapsulation[interface] = msgspec.structs.replace(tunnels, clsact=True)
