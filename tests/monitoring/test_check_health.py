"""Why is this account silent? What the doctor says of an integration's last hours."""

import logging
from dataclasses import replace

import pytest
from helpers import Ask, Salesbot, let_pass
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.conversations.money import Paid
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import ContinuedWithFailure, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.monitoring.alerts import Alerts
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.monitoring.check_ai import check_ai
from kommo_bridge.monitoring.check_health import check_health
from kommo_bridge.monitoring.watch import LOOK_KEY, Watch
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.health import MAX_REASON, read_health
from kommo_bridge.telemetry.outage import Outage
from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Status
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH


def lines(settings: Settings, integration: Integration) -> dict[str, Finding]:
    return {one.subject: one for one in check_health(Context(integration, settings, "", ""))}


def test_nothing_has_happened_yet(settings: Settings, acme: Integration) -> None:
    found = lines(settings, acme)

    assert {name: one.state for name, one in found.items()} == {
        "caps": "ok",
        "last answer": "warning",
        "refused": "ok",
    }


def test_the_last_answer_and_the_last_failure(
    parts: Parts, ask: Ask, ai: StandInAI, settings: Settings, acme: Integration
) -> None:
    ai.faults.order(openai_error(401, "invalid_api_key"), times=1)
    with pytest.raises(ContinuedWithFailure):
        answer(ask(entity_id=1), parts)

    failing = lines(settings, acme)
    answer(ask(entity_id=2), parts)
    well = lines(settings, acme)

    assert failing["last failure"].state == "fault"
    assert "401 invalid_api_key" in failing["last failure"].text
    assert "failing since" in failing["last failure"].text
    assert (well["last answer"].state, well["last failure"].state) == ("ok", "ok")
    assert "ago" in well["last answer"].text or "now" in well["last answer"].text


def test_a_token_that_has_ended_is_the_last_failure(
    parts: Parts, ask: Ask, kommo: StandInKommo, settings: Settings, acme: Integration
) -> None:
    kommo.faults.order(Status(401), times=None)
    with pytest.raises(KommoError):
        answer(ask(), parts)

    assert "Kommo answered 401" in lines(settings, acme)["last failure"].text


def test_an_ai_that_was_too_slow_is_the_last_failure(
    parts: Parts, ask: Ask, queue: JobQueue, settings: Settings, acme: Integration
) -> None:
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 121)
    with pytest.raises(ContinuedWithFailure):
        answer(request, parts)

    found = lines(settings, acme)["last failure"]

    assert found.state == "fault"
    assert "no reply before the deadline" in found.text


def test_a_reason_of_any_length_takes_little_of_redis(parts: Parts, redis: Redis) -> None:
    parts.steps.sender.incidents.note("acme/1", reason="x" * 100_000)

    assert len(read_health(redis, ["acme/1"])[0].failed_because) == MAX_REASON


def test_requests_refused_lately_are_shown_with_reason_time_and_number(
    settings: Settings, acme: Integration, store: IntegrationStore, salesbot: Salesbot
) -> None:
    """The secret in Kommo is another one; half an hour later the doctor still says so."""
    store.save(replace(acme, secret_key="another-secret-" * 5))
    client = create_app(settings).test_client()
    for number in range(3):
        content_type, body = salesbot.write(number)
        refused = client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)
        assert refused.status_code == 401

    found = lines(settings, acme)["refused"]

    assert found.state == "warning"
    assert "invalid_token, 3 or more, last " in found.text
    assert "signature does not fit: the stored secret_key" in found.text


