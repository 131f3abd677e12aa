"""What Redis keeps of a conversation: each thing that is written is what is read again."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from pictures import SORRY, YES, T, picture, rules, text, turn
from redis import Redis

from kommo_bridge.answers.changes import Changes, commands_of
from kommo_bridge.answers.conversation import SKIP, Message, Outcome, Turn
from kommo_bridge.answers.record import (
    OPEN_KEY,
    RECORD_FIELDS,
    close_record,
    kept_seconds,
    message_of,
    number_of,
    record_fields,
    record_key,
    request_text,
    text_value,
    texts_kept_seconds,
)
from kommo_bridge.answers.retries import HOLD, SWEEP_MARGIN
from kommo_bridge.answers.view import View, read_view
from kommo_bridge.conversations.keys import person_digest
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

DAY = 24 * 3600
REQUEST = WidgetRequest(
    integration_id="0b01c2d3",
    account_id=12345678,
    subdomain="acme",
    entity_type="2",
    entity_id=7,
    return_url="https://acme.kommo.com/api/v4/salesbot/1/continue/2",
    message="¿Abren hoy?",
    delivery="json",
    contact_name="Ana",
    chat_id="c-1",
    accepted_at=T,
)
NOTHING: list[bytes | None] = [None] * len(RECORD_FIELDS)
EVERYTHING = Message(
    "a",
    T,
    "Hi",
    own=False,
    outcome=SORRY,
    unknown_since=T + 1.5,
    failures=2,
    next_at=T + 3.25,
    called_at=T + 4.125,
    plain=True,
)


def as_redis_has_it(message: Message) -> list[bytes | None]:
    """A message's record in the order of `RECORD_FIELDS`."""
    kept = {"request": "{}", **record_fields(message)}
    return [
        None if (one := kept.get(name)) is None else str(one).encode() for name in RECORD_FIELDS
    ]


