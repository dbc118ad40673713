# SPDX-License-Identifier: Apache-2.0
"""The daemon's client: HTTP over its Unix socket. Imports little, for ``ipvsadm`` starts often."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from xlvs.cli.http import Answer, HttpError, ask
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Code, Problem
from xlvs.wire import codec
from xlvs.wire.messages import (
    ConnectionView,
    DrainList,
    EditRequest,
    EditResponse,
    ErrorBody,
    MarkList,
    ServiceList,
    SettingList,
    Status,
    Timeouts,
)

if TYPE_CHECKING:
    from xlvs.model.configuration import Configuration
    from xlvs.wire.connections import (
        CloseRequest,
        CloseResult,
        ConnectionCount,
        ConnectionFilterText,
        ConnectionPage,
        CountQuery,
        PageQuery,
    )
    from xlvs.wire.explanation import ExplainRequest

PATIENCE = 120.0
"""Seconds that the daemon may take for one answer; the longest is a restore of a great table."""

_OK = 200

T = TypeVar("T")


class Client:
    """One director, by its instance's name. Every method raises Problem if it fails."""

    def __init__(self, instance: str, patience: float = PATIENCE) -> None:
        self.instance = instance
        self._patience = patience
        run = os.environ.get("XLVS_RUN", "/run/xlvs")
        self.path = os.path.join(run, f"{instance}.sock")

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        """Make edits; one entry for each: None, or why it was refused."""
        body = codec.encode(EditRequest(edits=list(edits), on_error=on_error))
        return self._decode(self._ask("POST", "/v1/edits", body), EditResponse).results

    def services(self) -> ServiceList:
        """Services and destinations with their counters."""
        return self._decode(self._ask("GET", "/v1/services"), ServiceList)

    def timeouts(self) -> Timeouts:
        """Time-outs in effect."""
        return self._decode(self._ask("GET", "/v1/timeouts"), Timeouts)

    def marks(self) -> MarkList:
        """Mark rules in their order."""
        return self._decode(self._ask("GET", "/v1/marks"), MarkList)

    def drains(self) -> DrainList:
        """Destinations that are being drained."""
        return self._decode(self._ask("GET", "/v1/drains"), DrainList)

    def settings(self) -> SettingList:
        """Every setting."""
        return self._decode(self._ask("GET", "/v1/settings"), SettingList)

    def status(self) -> Status:
        """Everything at once."""
        return self._decode(self._ask("GET", "/v1/status"), Status)

    def explain(self, request: ExplainRequest, kind: type[T]) -> T:
        """What would happen to a packet. ``kind``: Explanation, which ipvsadm does not load."""
        return self._decode(self._ask("POST", "/v1/explain", codec.encode(request)), kind)

    def plan(self, wanted: Configuration) -> list[str]:
        """What a reload with this configuration would change, in words."""
        from xlvs.wire.planning import Plan, PlanRequest  # noqa: PLC0415 - ipvsadm does without

        request = codec.encode(PlanRequest(configuration=wanted))
        return self._decode(self._ask("POST", "/v1/plan", request), Plan).changes

    def connections(self, wanted: ConnectionFilterText | None = None) -> Iterator[ConnectionView]:
        """The connection table, or what is wanted of it, as it streams in."""
        for block in self.connection_lines(wanted):
            yield from self._decode_lines(block, ConnectionView)

    def connection_page(self, query: PageQuery) -> ConnectionPage:
        """One page of the connection table; ``query.limit`` says how long."""
        from xlvs.wire.connections import ConnectionPage  # noqa: PLC0415 - ipvsadm does without

        return self._decode(
            self._ask("GET", _target("/v1/connections/page", query)), ConnectionPage
        )

    def count_connections(self, query: CountQuery) -> ConnectionCount:
        """How many connections, and who has most of them."""
        from xlvs.wire.connections import ConnectionCount  # noqa: PLC0415 - as above

        target = _target("/v1/connections/count", query)
        return self._decode(self._ask("GET", target), ConnectionCount)

    def close_connections(self, request: CloseRequest) -> CloseResult:
        """End connections."""
        from xlvs.wire.connections import CloseResult  # noqa: PLC0415 - as above

        body = codec.encode(request)
        return self._decode(self._ask("POST", "/v1/connections/close", body), CloseResult)

    def connection_lines(self, wanted: ConnectionFilterText | None = None) -> Iterator[bytes]:
        """The same as ``connections``, as NDJSON, many lines at a time."""
        answer = self._answer("GET", _target("/v1/connections", wanted), None)
        try:
            yield from answer.blocks()
        except (OSError, HttpError) as error:
            raise self._broken(error) from error
        finally:
            answer.close()

    def _ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        answer = self._answer(method, target, body)
        try:
            return answer.read()
        except (OSError, HttpError) as error:
            raise self._broken(error) from error
        finally:
            answer.close()

    def _answer(self, method: str, target: str, body: bytes | None) -> Answer:
        try:
            answer = ask(self.path, method, target, body, self._patience)
            if answer.status == _OK:
                return answer
            try:
                content = answer.read()
            finally:
                answer.close()
        except PermissionError as error:
            raise Problem(
                Code.INTERNAL, f"{self.path} is not for this user: run the command as root"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Problem(
                Code.INTERNAL,
                f"xlvsd is not running (instance {self.instance!r}, socket {self.path}): "
                "start it, or set XLVS_INSTANCE to the name of one that runs",
            ) from error
        except (OSError, HttpError) as error:
            raise self._broken(error) from error
        refusal = self._decode(content, ErrorBody)
        try:
            code = Code(refusal.code)
        except ValueError:  # a newer daemon's word
            code = Code.INTERNAL
        raise Problem(code, refusal.message, refusal.where)

    def _decode(self, content: bytes, kind: type[T]) -> T:
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
            f"xlvsd (instance {self.instance!r}) is of another version than this command: "
            f"restart it ({error})",
        )

    def _broken(self, error: Exception) -> Problem:
        return Problem(
            Code.INTERNAL,
            f"no answer from xlvsd (instance {self.instance!r}): {error!r}; see its log",
        )


def _target(path: str, query: msgspec.Struct | None) -> str:
    """A path with the query's fields that are no defaults."""
    words = {} if query is None else msgspec.to_builtins(query)
    if not words:
        return path
    from urllib.parse import urlencode  # noqa: PLC0415 - ipvsadm does without

    return f"{path}?{urlencode(words)}"


def from_environment() -> Client:
    """The client of the director that $XLVS_INSTANCE names."""
    return Client(os.environ.get("XLVS_INSTANCE", "") or "default")
