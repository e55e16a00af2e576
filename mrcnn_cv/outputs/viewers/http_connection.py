"""A connection to the server of --serve: uvicorn's, with the limits on time and number that it leaves to a proxy.

uvicorn waits without end for a request that has begun and for a reader that takes nothing, and its own limit on
connections counts those that say nothing, so that they keep everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = 128
HEAD_SECONDS = 10.0
SEND_SECONDS = 15.0
"""A reader that takes nothing for so long is gone."""


class Connection(H11Protocol):
    """asking: all connections whose request is not complete, the oldest first."""

    def __init__(self, config: Config, server_state: ServerState, asking: dict[Connection, None]) -> None:
        super().__init__(config, server_state, {})
        self._asking = asking
        self._ask_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Where there are too many connections, end the one that has been asking longest."""
        super().connection_made(transport)
        # uvicorn then waits until all is on its way, so that nobody has more than one image on our side.
        transport.set_write_buffer_limits(high=0)
        self._asking[self] = None
        self._ask_timer = self.loop.call_later(HEAD_SECONDS, transport.abort)
        oldest = next(iter(self._asking))
        if len(self.connections) > MAX_CONNECTIONS and oldest is not self:
            del self._asking[oldest]
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Look whether the request is complete now."""
        super().data_received(data)
        if self.cycle is not None:
            self._has_asked()

    def send_400_response(self, msg: str) -> None:
        """What comes behind a request that is being answered makes no other answer, which would be a defect to tell."""
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
        else:
            self.cycle.disconnected = True
            self.transport.abort()

    def pause_writing(self) -> None:
        """What was sent last is not on its way yet."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Now it is."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hold nothing of it."""
        super().connection_lost(exc)
        self._has_asked()
        if self._send_timer is not None:
            self._send_timer.cancel()

    def _has_asked(self) -> None:
        self._asking.pop(self, None)
        if self._ask_timer is not None:
            self._ask_timer.cancel()


def abort(state: ServerState, *, only_stuck: bool = False) -> None:
    """End connections, or those alone that have not taken what was sent."""
    for connection in list(state.connections):
        if isinstance(connection, Connection) and (connection.flow.write_paused or not only_stuck):
            connection.transport.abort()
