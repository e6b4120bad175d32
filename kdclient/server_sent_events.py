"""The text format of an event stream (HTML standard, "Server-sent events"), line by line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One dispatched event. `id` is the newest id the stream has named, "" if none yet."""

    id: str
    event: str
    data: str


def parse_events(lines: Iterable[str]) -> Iterator[ServerSentEvent]:
    """Read events from lines without their ends. A last event without a blank line is dropped."""
    last_id, event, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerSentEvent(id=last_id, event=event or "message", data="\n".join(data))
            event, data = "", []
            continue
        name, _, value = line.partition(":")  # a comment has an empty name
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
