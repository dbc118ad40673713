# SPDX-License-Identifier: Apache-2.0
"""The client's way to a director, and what ``ipvsadm`` asks for.

Imports little, for ``ipvsadm`` starts often.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import msgspec

from xlvs.client.http import Answer, HttpError, Sending, ask
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Code, Problem
from xlvs.wire import codec
from xlvs.wire.messages import (
    ConnectionView,
    EditRequest,
    EditResponse,
    ErrorBody,
    Listing,
    ListingHead,
    LocalPools,
    Numbers,
    ServiceLine,
    ServiceList,
    SyncDaemons,
    Timeouts,
)

if TYPE_CHECKING:
    from xlvs.client.batch import Batch

PATIENCE = 120.0
"""Seconds that the daemon may take for one answer; the longest is a restore of a great table."""

_DONE = frozenset((200, 201, 204))
_JSON: Mapping[str, str] = {"Content-Type": "application/json"}

T = TypeVar("T")


class Way(Protocol):
    """How to reach a director. ``name``: for people. ``head``: said with every request."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def head(self) -> Mapping[str, str]:
        """Header fields of every request."""

    def connect(self, patience: float) -> socket.socket:
        """A connection. Raises Problem with advice, and OSError."""


class UnixSocket:
    """A director of this machine. ``folder``: where its socket is, "": $XLVS_RUN or /run/xlvs."""

    def __init__(self, instance: str, folder: str = "") -> None:
        self.name = f"instance {instance!r}"
        self.head: Mapping[str, str] = {"Host": "xlvs"}
        folder = folder or os.environ.get("XLVS_RUN", "/run/xlvs")
        self.path = os.path.join(folder, f"{instance}.sock")

    def connect(self, patience: float) -> socket.socket:
        """A connection. Raises Problem with advice, and OSError."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.settimeout(patience)
            channel.connect(self.path)
        except PermissionError as error:
            channel.close()
            words = f"{self.path} is not for this user: run the command as root"
            raise Problem(Code.INTERNAL, words) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            channel.close()
            raise Problem(
                Code.INTERNAL,
                f"xlvsd is not running ({self.name}, socket {self.path}): "
                "start it, or set XLVS_INSTANCE to the name of one that runs",
            ) from error
        except BaseException:
            channel.close()
            raise
        return channel


class Core:
    """One director, by its instance's name or some other way.

    ``patience``: seconds that it may take for an answer to begin, or to go on.

    Every method raises Problem if it fails.
    """

    def __init__(self, way: Way | str = "default", patience: float = PATIENCE) -> None:
        self._way = UnixSocket(way) if isinstance(way, str) else way
        self._patience = patience

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        """Make edits; one entry for each: None, or why it was refused."""
        request = EditRequest(edits=list(edits), on_error=on_error)
        return self.decode(self.ask("POST", "/v1/edits", request)[1], EditResponse).results

    def batch(self, on_error: Literal["abort", "continue"]) -> Batch:
        """To make so many edits that it saves time to send them while others are thought of."""
        from xlvs.client.batch import Batch  # noqa: PLC0415 - few commands have so many

        return Batch(self, on_error)

    def services(self) -> ServiceList:
        """Services and destinations with their counters."""
        return self.get("/v1/services", ServiceList)

    def listing(self, numbers: Numbers = "") -> Listing:
        """Services and destinations as ``ipvsadm`` lists them, with those counters."""
        blocks = self.blocks(f"/v1/listing?numbers={numbers}")
        first, _, rest = next(blocks, b"").partition(b"\n")
        head = self.decode(first, ListingHead)
        lines = (self._decode_lines(block, ServiceLine) for block in chain((rest,), blocks))
        return Listing(head.table_size, chain.from_iterable(lines))

    def pools(self) -> LocalPools:
        """Pools of local addresses for FULLNAT."""
        return self.get("/v1/pools", LocalPools)

    def timeouts(self) -> Timeouts:
        """Time-outs in effect."""
        return self.get("/v1/timeouts", Timeouts)

    def sync_daemons(self) -> SyncDaemons:
        """The daemons of IPVS's sync protocol."""
        return self.get("/v1/sync/daemons", SyncDaemons)

    def connections(self) -> Iterator[ConnectionView]:
        """The connection table, as it streams in."""
        return self.lines("/v1/connections", ConnectionView)

    def lines(self, target: str, kind: type[T]) -> Iterator[T]:
        """What streams in, one by one."""
        for block in self.blocks(target):
            yield from self._decode_lines(block, kind)

    def blocks(self, target: str, head: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The lines of an answer while it comes in, many at a time."""
        answer = self._answer("GET", target, head or {}, None)
        try:
            yield from answer.blocks()
        except (OSError, HttpError) as error:
            raise self.broken(error) from error
        finally:
            answer.close()

    def get(self, target: str, kind: type[T]) -> T:
        """What is there."""
        return self.decode(self.ask("GET", target)[1], kind)

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        head: Mapping[str, str] | None = None,
    ) -> tuple[Answer, bytes]:
        """A request and its answer, whole. ``body``: what is sent as JSON, None: nothing."""
        content = None if body is None else codec.encode(body)
        answer = self._answer(method, target, head or {}, content)
        try:
            return answer, answer.read()
        except (OSError, HttpError) as error:
            raise self.broken(error) from error
        finally:
            answer.close()

    def _answer(
        self, method: str, target: str, head: Mapping[str, str], body: bytes | None
    ) -> Answer:
        kind = {} if body is None else _JSON
        try:
            channel = self._way.connect(self._patience)
            answer = ask(channel, method, target, {**self._way.head, **kind, **head}, body)
        except (OSError, HttpError) as error:
            raise self.broken(error) from error
        return self.accepted(answer)

    def begin(self, method: str, target: str, head: Mapping[str, str]) -> Sending:
        """A request whose body follows piece by piece. Raises Problem and OSError."""
        channel = self._way.connect(self._patience)
        return Sending(channel, method, target, {**self._way.head, **head})

    def accepted(self, answer: Answer) -> Answer:
        """The answer, if it is no refusal."""
        if answer.status in _DONE:
            return answer
        try:
            content = answer.read()
        except (OSError, HttpError) as error:
            raise self.broken(error) from error
        finally:
            answer.close()
        refusal = self.decode(content, ErrorBody)
        try:
            code = Code(refusal.code)
        except ValueError:  # a newer daemon's word
            code = Code.INTERNAL
        raise Problem(code, refusal.message, refusal.where)

    def decode(self, content: bytes, kind: type[T]) -> T:
        """What an answer says."""
        try:
            return codec.decode(content, kind)
        except msgspec.DecodeError as error:
            raise self._foreign(error) from error

    def _decode_lines(self, content: bytes, kind: type[T]) -> list[T]:
        try:
            return codec.decode_lines(content, kind)
        except msgspec.DecodeError as error:
            raise self._foreign(error) from error

    def _foreign(self, error: Exception) -> Problem:
        return Problem(
            Code.INTERNAL,
            f"xlvsd ({self._way.name}) is of another version than this command: "
            f"restart it ({error})",
        )

    def broken(self, error: Exception) -> Problem:
        """What is said if no answer came."""
        return Problem(
            Code.INTERNAL,
            f"no answer from xlvsd ({self._way.name}): {error!r}; see its log",
        )


def way_from_environment() -> Way:
    """To the director of $XLVS_URL, else of this machine's that $XLVS_INSTANCE names."""
    url = os.environ.get("XLVS_URL", "")
    if not url:
        return UnixSocket(os.environ.get("XLVS_INSTANCE", "") or "default")
    from xlvs.client.remote import from_environment  # noqa: PLC0415 - it brings TLS with it

    return from_environment(url)


def from_environment() -> Core:
    """The director's client that the environment names. Raises Problem."""
    return Core(way_from_environment())
