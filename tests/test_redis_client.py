"""Reaching Redis through TLS, as hosts with self-signed certificates give it."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from kommo_bridge.redis_client import connect
from local.redis_server import RedisServer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self-signed")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_port(certificate: Path, redis_server: RedisServer) -> Iterator[int]:
    """A port in front of Redis that takes the TLS off: few redis-server binaries have TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(
            target=take_off_tls, args=(listener, context, redis_server.port), daemon=True
        )
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def take_off_tls(listener: socket.socket, context: ssl.SSLContext, redis_port: int) -> None:
    """Serve one connection after the other: a request, then its answer, as Redis speaks."""
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            with (
                suppress(OSError),
                context.wrap_socket(accepted, server_side=True) as client,
                socket.create_connection(("127.0.0.1", redis_port)) as redis,
            ):
                while said := client.recv(65536):
                    redis.sendall(said)
                    client.sendall(redis.recv(65536))


@pytest.mark.usefixtures("redis")
def test_a_self_signed_certificate_is_good_enough_to_encrypt(tls_port: int, redis: Redis) -> None:
    with connect(f"rediss://127.0.0.1:{tls_port}/0", timeout_seconds=2) as client:
        client.set("said", "through TLS")

    assert redis.get("said") == b"through TLS"


def test_a_self_signed_certificate_is_refused_when_the_url_demands_a_checked_one(
    tls_port: int,
) -> None:
    url = f"rediss://127.0.0.1:{tls_port}/0?ssl_cert_reqs=required"
    with connect(url, timeout_seconds=2) as client, pytest.raises(RedisConnectionError) as caught:
        client.ping()

    assert "certificate" in str(caught.value).lower()


def test_a_checked_certificate_is_accepted_when_its_authority_is_known(
    tls_port: int, certificate: Path
) -> None:
    url = f"rediss://127.0.0.1:{tls_port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate}"
    with connect(url, timeout_seconds=2) as client:
        assert client.ping()
