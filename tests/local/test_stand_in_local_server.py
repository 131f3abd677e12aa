"""Every fault that a stand-in can be told to have, seen by an ordinary HTTP client."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from helpers import at_most, wait_for

from local.partners.http.exchange import Answer, Request
from local.partners.http.faults import (
    Drip,
    Fault,
    Garbage,
    Hang,
    Huge,
    Redirect,
    Reset,
    ResetAfter,
    Slow,
    Status,
)
from local.partners.http.local_server import LocalServer


class Echo(LocalServer):
    """Answers with the request's body, and remembers what it worked on."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[str] = []
        self.worked: list[str] = []

    def received(self, request: Request) -> None:
        self.arrived.append(request.path)

    def answer(self, request: Request) -> Answer:
        if request.path == "/mistake":
            raise LookupError("a mistake of the stand-in")
        self.worked.append(request.path)
        return Answer.json(200, {"said": request.body.decode(), "query": dict(request.query)})


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as echo:
        yield echo
    assert not [error for error in echo.errors if not isinstance(error, LookupError)]


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_a_request_is_answered_with_a_date(server: Echo, client: requests.Session) -> None:
    """A client must be able to compare clocks."""
    response = client.post(f"{server.url}/a?b=c", data="hello", timeout=2)

    assert response.json() == {"said": "hello", "query": {"b": "c"}}
    assert response.headers["Date"].endswith("GMT")