class TestRecords:
    @pytest.mark.parametrize(
        "message",
        [
            EVERYTHING,
            Message("a", T, "Hi"),
            Message("a", T, "", outcome=YES),
            Message("a", T, "", outcome=SKIP),
            Message("a", T, "", state="continued"),
            Message("a", T, "", state="given_up", outcome=YES),
        ],
    )
    def test_a_message_is_read_as_it_was_kept(self, message: Message) -> None:
        kept = json.dumps({"text": message.text, "chat_id": "c-1", "own": message.own, "at": T})

        found = message_of("a", f"{T * 1_000_000:.0f}|{kept}".encode(), as_redis_has_it(message))

        assert found == (message, "c-1")

    def test_the_words_of_one_that_is_told_are_not_kept_longer(self) -> None:
        assert record_fields(Message("a", T, state="continued", outcome=YES))["outcome"] is None

    def test_words_are_kept_as_they_are_written(self) -> None:
        kept = record_fields(Message("a", T, outcome=Outcome("success", "Sí, ¿y usted?")))

        assert "Sí, ¿y usted?" in kept["outcome"]

    def test_a_text_may_hold_the_sign_that_parts_it_from_its_number(self) -> None:
        found, _ = message_of("a", b'1000000|{"text": "a|b"}', NOTHING)

        assert (found.text, found.at) == ("a|b", 1.0)

    def test_a_text_that_says_no_more_is_of_our_own_widget_and_of_nobody(self) -> None:
        assert message_of("a", b"1000000|{}", NOTHING) == (Message("a", 1.0), "")

    def test_the_records_request_has_neither_words_nor_name(self) -> None:
        kept = json.loads(request_text(replace(REQUEST, origin="waba ñ")))

        assert WidgetRequest.from_job(kept) == replace(
            REQUEST, message="", contact_name="", origin="waba ñ"
        )
        assert "waba ñ" in request_text(replace(REQUEST, origin="waba ñ"))

    @pytest.mark.parametrize(
        ("message", "delivery", "kept", "own"),
        [
            ("¿Abren hoy?", "json", "¿Abren hoy?", True),
            ("{{message_text}}", "json", "", True),
            ("Hi", "show", "Hi", False),
            ("Hi", None, "Hi", False),
        ],
    )
    def test_a_text_is_kept_with_its_person(
        self, message: str, delivery: str | None, kept: str, own: bool
    ) -> None:
        value = text_value(replace(REQUEST, message=message, delivery=delivery))

        assert json.loads(value) == {"text": kept, "chat_id": "c-1", "own": own, "at": T}
        assert kept in value

    def test_its_number_is_when_it_was_accepted(self) -> None:
        assert number_of(replace(REQUEST, accepted_at=1000.25)) == "1000250000"

    @pytest.mark.parametrize(
        ("token_lives", "kept"), [(60, DAY), (2 * DAY, 2 * DAY + 120), (30 * DAY, 7 * DAY)]
    )
    def test_a_record_lives_as_long_as_a_token_can_come_again(
        self, token_lives: int, kept: int
    ) -> None:
        seconds = kept_seconds(replace(REQUEST, expires_at=time.time() + token_lives))

        assert kept - 60 <= seconds <= kept

    def test_texts_outlive_the_last_call(self) -> None:
        assert texts_kept_seconds(900.9) == 3600 + 900

    @pytest.mark.parametrize(
        ("field", "decides"), [(None, False), ("uncertain", True), ("settled", True)]
    )
    def test_a_skip_of_the_first_version_decides_when_it_has_left_or_its_text_is_gone(
        self, field: str | None, decides: bool
    ) -> None:
        skip = {"status": "skip", "reply": "", "error": "", "silent": True, "reason": ""}
        kept = {"outcome": json.dumps(skip).encode(), field: b"1000.0"}

        message, _ = message_of("a", b"1000000|{}", [kept.get(name) for name in RECORD_FIELDS])

        assert message.let_go is decides

    def test_one_that_has_ended_stays_as_it_ended(self, redis: Redis) -> None:
        redis.hset(record_key("a"), mapping={"state": "continued", "error": "no reply"})

        close_record(redis, "a", "no way")

        assert redis.hgetall(record_key("a")) == {b"state": b"continued", b"error": b"no reply"}

    def test_one_that_cannot_be_worked_on_is_given_up(self, redis: Redis) -> None:
        redis.zadd(OPEN_KEY, {"a": 1, "b": 1})

        close_record(redis, "a", "no way")

        kept = {b"state": b"given_up", b"error": b"no way"}
        assert redis.hgetall(record_key("a")) == kept
        assert redis.zrange(OPEN_KEY, 0, -1) == [b"b"]


def look(
    *,
    mine: int = 1,
    kept: int = 1,
    marks: Any = (0, 0, None),
    counted: Any = (None,) * 6,
    own: Any = (None, None, None, None),
    turns: bytes | None = None,
    texts: Any = (),
    records: Any = (),
    person: str = "",
) -> View:
    """What a look shows when `state.lua` returns this."""
    found = [mine, kept, 1000, 250_000, marks, counted, own, turns, list(texts), list(records)]
    integration = Integration("0b01c2d3", "acme", secret_key="s", tokens_per_day=50)
    return read_view(found, integration, rules(), person)


def kept_text(person: str = "", at: int = 1) -> bytes:
    return f"{at}000000|{json.dumps({'text': 'Hi', 'chat_id': person})}".encode()


def open_record(**changes: Any) -> list[bytes | None]:
    return as_redis_has_it(Message("any", T, **changes))