def test_a_reached_cap_is_a_fault_and_an_alert_until_it_is_raised(
    parts: Parts,
    ask: Ask,
    settings: Settings,
    acme: Integration,
    store: IntegrationStore,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A capped account hands over every customer until midnight: that must be told."""
    watch = Watch(redis, store, Alerts(redis, None), Outage(logging.getLogger(), "redis"))
    capped = replace(acme, tokens_per_day=1)
    answer(ask(entity_id=1), parts)
    store.save(capped)
    answer(ask(entity_id=2), parts)  # over the cap: handed over

    sent = watch.look(1_800_000_000)
    found = lines(settings, capped)["caps"]
    store.save(acme)
    redis.delete(LOOK_KEY)
    sent += watch.look(1_800_000_010)

    assert sent == ["cap_reached alert", "cap_reached resolved"]
    alert = next(one for one in caplog.records if one.getMessage() == "alert")
    assert f"{integration_name(acme)} (tokens_per_day " in str(vars(alert)["fields"]["text"])
    assert found.state == "fault"
    assert "tokens_per_day is reached" in found.text
    assert "set acme tokens_per_day=" in found.text


def test_the_reply_that_reaches_the_cap_is_noted_at_once(
    parts: Parts, ask: Ask, acme: Integration, store: IntegrationStore, redis: Redis
) -> None:
    store.save(replace(acme, replies_per_day=1))

    answer(ask(), parts)

    assert "cap_reached" in parts.steps.sender.incidents.read()
    watch = Watch(redis, store, Alerts(redis, None), Outage(logging.getLogger(), "redis"))
    assert watch.look(1_800_000_000) == ["cap_reached alert"]


def test_the_ai_is_asked_with_the_instructions_of_the_integration(
    settings: Settings, acme: Integration, ai: StandInAI
) -> None:
    """Instructions that are too long fail for every customer; a short question would be fine."""
    instructed = replace(acme, instructions="Our opening hours are from nine to five.")

    [found] = check_ai(Context(instructed, settings, "", ""))

    assert found.state == "ok"
    assert "from nine to five" in str(ai.requests[-1])


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "invalid_api_key", "check the key"),
        (404, "model_not_found", "check model and base URL"),
        (400, "context_length_exceeded", "check key, model, base URL and the length of the instr"),
        (429, "insufficient_quota", "its limit or quota is used up: wait, or raise it there"),
        (500, None, "that server has a fault of its own: look at its log, or try later"),
    ],
)
def test_a_refusal_of_the_ai_is_told_with_its_words_the_url_and_what_to_do(
    settings: Settings,
    acme: Integration,
    ai: StandInAI,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str | None,
    advice: str,
) -> None:
    ai.faults.order(openai_error(status, code, "Your plan\n ended."), times=None)
    url = ai.base_url.replace("://", "://user:hidden@")
    caplog.set_level(logging.DEBUG, "kommo_bridge")

    [found] = check_ai(Context(replace(acme, ai_base_url=url, model="m"), settings, "", ""))

    assert found.state == "fault"
    assert f"the AI answered {status}" in found.text
    assert f"({ai.base_url}, model m), in its words: Your plan ended.: {advice}" in found.text
    assert "hidden" not in found.text
    assert "Your plan" not in caplog.text


def test_an_ai_that_nobody_answers_for_is_told_with_its_url(
    settings: Settings, acme: Integration, silent_port: int
) -> None:
    url = f"http://127.0.0.1:{silent_port}/v1"

    [found] = check_ai(Context(replace(acme, ai_base_url=url), settings, "", ""))

    assert f"({url}, model stand-in): is that server up" in found.text


def test_without_any_key_the_settings_that_are_missing_are_named(
    settings: Settings, acme: Integration
) -> None:
    without = replace(settings, openai_api_key=None, openai_base_url=None)

    [found] = check_ai(Context(acme, without, "", ""))

    assert found.text.endswith("set OPENAI_API_KEY, or the integration's ai_api_key or ai_base_url")


def test_a_message_that_waits_behind_an_undelivered_answer_says_so(
    parts: Parts, ask: Ask, kommo: StandInKommo, caplog: pytest.LogCaptureFixture
) -> None:
    kommo.faults.order(Status(503), times=1)
    first = ask("Hello")
    assert answer(first, parts) is not None

    with caplog.at_level(logging.INFO):
        answer(ask("Are you there?"), parts)

    [line] = [one for one in caplog.records if one.getMessage() == "waits behind another answer"]
    assert vars(line)["fields"]["behind"] == first.job_id


def test_the_second_ai_is_asked_too(settings: Settings, acme: Integration) -> None:
    with StandInAI(api_key="sk-second") as spare:
        both = replace(settings, fallback_openai_base_url=spare.base_url)

        first, second = check_ai(Context(acme, both, "", ""))

    assert (first.subject, first.state) == ("AI", "ok")
    assert (second.subject, second.state) == ("second AI", "fault")
    assert f"({spare.base_url}, model stand-in)" in second.text


def test_caps_on_money_are_told_in_money_and_need_prices(
    settings: Settings, acme: Integration, ask: Ask, redis: Redis
) -> None:
    capped = replace(acme, money_per_day=1.5, currency="EUR")
    priced = replace(capped, price_input=1.0, price_output=1.0)
    unknown = lines(settings, capped)["caps"]
    Usage(redis).count(ask(), priced, Paid(2_000_000))

    reached = lines(settings, priced)["caps"]

    assert unknown.state == "warning"
    assert "set price_input and price_output" in unknown.text
    assert "money_per_day is reached (2.00 EUR of 1.50 EUR)" in reached.text