def test_a_connection_serves_many_requests_without_delay(server: Echo) -> None:
    """Keep-alive must work, and no answer may wait for a delayed TCP acknowledgement (40 ms)."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        seconds = []
        for _ in range(20):
            started = time.monotonic()
            connection.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
            seconds.append(time.monotonic() - started)

    assert min(seconds[1:]) < 0.035
    assert len(server.worked) == 20


def test_sixty_four_clients_are_served_at_once(server: Echo) -> None:
    """A burst must not be refused, nor served one after the other."""
    server.faults.order(Slow(0.3), times=64)

    def call(_: int) -> int:
        return requests.get(server.url, timeout=30).status_code

    with at_most(3), ThreadPoolExecutor(64) as pool:
        statuses = set(pool.map(call, range(64)))

    assert statuses == {200}


def test_a_status_is_sent_with_its_headers_and_body_and_no_work(
    server: Echo, client: requests.Session
) -> None:
    server.faults.order(Status(429, {"retry_after": 300}, {"Retry-After": "7"}))

    response = client.get(server.url, timeout=2)

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.json() == {"retry_after": 300}
    assert (server.arrived, server.worked) == (["/"], [])


def test_a_status_that_python_does_not_know_is_sent_as_well(
    server: Echo, client: requests.Session
) -> None:
    server.faults.order(Status(599, "odd"))

    response = client.get(server.url, timeout=2)

    assert (response.status_code, response.text) == (599, "odd")


def test_a_slow_answer_comes_late_though_the_work_is_done_at_once(
    server: Echo, client: requests.Session
) -> None:
    server.faults.order(Slow(0.5))

    with pytest.raises(requests.ReadTimeout):
        client.get(server.url, timeout=0.15)

    assert server.worked == ["/"]


def test_a_slow_answer_does_come(server: Echo, client: requests.Session) -> None:
    server.faults.order(Slow(0.2))

    started = time.monotonic()
    response = client.get(server.url, timeout=2)

    assert response.status_code == 200
    assert time.monotonic() - started >= 0.2


def test_a_dripped_answer_outlives_every_timeout_per_read(
    server: Echo, client: requests.Session
) -> None:
    """Only a total deadline ends it: that is what the fault is for."""
    server.faults.order(Drip(0.015))

    started = time.monotonic()
    response = client.get(server.url, timeout=1.0)

    assert response.json()["said"] == ""
    assert time.monotonic() - started > 1.0


def test_the_head_of_a_dripped_answer_is_dripped_too(server: Echo) -> None:
    server.faults.order(Drip(0.05))

    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        assert [connection.recv(100) for _ in range(3)] == [b"H", b"T", b"T"]


def test_a_hanging_server_never_answers(server: Echo, client: requests.Session) -> None:
    server.faults.order(Hang())

    with pytest.raises(requests.ReadTimeout):
        client.get(server.url, timeout=0.2)

    assert server.worked == []


def test_a_hanging_server_closes_after_its_time(server: Echo, client: requests.Session) -> None:
    server.faults.order(Hang(0.1))

    with pytest.raises(requests.ConnectionError, match="without response"):
        client.get(server.url, timeout=2)


@pytest.mark.parametrize(("fault", "worked"), [(Reset(), []), (ResetAfter(), ["/"])])
def test_a_reset_breaks_the_connection_before_or_after_the_work(
    server: Echo, client: requests.Session, fault: Fault, worked: list[str]
) -> None:
    """The client sees the same; only the partner knows whether the call was taken."""
    server.faults.order(fault)

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.get(server.url, timeout=2)

    assert server.worked == worked


def test_a_redirect_points_elsewhere(server: Echo, client: requests.Session) -> None:
    server.faults.order(Redirect("http://127.0.0.1:9/x"))

    response = client.get(server.url, timeout=2, allow_redirects=False)

    assert (response.status_code, response.headers["Location"]) == (302, "http://127.0.0.1:9/x")


def test_a_huge_body_has_no_end_and_no_length(server: Echo, client: requests.Session) -> None:
    server.faults.order(Huge())

    with client.get(server.url, timeout=2, stream=True) as response:
        read = sum(len(response.raw.read(65536)) for _ in range(100))

    assert read == 100 * 65536
    assert "Content-Length" not in response.headers


def test_a_huge_body_may_have_a_size(server: Echo, client: requests.Session) -> None:
    server.faults.order(Huge(200_000))

    assert len(client.get(server.url, timeout=2).content) == 200_000


def test_garbage_is_a_success_with_a_wrong_body(server: Echo, client: requests.Session) -> None:
    server.faults.order(Garbage())

    response = client.get(server.url, timeout=2)

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html")
    assert (response.text[:6], server.worked) == ("<html>", [])


def test_faults_are_used_up_in_order_and_then_all_is_well(
    server: Echo, client: requests.Session
) -> None:
    server.faults.order(Status(500), times=2)
    server.faults.order(Status(503))

    statuses = [client.get(server.url, timeout=2).status_code for _ in range(4)]

    assert statuses == [500, 500, 503, 200]
    assert server.faults.pending == 0


def test_a_fault_waits_for_a_request_that_fits(server: Echo, client: requests.Session) -> None:
    server.faults.order(Status(500), when=lambda request: request.method == "POST")

    first, second = client.get(server.url, timeout=2), client.post(server.url, timeout=2)

    assert (first.status_code, second.status_code) == (200, 500)


def test_a_fault_without_number_lasts_until_it_is_cleared(
    server: Echo, client: requests.Session
) -> None:
    server.faults.order(Status(503), times=None)

    statuses = [client.get(server.url, timeout=2).status_code for _ in range(3)]
    server.faults.clear()

    assert statuses == [503] * 3
    assert client.get(server.url, timeout=2).status_code == 200


def test_a_fault_meets_exactly_as_many_requests_as_ordered_when_they_come_at_once(
    server: Echo,
) -> None:
    server.faults.order(Status(503), times=7)

    def call(_: int) -> int:
        return requests.get(server.url, timeout=30).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(call, range(32)))

    assert statuses.count(503) == 7


def test_a_mistake_of_the_stand_in_is_a_500_that_is_kept_and_not_printed(
    server: Echo, client: requests.Session, capfd: pytest.CaptureFixture[str]
) -> None:
    response = client.get(f"{server.url}/mistake", timeout=2)

    assert response.status_code == 500
    assert isinstance(server.errors[0], LookupError)
    assert capfd.readouterr() == ("", "")


def test_a_body_without_length_is_refused(server: Echo, client: requests.Session) -> None:
    """A stand-in that read such a body wrongly would answer some later request with its rest."""
    response = client.post(server.url, data=iter([b"a"]), timeout=2)

    assert (response.status_code, server.arrived) == (411, [])


@pytest.mark.parametrize("fault", [Hang(), Slow(60), Drip(60), Huge(), None])
def test_a_stop_is_quick_and_silent_whatever_the_handlers_do(
    fault: Fault | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """`Huge` meets a client that reads nothing; None is an idle kept connection."""
    server = Echo().start()
    if fault:
        server.faults.order(fault)
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: bool(server.arrived))

        with at_most(5):
            server.stop()

        wait_for(lambda: not _handler_threads())
    assert (server.errors, capfd.readouterr()) == ([], ("", ""))


def test_a_stopped_server_refuses_connections_and_starts_again_at_its_port(
    client: requests.Session,
) -> None:
    server = Echo().start()
    url = server.url
    server.stop()

    with pytest.raises(requests.ConnectionError):
        client.get(url, timeout=2)
    with server:
        assert (server.url, client.get(url, timeout=2).status_code) == (url, 200)


def test_a_started_server_is_not_started_again(server: Echo) -> None:
    """The first listener would never be closed."""
    with pytest.raises(RuntimeError, match="started already"):
        server.start()


def test_stopping_twice_does_no_harm() -> None:
    server = Echo().start()

    server.stop()
    server.stop()


def _handler_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "process_request_thread" in one.name]