class TestView:
    def test_an_empty_conversation(self) -> None:
        assert look() == View(conversation=picture(), now=1000.25, requests={})

    def test_what_is_not_ours_is_said(self) -> None:
        assert look(mine=0).mine is False
        assert look(kept=0).kept is False

    @pytest.mark.parametrize(
        ("marks", "seen"),
        [
            ((1, 0, None), (True, False, None)),
            ((0, 1, None), (False, True, None)),
            ((0, 0, b"1"), (False, False, True)),
            ((0, 0, b"0"), (False, False, False)),
        ],
    )
    def test_the_marks_of_a_conversation(self, marks: Any, seen: Any) -> None:
        found = look(marks=marks).conversation

        assert (found.paused, found.no_text_said, found.tagged) == seen

    def test_the_cap_that_is_reached(self) -> None:
        assert look(counted=(None, None, b"49", None, None, None)).conversation.cap == ""
        assert (
            look(counted=(None, None, b"50", None, None, None)).conversation.cap == "tokens_per_day"
        )

    def test_what_became_of_the_jobs_own_request(self) -> None:
        view = look(own=(b"given_up", b"no reply", b"1", b"3"))

        assert (view.ended, view.error, view.reported, view.looked_at) == (
            "given_up",
            "no reply",
            True,
            3,
        )

    def test_turns_are_read_as_they_were_kept(self) -> None:
        kept = (turn("a", "b", asked=2, outcome=YES, failed_at=T), turn("c", error="e"))
        commands = commands_of(Changes(turns=kept), look(), "entity", "")
        written = next(str(one[3]) for one in commands if one[0] == "HSET")
        newer = [{**one, "colour": "red"} for one in json.loads(written)]

        assert look(turns=json.dumps(newer).encode()).conversation.turns == kept

    def test_messages_are_of_one_person_and_in_the_order_of_their_arrival(self) -> None:
        person = person_digest("c-1")
        view = look(
            texts=[b"x", kept_text("c-2"), b"b", kept_text("c-1", 2), b"a", kept_text("c-1", 1)],
            records=[open_record(), open_record(), open_record()],
            person=person,
        )

        assert [one.job_id for one in view.conversation.messages] == ["a", "b"]
        assert view.requests == {"a": b"{}", "b": b"{}"}
        assert view.stale == ()

    def test_texts_that_nobody_needs_are_named_and_not_seen(self) -> None:
        names = [b"forgotten", b"ended", b"other", b"in-turn", b"waits"]
        view = look(
            texts=[one for name in names for one in (name, kept_text(at=len(name)))],
            records=[
                NOTHING,
                open_record(state="continued"),
                open_record(state="given_up"),
                open_record(state="continued"),
                open_record(),
            ],
            turns=json.dumps([{"job_ids": ["in-turn", "waits"]}]).encode(),
        )

        assert view.stale == ("forgotten", "ended", "other")
        assert [one.job_id for one in view.conversation.messages] == ["waits", "in-turn"]

    def test_the_request_of_a_message(self) -> None:
        record = [json.dumps(REQUEST.to_job()).encode(), *NOTHING[1:]]

        assert look(texts=[b"a", kept_text()], records=[record]).request_of("a") == REQUEST

    def test_a_person_is_no_part_of_a_key_as_it_was_sent(self) -> None:
        assert person_digest("") == ""
        assert person_digest("c-1") != person_digest("c-2")
        assert len(person_digest("x" * 2000)) == 16


def commands(
    *seen: Message,
    turns: tuple[Turn, ...] = (),
    turns_after: tuple[Turn, ...] | None = None,
    **changes: Any,
) -> list[Any]:
    """The commands for these changes in a conversation of these messages and turns."""
    view = View(conversation=picture(*seen, turns=turns), now=T)
    return commands_of(Changes(turns=turns_after, **changes), view, "entity", "person")


def of(name: str, found: list[Any]) -> list[Any]:
    return [one[1:] for one in found if one[0] == name]


