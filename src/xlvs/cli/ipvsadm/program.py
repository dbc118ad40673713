# SPDX-License-Identifier: Apache-2.0
"""One run of ipvsadm: a function of words, a director, a resolver and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol, TextIO

from xlvs.cli.ipvsadm import arguments, connections, listing, saving, usage
from xlvs.cli.ipvsadm.alike import Alike
from xlvs.cli.ipvsadm.edits import edits, key
from xlvs.cli.ipvsadm.errors import (
    FAILURE,
    NOT_LISTED,
    TRY_HELP,
    Fatal,
    Refused,
    kernel_text,
)
from xlvs.cli.ipvsadm.lines import lines, without_comments, words_of
from xlvs.cli.ipvsadm.names import Names
from xlvs.cli.ipvsadm.options import Verb
from xlvs.cli.ipvsadm.request import Request
from xlvs.cli.ipvsadm.values import address_text
from xlvs.model.edit import AnyEdit, Clear
from xlvs.model.problem import Problem
from xlvs.wire.messages import (
    ConnectionView,
    ErrorBody,
    Listing,
    LocalPools,
    Numbers,
    ServiceLine,
    SyncDaemons,
    Timeouts,
)

_AT_ONCE = 2048
"""Edits that are sent while more lines are read."""


class Batch(Protocol):
    """Edits on their way to the director (``xlvs.client.batch``)."""

    def more(self, edits: Sequence[AnyEdit]) -> None:
        """Send some."""

    def results(self) -> list[ErrorBody | None]:
        """Make all that were sent. Raises Problem."""


class Director(Protocol):
    """What ipvsadm needs of a director; ``xlvs.client.core`` has it. All raise Problem."""

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        """Make edits."""

    def batch(self, on_error: Literal["abort", "continue"]) -> Batch:
        """Many edits that are to be made together."""

    def listing(self, numbers: Numbers = "") -> Listing:
        """Services, with those counters."""

    def pools(self) -> LocalPools:
        """Pools of local addresses for FULLNAT."""

    def timeouts(self) -> Timeouts:
        """Time-outs."""

    def sync_daemons(self) -> SyncDaemons:
        """The daemons of IPVS's sync protocol."""

    def connections(self) -> Iterator[ConnectionView]:
        """The connection table."""


