"""The event-stream format, as the HTML standard defines it."""

from kdclient.server_sent_events import ServerSentEvent, parse_events


def parse(text: str) -> list[ServerSentEvent]:
    return list(parse_events(text.split("\n")))


def test_event_has_its_id_type_and_data() -> None:
    assert parse("id: 3\nevent: stage_entered\ndata: {}\n\n") == [
        ServerSentEvent(id="3", event="stage_entered", data="{}")
    ]


def test_lines_of_data_are_joined() -> None:
    assert parse("data: a\ndata:b\n\n")[0].data == "a\nb"


def test_event_without_an_id_keeps_the_newest() -> None:
    first, second = parse("id: 1\ndata: a\n\nevent: progress\ndata: b\n\n")
    assert (first.id, second.id, second.event) == ("1", "1", "progress")


def test_comments_and_unknown_fields_are_passed_over() -> None:
    assert parse(": still here\n\nretry: 5\n\ndata: a\n\n") == [
        ServerSentEvent(id="", event="message", data="a")
    ]


def test_event_that_was_cut_off_is_dropped() -> None:
    assert parse("data: a\n\ndata: b") == [ServerSentEvent(id="", event="message", data="a")]


def test_id_with_a_nul_is_ignored() -> None:
    assert parse("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1].id == "1"
