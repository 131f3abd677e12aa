"""The widget request: three body shapes, one rule for the return URL, and refusals only."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from kommo_bridge.errors import InvalidRequest, InvalidReturnUrl, RefusedRequest
from kommo_bridge.kommo.body import MAX_BODY_BYTES, parse_body
from kommo_bridge.kommo.return_url import check_return_url
from kommo_bridge.kommo.tokens import BotClaims
from kommo_bridge.kommo.widget_request import (
    MAX_MESSAGE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    WidgetRequest,
    build_widget_request,
)

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
HOST = "acme.kommo.com"
PATH = "/api/v4/salesbot/321/continue/123"
RETURN_URL = f"https://{HOST}{PATH}"
CLAIMS = BotClaims("0b01c2d3-0000-4000-8000-00000000456c", 12345678, "acme", "2", 26818280, 2e9)
NO_EXTRA: frozenset[str] = frozenset()


def build(data: object, return_url: object = RETURN_URL) -> WidgetRequest:
    body = {"token": "x", "data": data, "return_url": return_url}
    return build_widget_request(body, CLAIMS, host=HOST, extra_hosts=NO_EXTRA, accepted_at=1e9)


def accepts(url: object, extra_hosts: frozenset[str] = NO_EXTRA) -> bool:
    try:
        return check_return_url(url, HOST, extra_hosts) == url
    except RefusedRequest:
        return False


# The body


def test_a_form_with_bracketed_keys_is_read() -> None:
    body = (
        b"token=abc&data[message]=hello+world&data%5Bfrom%5D=widget"
        b"&return_url=https%3A%2F%2Facme.kommo.com%2Fapi%2Fv4%2Fsalesbot%2F321%2Fcontinue%2F123"
    )

    assert parse_body(body, FORM) == {
        "token": "abc",
        "data": {"message": "hello world", "from": "widget"},
        "return_url": RETURN_URL,
    }


def test_nested_brackets_become_nested_objects() -> None:
    body = parse_body(b"data[lead][id]=5&data[lead][contact][name]=Ann&data[message]=x", FORM)

    assert body["data"] == {"lead": {"id": "5", "contact": {"name": "Ann"}}, "message": "x"}


def test_a_form_whose_data_is_one_json_string_is_read() -> None:
    form = urlencode({"token": "abc", "data": json.dumps({"message": "¿Qué tal? 👍"})}).encode()

    assert parse_body(form, FORM)["data"] == {"message": "¿Qué tal? 👍"}


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", FORM, "", "x"])
@pytest.mark.parametrize("before", ["", "\ufeff", " \r\n"])
def test_json_is_read_whatever_the_content_type_says(content_type: str, before: str) -> None:
    sent = {"token": "abc", "data": {"message": "hello"}, "return_url": RETURN_URL}

    assert parse_body((before + json.dumps(sent)).encode(), content_type) == sent


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data"])
def test_a_form_is_read_under_a_wrong_content_type(content_type: str) -> None:
    assert parse_body(b"data[message]=hello", content_type) == {"data": {"message": "hello"}}


def test_json_with_data_as_a_json_string_is_read() -> None:
    assert parse_body(b'{"data": "{\\"message\\": \\"hi\\"}"}', JSON)["data"] == {"message": "hi"}


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"data[message]=first&data[message]=last", {"message": "last"}),
        (b'data={"message":"first"}&data[message]=last', {"message": "last"}),
        (b'data[message]=first&data={"message":"last"}', {"message": "last"}),
        (b"data[a]=text&data[a][b]=1", {"a": {"b": "1"}}),
        (b"data[a][b]=1&data[a]=text", {"a": "text"}),
    ],
)
def test_of_duplicate_keys_the_last_one_wins(body: bytes, data: dict[str, Any]) -> None:
    assert parse_body(body, FORM)["data"] == data


def test_of_duplicate_json_keys_the_last_one_wins() -> None:
    assert parse_body(b'{"token": "first", "token": "last"}', JSON) == {"token": "last"}


@pytest.mark.parametrize("key", ["data[", "data]", "[message]", "data[a]b", "data[a]]", "[]", "]["])
def test_a_key_with_broken_brackets_is_passed_over(key: str) -> None:
    assert parse_body(urlencode({key: "1", "token": "abc"}).encode(), FORM) == {"token": "abc"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe", FORM),
        (b"data[message]=\xff", FORM),
        (b"data[message]=%ff", FORM),
        (b"data[message]=%ed%a0%80", FORM),
        (b"data={broken", FORM),
        (b"data=", FORM),
        (b"{", JSON),
        (b"", JSON),
        (b"data[message]=hello", JSON),
        (b'"text"', JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b"5", JSON),
        (b"1" * 5000, JSON),
        (b'{"data": ' + b"1" * 5000 + b"}", JSON),
        (b'{"token": "\xff"}', JSON),
        (b"[" * 60_000, JSON),
        (b'{"data":' * 8000, JSON),
        (b"data=" + b"[" * 60_000, FORM),
        (b"data" + b"[a]" * 20_000 + b"=1", FORM),
        (b"data[a][b][c][d][e]=1", FORM),
        (b"&".join(b"data[k%d]=1" % number for number in range(3000)), FORM),
        (b"&" * 60_000 + b"a=1", FORM),
        (b"a=1&" * 15_000, FORM),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(body, content_type)


def test_an_empty_form_is_a_form_without_fields() -> None:
    assert parse_body(b"", FORM) == {}


# The fields


def test_who_speaks_is_taken_from_the_token_and_never_from_data() -> None:
    request = build(
        {
            "message": "hello",
            "account_id": "666",
            "subdomain": "evil",
            "entity_type": "12",
            "entity_id": "666",
            "integration_id": "evil",
            "return_url": "https://evil.com",
        }
    )

    assert request.integration_id == CLAIMS.client_uuid
    assert (request.account_id, request.subdomain) == (12345678, "acme")
    assert (request.entity_type, request.entity_id) == ("2", 26818280)
    assert (request.expires_at, request.accepted_at) == (2e9, 1e9)
    assert "evil" not in json.dumps(request.to_job())


def test_what_data_says_of_the_customer_is_kept() -> None:
    request = build(
        {
            "message": "  hello\r\nthere  ",
            "delivery": "show",
            "contact_name": " Ann\n Lee ",
            "origin": "waba",
            "talk_id": 77,
            "widget_version": "1.2.3",
        }
    )

    assert request.message == "hello\nthere"
    assert (request.contact_name, request.origin, request.chat_id) == ("Ann Lee", "waba", "77")
    assert (request.delivery, request.widget_version) == ("show", "1.2.3")


UNKNOWN = {"chat_id": "{{chat.id}}", "talk_id": "{{talk.id}}", "contact_id": "{{contact.id}}"}


@pytest.mark.parametrize(
    ("known", "person"),
    [
        ({}, ""),
        ({"contact_id": 8}, "8"),
        ({"contact_id": "8", "talk_id": "77"}, "77"),
        ({"contact_id": "8", "talk_id": "77", "chat_id": "a-b"}, "a-b"),
    ],
)
def test_the_person_is_the_chat_else_the_talk_else_the_contact(
    known: dict[str, Any], person: str
) -> None:
    assert build({"message": "x", **UNKNOWN, **known}).person == person


@pytest.mark.parametrize("delivery", [None, "", "JSON", "fax", 5])
def test_a_delivery_that_is_not_known_is_left_to_the_integration(delivery: object) -> None:
    assert build({"message": "x", "delivery": delivery}).delivery is None


@pytest.mark.parametrize("value", ["{{contact.name}}", "Ann {{contact.last_name}}", "", None])
def test_an_unresolved_placeholder_is_no_name(value: object) -> None:
    assert build({"message": "x", "contact_name": value}).contact_name == ""


def test_control_characters_and_lone_surrogates_are_taken_out() -> None:
    request = build(
        {"message": "a\x00b\x1b[31mc\x85d\u2028e\ud800f", "contact_name": "A\x00\ud800"}
    )

    assert request.message == "ab[31mcde?f"
    assert request.contact_name == "A?"
    request.message.encode()


@pytest.mark.parametrize("data", [None, "", "text", 5, True, [], [{"message": "x"}]])
def test_data_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(InvalidRequest, match="data is missing"):
        build(data)


@pytest.mark.parametrize("message", [None, 5, 1.5, True, [], {}, ["text"], {"text": "x"}])
def test_a_message_that_is_no_text_is_refused(message: object) -> None:
    with pytest.raises(InvalidRequest, match=r"data\.message"):
        build({"message": message})


@pytest.mark.parametrize(
    "name",
    ["delivery", "contact_name", "origin", "chat_id", "talk_id", "contact_id", "widget_version"],
)
@pytest.mark.parametrize("value", [True, [], {}, ["x"], {"a": 1}])
def test_any_other_field_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=rf"data\.{name} is not text"):
        build({"message": "x", name: value})


@pytest.mark.parametrize(
    ("name", "limit"),
    [("message", MAX_MESSAGE_CHARACTERS), ("contact_name", MAX_VALUE_CHARACTERS)],
)
def test_a_field_is_accepted_up_to_its_limit_and_refused_beyond(name: str, limit: int) -> None:
    assert len(getattr(build({"message": "x", name: "a" * limit}), name)) == limit

    with pytest.raises(InvalidRequest, match=rf"data\.{name} is too long"):
        build({"message": "x", name: "a" * (limit + 1)})


def test_a_missing_message_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"data\.message is missing"):
        build({"from": "widget"})


@pytest.mark.parametrize(
    "url", [None, "", 5, True, [RETURN_URL], {"url": RETURN_URL}, b"https://x"]
)
def test_a_return_url_that_is_no_text_is_refused(url: object) -> None:
    with pytest.raises(InvalidRequest, match="return_url"):
        build({"message": "x"}, url)


def test_a_return_url_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        build({"message": "x"}, f"{RETURN_URL}?{'a' * 2048}")


def test_a_job_carries_the_request_there_and_back() -> None:
    request = build({"message": "hello", "contact_name": "Ann"})

    payload = json.loads(json.dumps(request.to_job()))

    assert WidgetRequest.from_job({**payload, "of_a_newer_version": 1}) == request


def test_the_job_id_is_the_same_in_every_version() -> None:
    """A repeat may arrive after an upgrade: then it must still be known as one."""
    url = "https://acme.kommo.com/api/v4/salesbot/321/continue/123?key=1"

    job_id = replace(build({"message": "x"}), return_url=url).job_id

    assert job_id == "wr-fcfe30dae5f83c652e2c2c7f0962e8cdd0a2aac1"


def test_repeats_share_a_job_id_and_others_do_not() -> None:
    def job_id(url: str) -> str:
        return build({"message": "x"}, url).job_id

    assert job_id(RETURN_URL) == job_id(f"{RETURN_URL}?key=1") == build({"message": "y"}).job_id
    assert job_id(RETURN_URL) != job_id(f"https://{HOST}/api/v4/salesbot/321/continue/124")
    assert job_id(RETURN_URL) != job_id(f"https://{HOST}/api/v4/marketingbot/321/continue/123")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "   ",
        "\n\t",
        "\u00a0",
        "\u3000",
        "\u200b\u200d",
        "\ufeff",
        "\x00",
        "{{message_text}}",
        " {{message_text}} ",
        "{{a}}{{b}} {{c}}",
        "{{}}",
        "imagen",
        "Imagen",
        "IMAGE",
        "Фото",
        "🎤",
        "🎙️",
        "📷",
    ],
)
def test_there_is_no_text_in(message: str) -> None:
    assert not build({"message": message}).has_text


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "?",
        "👍",
        "❤️",
        "5",
        "imagen del producto",
        "Hello {{contact.name}}",
        "{{",
        "{ {a} }",
        "{message}",
        "مرحبا",
        "यह",
        "你好",
    ],
)
def test_there_is_text_in(message: str) -> None:
    assert build({"message": message}).has_text


# The return URL


@pytest.mark.parametrize(
    "url",
    [
        RETURN_URL,
        f"https://{HOST}/api/v4/marketingbot/321/continue/123",
        f"https://{HOST}/api/v4/salesbot/test/continue/test",
        f"https://{HOST}/api/v4/salesbot/a-b_c/continue/0b01c2d3-0000",
        f"{RETURN_URL}?key=value",
        f"{RETURN_URL}?a=1&b=x.y~z-_+",
    ],
)
def test_a_return_url_of_the_account_is_accepted_unchanged(url: str) -> None:
    assert check_return_url(url, HOST, NO_EXTRA) == url


TRICKS = [
    # another scheme
    f"http://{HOST}{PATH}",
    f"HTTPS://{HOST}{PATH}",
    f"ftp://{HOST}{PATH}",
    f"//{HOST}{PATH}",
    f"{HOST}{PATH}",
    f"https:{HOST}{PATH}",
    f"https:/{HOST}{PATH}",
    f"https:///{HOST}{PATH}",
    f"javascript:https://{HOST}{PATH}",
    f"file:///{HOST}{PATH}",
    PATH,
    # user-info and port
    f"https://user@{HOST}{PATH}",
    f"https://user:word@{HOST}{PATH}",
    f"https://@{HOST}{PATH}",
    f"https://{HOST}@evil.com{PATH}",
    f"https://{HOST}%40evil.com{PATH}",
    f"https://evil.com@{HOST}{PATH}",
    f"https://{HOST}:443{PATH}",
    f"https://{HOST}:8443{PATH}",
    f"https://{HOST}:{PATH}",
    f"https://{HOST}:@evil.com{PATH}",
    f"https://{HOST}:80:80{PATH}",
    # another host
    f"https://evil.com{PATH}",
    f"https://other.kommo.com{PATH}",
    f"https://kommo.com{PATH}",
    f"https://www.acme.kommo.com{PATH}",
    f"https://acme.kommo.com.evil.com{PATH}",
    f"https://evilacme.kommo.com{PATH}",
    f"https://acme-kommo.com{PATH}",
    f"https://acmekommo.com{PATH}",
    f"https://acmexkommo.com{PATH}",
    f"https://acme.kommo.co{PATH}",
    f"https://acme.amocrm.ru{PATH}",
    f"https://acme.amocrm.com{PATH}",
    f"https://acme.kommo.com.{PATH}",
    f"https://acme..kommo.com{PATH}",
    f"https://.acme.kommo.com{PATH}",
    f"https://ACME.kommo.com{PATH}",
    f"https://acme.KOMMO.com{PATH}",
    f"https://127.0.0.1{PATH}",
    f"https://localhost{PATH}",
    f"https://[::1]{PATH}",
    f"https://2130706433{PATH}",
    f"https://{PATH}",
    f"https://evil.com/{HOST}{PATH}",
    f"https://evil.com?{HOST}{PATH}",
    f"https://evil.com#{HOST}{PATH}",
    f"https://evil.com\\{HOST}{PATH}",
    f"https://{HOST}\\@evil.com{PATH}",
    f"https://{HOST}\\.evil.com{PATH}",
    # hosts in other scripts
    f"https://аcme.kommo.com{PATH}",
    f"https://acme。kommo。com{PATH}",
    f"https://acme.kommo．com{PATH}",
    f"https://acme.komm\u00f8.com{PATH}",
    f"https://acme.\u212aommo.com{PATH}",
    f"https://acme.kommo.com\u00ad{PATH}",
    f"https://acme.kommo.com\u200b{PATH}",
    f"https://acme.kommo.com\uff0f@evil.com{PATH}",
    f"https://acme.kommo.com\u2100{PATH}",
    f"https://xn--cme-5cd.kommo.com{PATH}",
    f"https://%61cme.kommo.com{PATH}",
    f"https://acme.kommo%2ecom{PATH}",
    # space and control characters
    f" {RETURN_URL}",
    f"{RETURN_URL} ",
    f"{RETURN_URL}\n",
    f"{RETURN_URL}\r\n",
    f"{RETURN_URL}\x00",
    f"{RETURN_URL}\u2028",
    f"\t{RETURN_URL}",
    f"\x00{RETURN_URL}",
    f"\ufeff{RETURN_URL}",
    f"ht\ttps://{HOST}{PATH}",
    f"https://{HOST}\t{PATH}",
    f"https://{HOST}\n.evil.com{PATH}",
    f"https://{HOST}\r\nHost: evil.com{PATH}",
    f"https://{HOST} {PATH}",
    f"https://{HOST}/api/v4/salesbot/3 1/continue/123",
    # another path
    f"https://{HOST}",
    f"https://{HOST}/",
    f"https://{HOST}/api/v4/leads",
    f"https://{HOST}/api/v4/salesbot/321/continue",
    f"https://{HOST}/api/v4/salesbot/321/continue/",
    f"https://{HOST}/api/v4/salesbot//continue/123",
    f"https://{HOST}/api/v4/salesbot/321/stop/123",
    f"https://{HOST}/api/v4/telegrambot/321/continue/123",
    f"https://{HOST}/api/v2/salesbot/321/continue/123",
    f"https://{HOST}//api/v4/salesbot/321/continue/123",
    f"https://{HOST}/x{PATH}",
    f"https://{HOST}/API/v4/salesbot/321/continue/123",
    f"{RETURN_URL}/",
    f"{RETURN_URL}/more",
    f"{RETURN_URL}/../../../../leads",
    f"{RETURN_URL}/%2e%2e/%2e%2e",
    f"https://{HOST}/api/v4/salesbot/../continue/123",
    f"https://{HOST}/api/v4/salesbot/321/continue/..",
    f"https://{HOST}/api/v4/salesbot/%2e%2e/continue/123",
    f"https://{HOST}/api/v4/salesbot/321/continue/%2e%2e",
    f"https://{HOST}/api/v4/salesbot/321/continue/1%2f2",
    f"https://{HOST}/api/v4/salesbot/321/continue/1\\2",
    f"https://{HOST}/api/v4/salesbot/321/continue/1;x=2",
    f"https://{HOST}/api/v4/salesbot/٣٢١/continue/123",
    f"https://{HOST}/api/v4/salesbot/３２１/continue/123",
    f"https://{HOST}/api/v4/salesbot/321/continue/{'1' * 129}",
    # fragment and query
    f"{RETURN_URL}#",
    f"{RETURN_URL}#x",
    f"{RETURN_URL}?a=1#x",
    f"{RETURN_URL}?",
    f"{RETURN_URL}?a=b c",
    f"{RETURN_URL}?a=%zz",
    f"{RETURN_URL}?a=%41",
    f"{RETURN_URL}?a=%2f",
    f"{RETURN_URL}?a=1?b",
    f"{RETURN_URL}?a=\\",
    f"{RETURN_URL}?next=https://evil.com",
]


@pytest.mark.parametrize("url", TRICKS)
def test_a_trick_with_the_return_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidReturnUrl):
        check_return_url(url, HOST, NO_EXTRA)


@pytest.mark.parametrize("url", TRICKS)
def test_an_extra_host_opens_nothing_else(url: str) -> None:
    assert not accepts(url, frozenset({"127.0.0.1:8001", "stand-in.example:8443"}))


@pytest.mark.parametrize(
    ("base", "accepted"),
    [
        ("http://127.0.0.1:8001", True),
        ("https://127.0.0.1:8001", True),
        ("http://localhost:8001", True),
        ("http://[::1]:8001", True),
        ("https://stand-in.example:8443", True),
        ("http://stand-in.example:8443", False),
        ("http://10.0.0.1:8001", False),
        ("https://10.0.0.1:8001", True),
        ("http://127.0.0.1:8002", False),
        ("http://127.0.0.1", False),
        ("https://stand-in.example", False),
        ("https://stand-in.example:443", False),
        ("http://user@127.0.0.1:8001", False),
        ("http://127.0.0.1:8001@evil.com", False),
        ("http://127.0.0.1:8001.evil.com", False),
        ("http://127.0.0.1:08001", False),
        ("http://LOCALHOST:8001", False),
    ],
)
def test_extra_hosts_are_taken_by_name_and_plain_http_only_on_this_machine(
    base: str, accepted: bool
) -> None:
    extra = frozenset(
        {
            "127.0.0.1:8001",
            "localhost:8001",
            "[::1]:8001",
            "10.0.0.1:8001",
            "stand-in.example:8443",
        }
    )

    assert accepts(f"{base}{PATH}", extra) is accepted


# Whatever comes


URL_PIECES = st.sampled_from(
    [
        *"/:@?#\\.%&=+;[]~-_ \t\n\x00",
        "https://",
        "http://",
        HOST,
        "evil.com",
        PATH,
        "/api/v4/salesbot/",
        "/continue/",
        "321",
        "..",
        "%2e",
        "%2F",
        "%41",
        "。",
        "\u200b",
        ":443",
    ]
)
URLS = st.one_of(
    st.text(),
    st.lists(URL_PIECES, max_size=8).map("".join),
    st.lists(URL_PIECES | st.text(max_size=3), max_size=3).map(lambda it: RETURN_URL + "".join(it)),
    st.text(alphabet="abz019._~=&%+-?/#", max_size=12).map(lambda it: f"{RETURN_URL}?{it}"),
    st.from_regex(
        rf"https://{HOST}/api/v4/salesbot/\w+/continue/[\w-]+(\?[\w%&=+]*)?", fullmatch=True
    ),
)


@given(URLS)
@example(f"{RETURN_URL}?%41")
@example(f"{RETURN_URL}?")
def test_whatever_url_is_accepted_leads_unchanged_to_the_account(url: str) -> None:
    if not accepts(url):
        return

    parts = urlsplit(url)
    prepared = requests.Request("POST", url).prepare()

    assert (parts.scheme, parts.netloc, parts.hostname, parts.port) == ("https", HOST, HOST, None)
    assert prepared.url == url
    assert urlsplit(prepared.url).netloc == HOST


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["token", "data", "return_url", "data[message]", "data[a][b]", "data[", "data[]", "[]"]
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    ANY_JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("token", "data", "return_url"), ANY_JSON)
    ).map(lambda value: json.dumps(value).encode()),
    st.lists(st.tuples(FIELDS, st.text(st.characters(codec="utf-8"))), max_size=6).map(
        lambda pairs: urlencode(pairs).encode()
    ),
)


@given(BODIES, st.sampled_from([FORM, JSON, "", "text/plain; charset=latin-1"]))
def test_no_body_raises_anything_but_a_refusal(body: bytes, content_type: str) -> None:
    try:
        read = parse_body(body, content_type)
        build(read.get("data"), read.get("return_url"))
    except RefusedRequest:
        pass


@given(
    st.dictionaries(
        st.sampled_from(["message", "delivery", "contact_name", "origin", "chat_id", "talk_id"]),
        ANY_JSON,
    )
)
def test_whatever_data_is_accepted_fits_into_a_job(data: dict[str, Any]) -> None:
    try:
        request = build(data)
    except InvalidRequest:
        return

    job = json.dumps(request.to_job(), ensure_ascii=False)

    job.encode()
    assert "\x00" not in job
    assert request.message == request.message.strip()
    assert len(job) < 2 * MAX_BODY_BYTES