class TestChanges:
    def test_nothing_changes_nothing(self) -> None:
        assert commands(text("a")) == [("OF", "")]

    def test_a_message_is_guarded_by_its_record_and_what_follows_is_not(self) -> None:
        found = commands(text("a"), messages=(text("a", failures=1),), tagged=True)

        assert found[0] == ("OF", record_key("a"))
        assert [one[0] for one in found[:4]] == ["OF", "HDEL", "HSET", "ZADD"]
        assert found[4] == ("OF", "")
        assert found[5][0] == "SET"

    def test_messages_and_turns_change_together(self) -> None:
        found = commands(text("a"), messages=(text("a", failures=1),), turns_after=(turn("a"),))

        assert [one[0] for one in found] == ["OF", "HDEL", "HSET", "ZADD", "OF", "HSET", "EXPIRE"]

    def test_fields_without_a_value_are_taken_away(self) -> None:
        found = commands(text("a"), messages=(replace(EVERYTHING, unknown_since=None),))

        assert of("HDEL", found) == [(record_key("a"), "state", "uncertain")]
        assert of("HSET", found)[0][:1] == (record_key("a"),)
        assert "failures" in of("HSET", found)[0]

    def test_one_that_has_nothing_to_keep_writes_nothing(self) -> None:
        assert of("HSET", commands(text("a"), messages=(text("a"),))) == []

    @pytest.mark.parametrize(
        ("next_at", "hold", "look_at"),
        [(0.0, HOLD, T + HOLD), (0.0, 15.0, T + 15), (T + 60, HOLD, T + 60)],
    )
    def test_the_sweep_looks_when_nobody_works_on_it_any_more(
        self, next_at: float, hold: float, look_at: float
    ) -> None:
        found = commands(text("a"), messages=(text("a", next_at=next_at),), hold=hold)

        assert of("ZADD", found) == [(OPEN_KEY, "XX", f"{look_at + SWEEP_MARGIN:.3f}", "a")]
        assert of("ZREM", found) == []

    def test_one_that_has_ended_is_looked_for_no_more_and_its_text_goes(self) -> None:
        ended = text("a", state="continued")

        found = commands(text("a"), text("b"), messages=(ended,), error="no reply")

        assert of("ZREM", found) == [(OPEN_KEY, "a")]
        assert of("ZADD", found) == []
        assert of("HDEL", found)[-1][-1:] == ("a",)
        assert of("HDEL", found)[-1][0].endswith("entity:texts")
        assert (record_key("a"), "error", "no reply") in of("HSET", found)

    def test_only_who_has_ended_is_told_why(self) -> None:
        found = commands(text("a"), messages=(text("a", outcome=SKIP),), error="no reply")

        assert all("error" not in one for one in of("HSET", found))

    def test_a_text_that_a_turn_still_needs_stays(self) -> None:
        ended = text("a", state="given_up")

        assert of("HDEL", commands(ended, turns=(turn("a", "b"),))) == []
        assert of("HDEL", commands(ended, turns=(turn("a"),), turns_after=()))[-1][-1:] == ("a",)

    def test_stale_texts_go_with_the_next_change(self) -> None:
        view = View(conversation=picture(text("a")), now=T, stale=("x", "y"))

        assert of("HDEL", commands_of(Changes(), view, "entity", ""))[0][1:] == ("x", "y")

    def test_turns_live_longer_than_the_last_call(self) -> None:
        found = commands(turns_after=(turn("a", error="¿por qué?"),))

        key, person, kept = of("HSET", found)[0]
        assert key.endswith("entity:open")
        assert (person, json.loads(kept)[0]["job_ids"]) == ("person", ["a"])
        assert "¿por qué?" in kept
        assert of("EXPIRE", found) == [(key, texts_kept_seconds(900))]

    def test_without_a_turn_nothing_is_left_of_them(self) -> None:
        found = commands(turns=(turn("a"),), turns_after=())

        assert [one[1:] for one in of("HDEL", found)] == [("person",)]

    @pytest.mark.parametrize(("hours", "milliseconds"), [(2, 7_200_000), (1e-9, 1)])
    def test_a_hand_over_pauses_the_entity_and_says_why(
        self, hours: float, milliseconds: int
    ) -> None:
        (key, *rest), *_ = of("SET", commands(pause_hours=hours, reason="asked for it"))

        assert key.endswith("entity:pause")
        assert rest == ["asked for it", "PX", milliseconds]

    def test_who_was_asked_to_write_is_one_person(self) -> None:
        (key, *rest), *_ = of("SET", commands(no_text_said=True))

        assert key.endswith("entity:no_text:person")
        assert rest == ["1", "EX", 180]

    @pytest.mark.parametrize(("tagged", "kept"), [(True, "1"), (False, "0")])
    def test_the_tag_is_remembered_for_a_moment(self, tagged: bool, kept: str) -> None:
        (key, *rest), *_ = of("SET", commands(tagged=tagged))

        assert key.endswith("entity:tagged")
        assert rest == [kept, "EX", 4]