class Streams(Protocol):
    """Where a run reads and writes."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO


class Program:
    """One run."""

    def __init__(self, director: Director, names: Names, streams: Streams) -> None:
        self._director = director
        self._names = names
        self._streams = streams
        self._waiting: list[AnyEdit] = []
        self._batch: Batch | None = None
        self._sent = 0  # of those that wait, to the batch

    def run(self, words: Sequence[str]) -> int:
        """``ipvsadm WORDS``; the exit status."""
        return self._ending(lambda: self._command(words or ["-L"]))

    def save(self, words: Sequence[str]) -> int:
        """``ipvsadm-save [-n]``; words that are no options are passed over."""
        if any(word.startswith("-") and word != "-n" for word in words):
            self._streams.stderr.write(usage.SAVE_USAGE)
            return usage.SAVE_FAILURE
        return self.run(["-S", "-n"] if "-n" in words else ["-S"])

    def restore(self) -> int:
        """``ipvsadm-restore``: everything goes, then come the rules. It minds no words."""
        self._waiting.append(Clear())
        return self._ending(lambda: self._lines(without_comments(self._streams.stdin.read())))

    def _ending(self, work: Callable[[], int]) -> int:
        try:
            return work()
        except Fatal as fatal:
            if fatal.text:
                self._complain(fatal.text)
            return fatal.status
        except Refused as error:
            self._complain(error.text)
            return FAILURE

    def _complain(self, text: str) -> None:
        self._streams.stdout.flush()
        self._streams.stderr.write(f"{text}\n")

    def _write(self, lines: Iterable[str]) -> None:
        self._streams.stdout.writelines(lines)

    def _command(self, words: Sequence[str]) -> int:
        request = arguments.parse(words, self._names)
        if request.verb is Verb.RESTORE:
            return self._lines(self._streams.stdin.read())
        return self._do(request)

    def _lines(self, text: str) -> int:
        """Line by line, but edits that follow one another travel together."""
        status = 0
        alike = Alike(self._names)
        for line in lines(text):
            try:
                edit = alike.edit(line)
                if edit is not None:
                    self._wait([edit])
                    status = 0
                else:
                    status = self._line(line, alike, status)
            except Refused as error:
                self._send()
                self._complain(error.text)
                status = FAILURE
            except Fatal:
                self._send()
                raise
        # The status is the last line's, which may just have been sent.
        return status if self._send() else FAILURE

    def _line(self, line: str, alike: Alike, status: int) -> int:
        """The exit status then; ``status`` if there is nothing in the line."""
        found = words_of(line)
        if not found:
            return status
        request = arguments.parse(found, self._names)
        wanted = edits(request)
        if wanted:
            alike.learn(line, wanted[0])
            self._wait(wanted)
            return 0
        self._send()
        if request.verb is Verb.RESTORE:
            raise Fatal(TRY_HELP, FAILURE)
        return self._do(request)

    def _wait(self, edits: Sequence[AnyEdit]) -> None:
        """They will be made with those that follow; when there are many, they set out already."""
        self._waiting += edits
        if len(self._waiting) - self._sent >= _AT_ONCE:
            self._batch = self._batch or self._director.batch("continue")
            self._batch.more(self._waiting[self._sent :])
            self._sent = len(self._waiting)

    def _send(self) -> bool:
        """Make the waiting edits; whether the last one was made."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return True
        try:
            results = self._results(waiting)
        except Problem as problem:
            raise Refused(kernel_text(waiting[-1], problem.code, problem.message)) from problem
        for edit, error in zip(waiting, results, strict=True):
            if error is not None:
                self._complain(kernel_text(edit, error.code, error.message))
        return results[-1] is None

    def _results(self, waiting: list[AnyEdit]) -> list[ErrorBody | None]:
        batch, self._batch = self._batch, None
        sent, self._sent = self._sent, 0
        if batch is None:
            return self._director.edit(waiting, "continue")
        batch.more(waiting[sent:])
        return batch.results()

    def _do(self, request: Request) -> int:
        wanted = edits(request)
        try:
            if wanted:
                self._director.edit(wanted)
            else:
                self._show(request)
        except Problem as problem:
            if not wanted:
                raise Refused(problem.message) from problem
            raise Refused(kernel_text(wanted[-1], problem.code, problem.message)) from problem
        return 0

    def _show(self, request: Request) -> None:
        names = None if "numeric" in request.given else self._names
        match request.verb:
            case Verb.HELP:
                self._write((usage.VERSION, usage.USAGE))
                raise Fatal("", 0)
            case Verb.VERSION:
                self._write((usage.VERSION,))
                raise Fatal("", 0)
            case Verb.SAVE:
                self._write(saving.saved(self._director.listing().services, names))
            case Verb.LIST:
                self._list(request, names)
            case Verb.LIST_LOCAL_ADDRESSES:
                self._list_local_addresses(request)

    def _list(self, request: Request, names: Names | None) -> None:
        given = request.given
        if "connection" in given:
            engine = "persistent-conn" in given
            self._write(connections.listing(self._director.connections(), names, engine=engine))
        elif "timeout" in given:
            now = self._director.timeouts()
            self._write((f"Timeout (tcp tcpfin udp): {now.tcp} {now.tcp_fin} {now.udp}\n",))
        elif "daemon" in given:
            self._write(listing.daemons(self._director.sync_daemons().roles))
        else:
            style = listing.Style(
                kind=listing.kind(given),
                names=names,
                exact="exact" in given,
                sort="nosort" not in given,
            )
            everything = self._director.listing(listing.NUMBERS.get(style.kind, ""))
            shown = everything.services
            if "service-address" in given:
                shown = self._named(request, everything)
            else:
                self._write((listing.version_line(everything.table_size),))
            self._write(listing.listing(shown, style))

    def _list_local_addresses(self, request: Request) -> None:
        everything = self._director.listing()
        named = "service-address" in request.given
        shown = self._named(request, everything) if named else list(everything.services)
        names = None if "numeric" in request.given else self._names
        pools = self._director.pools().pools if any(v.service.local_pool for v in shown) else {}
        for view in shown:
            own = view.service.local_addresses or pools.get(view.service.local_pool, ())
            addresses = map(address_text, own)
            self._write(listing.local_addresses(view.service, addresses, names))

    def _named(self, request: Request, everything: Listing) -> list[ServiceLine]:
        wanted = key(request)
        found = [view for view in everything.services if view.service.key == wanted]
        if not found:
            raise Fatal("No such service", NOT_LISTED)
        return found
