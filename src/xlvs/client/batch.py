# SPDX-License-Identifier: Apache-2.0
"""Edits that are sent while others are thought of, and are made together at the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from xlvs.client.http import HttpError, Sending
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Problem
from xlvs.wire import codec
from xlvs.wire.messages import EditRequest, EditResponse, ErrorBody

if TYPE_CHECKING:
    from xlvs.client.core import Core

_LINES = {"Content-Type": "application/x-ndjson"}


class Batch:
    """One request. Nothing is changed before ``results``, nor if that is never asked for."""

    def __init__(self, core: Core, on_error: Literal["abort", "continue"]) -> None:
        self._core = core
        self._on_error = on_error
        self._sending: Sending | None = None
        self._failure: Exception | None = None

    def more(self, edits: Sequence[AnyEdit]) -> None:
        """Send some; if that fails, ``results`` says it."""
        if self._failure is not None:
            return
        request = EditRequest(edits=list(edits), on_error=self._on_error)
        try:
            if self._sending is None:
                self._sending = self._core.begin("POST", "/v1/edits", _LINES)
            self._sending.send(codec.encode(request) + b"\n")
        except (OSError, Problem) as error:
            self._failure = error

    def results(self) -> list[ErrorBody | None]:
        """Make them; as of ``Core.edit``. Raises Problem."""
        self.more(())
        if self._sending is None:
            failure = self._failure or HttpError("nothing was sent")
            raise failure if isinstance(failure, Problem) else self._core.broken(failure)
        try:
            with suppress(OSError):  # it may have been refused already
                self._sending.end()
            answer = self._core.accepted(self._sending.answer())
        except (OSError, HttpError) as error:
            raise self._core.broken(self._failure or error) from error
        try:
            content = answer.read()
        except (OSError, HttpError) as error:
            raise self._core.broken(error) from error
        finally:
            answer.close()
        return self._core.decode(content, EditResponse).results

    def close(self) -> None:
        """Do without."""
        if self._sending is not None:
            self._sending.close()
