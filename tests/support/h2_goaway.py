"""GOAWAY for connections of the `h2` library."""

from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from hyperframe.frame import Frame, GoAwayFrame


def read_on_after_goaway(h2: H2Connection) -> None:
    """Lets open streams go on: by its own rules h2 reads nothing after a GOAWAY."""
    h2._frame_dispatch_table[GoAwayFrame] = _received


def _received(frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
    event = ConnectionTerminated()
    event.error_code = frame.error_code
    event.last_stream_id = frame.last_stream_id
    return [], [event]
