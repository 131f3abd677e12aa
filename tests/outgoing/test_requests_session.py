"""The sessions that calls to partners share."""

import requests
from requests.adapters import HTTPAdapter

from kommo_bridge.outgoing.requests_session import limited_session


def test_the_connections_of_a_host_outlive_calls_to_hundreds_of_others() -> None:
    """A pool that is closed under a call fails it in a way that looks as if it had arrived."""
    session = limited_session()
    hosts = [f"https://account{number}.kommo.com" for number in range(300)]
    adapter = session.get_adapter(hosts[0])
    assert isinstance(adapter, HTTPAdapter)

    def pool(url: str) -> object:
        request = session.prepare_request(requests.Request("GET", url))
        return adapter.get_connection_with_tls_context(request, True)

    first = pool(hosts[0])
    for host in hosts[1:]:
        pool(host)

    assert pool(hosts[0]) is first
