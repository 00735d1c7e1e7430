"""Our HTTP/2 connection and `h2`'s side by side, their results in one form.

Both receive the same bytes and make the same calls; after each step both return a `Verdict`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.support.h2_goaway import read_on_after_goaway
from tests.support.http2_handler import RecordingHandler, parsed
from tests.support.policies import limits_with
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import Http2ConnectionError
from vecguard.proxy.http2.stream import Stream

#: Small enough that a few frames reach every bound, and the same for both.
LIMITS = limits_with(concurrent_streams=4, stream_window_bytes=1000, connection_window_bytes=65_535)
_BLOCK = b"\x88"


@dataclass
class Verdict:
    """The result of one step.

    Attributes:
        events: what the peer's frames meant: headers, data, resets, settings, goodbyes.
        resets: (stream, code) of each RST_STREAM that was sent.
        replies: acknowledgements that were sent.
        fatal: the code of the connection error; None while the connection lives.
    """

    events: list[tuple] = field(default_factory=list)
    resets: list[tuple[int, int]] = field(default_factory=list)
    replies: list[tuple] = field(default_factory=list)
    fatal: int | None = None

    def note_output(self, said: bytes) -> None:
        for kind, flags, stream_id, payload in parsed(said):
            if kind == frames.RST_STREAM:
                self.resets.append((stream_id, int.from_bytes(payload)))
            elif kind in {frames.PING, frames.SETTINGS} and flags & frames.ACK:
                self.replies.append((kind, payload))


class Ours:
    """Our connection, of either role."""

    def __init__(self, *, client_side: bool) -> None:
        self.handler = RecordingHandler()
        self.connection = Connection(
            self.handler, LIMITS, client_side=client_side, wake=lambda: None
        )
        self.connection.send_preface()
        self.connection.sender.take()

    def hear(self, data: bytes) -> Verdict:
        return self._done(lambda: self.connection.receive(data))

    def request(self, *, end: bool) -> int:
        """Opens a stream (client)."""
        stream = Stream(None)
        self.connection.open(stream, _BLOCK)
        if end:
            self.connection.sender.finish(stream)
        self.connection.sender.take()
        return stream.id

    def can_answer(self, stream_id: int) -> bool:
        stream = self.connection.streams.get(stream_id)
        return stream is not None and not stream.sent_end

    def answer(self, stream_id: int, *, end: bool) -> Verdict:
        stream = self.connection.streams[stream_id]
        return self._done(lambda: self.connection.sender.headers(stream, _BLOCK, end=end))

    def reset(self, stream_id: int, code: int) -> Verdict:
        stream = self.connection.streams[stream_id]
        return self._done(lambda: self.connection.reset(stream, code))

    def _done(self, act: Callable[[], None]) -> Verdict:
        verdict, before = Verdict(), len(self.handler.events)
        try:
            act()
        except Http2ConnectionError as fault:
            verdict.fatal = int(fault.code)
        verdict.note_output(self.connection.sender.take())
        verdict.events = [
            event for item in self.handler.events[before:] if (event := _ours(item)) is not None
        ]
        return verdict


def _ours(item: tuple) -> tuple | None:
    kind = item[0]
    if kind in {"sent", "finished"}:
        return None
    if kind == "stream_reset":
        return ("reset", item[1], int(item[2])) if item[3] else None
    if kind == "data":
        return ("data", item[1], bytes(item[2]), item[3])
    return item


class Oracle:
    """`h2`'s connection, without its checks of header fields."""

    def __init__(self, *, client_side: bool) -> None:
        self.h2 = H2Connection(
            H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: LIMITS.stream_window_bytes,
                SettingCodes.MAX_CONCURRENT_STREAMS: LIMITS.concurrent_streams,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        read_on_after_goaway(self.h2)
        self.h2.initiate_connection()
        self.h2.data_to_send()

    def hear(self, data: bytes) -> Verdict:
        def act() -> Sequence[Event]:
            events = self.h2.receive_data(data)
            for event in events:
                self._give_padding_back(event)
            return events

        return self._done(act)

    def request(self, *, end: bool) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, [(b":status", b"200")], end_stream=end)
        self.h2.data_to_send()
        return stream_id

    def can_answer(self, stream_id: int) -> bool:
        stream = self.h2.streams.get(stream_id)
        return (
            stream is not None
            and not stream.closed
            and stream.state_machine.state.name != "HALF_CLOSED_LOCAL"
            and self.h2.state_machine.state is not ConnectionState.CLOSED
        )

    def answer(self, stream_id: int, *, end: bool) -> Verdict:
        def act() -> Sequence[Event]:
            self.h2.send_headers(stream_id, [(b":status", b"200")], end_stream=end)
            if end and not self.h2.streams[stream_id].closed:
                # As our server does: it does not read the rest of the request.
                self.h2.reset_stream(stream_id, 0)
            return ()

        return self._done(act)

    def reset(self, stream_id: int, code: int) -> Verdict:
        def act() -> Sequence[Event]:
            self.h2.reset_stream(stream_id, code)
            return ()

        return self._done(act)

    def _done(self, act: Callable[[], Sequence[Event]]) -> Verdict:
        verdict = Verdict()
        try:
            verdict.events = [ours for event in act() if (ours := _theirs(event)) is not None]
        except ProtocolError as fault:
            verdict.fatal = int(fault.error_code)
        verdict.note_output(self.h2.data_to_send())
        return verdict

    def _give_padding_back(self, event: Event) -> None:
        # Ours does so by itself, because padding never reaches a receiver.
        if isinstance(event, DataReceived):
            padding = (event.flow_controlled_length or 0) - len(event.data or b"")
            stream = self.h2.streams.get(event.stream_id)
            if padding and stream is not None and not stream.closed:
                self.h2.acknowledge_received_data(padding, event.stream_id)


_HEADERS = (
    RequestReceived,
    ResponseReceived,
    InformationalResponseReceived,
    TrailersReceived,
)


def _theirs(event: Event) -> tuple | None:
    if isinstance(event, _HEADERS):
        fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        ended = getattr(event, "stream_ended", None) is not None
        return ("headers", event.stream_id, fields, ended)
    if isinstance(event, DataReceived):
        return ("data", event.stream_id, bytes(event.data or b""), event.stream_ended is not None)
    if isinstance(event, StreamReset) and event.remote_reset:
        return ("reset", event.stream_id, int(event.error_code))
    if isinstance(event, RemoteSettingsChanged):
        return ("settings_received",)
    if isinstance(event, ConnectionTerminated):
        return ("goaway_received", event.last_stream_id)
    return None
