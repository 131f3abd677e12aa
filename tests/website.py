"""Pages over https on loopback, with a certificate of their own."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self

from certificates import write_certificate

from kommo_bridge.knowledge.fetch import Pages
from local.partners.http.exchange import Answer, Request
from local.partners.http.local_server import LocalServer

HTML = {"Content-Type": "text/html; charset=utf-8"}


class Website(LocalServer):
    """Answers with its pages; a page may be a function of its request.

    Args:
        folder: Where its certificate is, or is made.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.certificate = folder / "localhost.pem"
        if not self.certificate.exists():
            write_certificate(self.certificate, "localhost")
        self.pages: dict[str, Answer | Callable[[Request], Answer]] = {}
        self.asked: list[str] = []

    def start(self) -> Self:
        """Listen, with TLS."""
        super().start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        assert self._http
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        return self

    def answer(self, request: Request) -> Answer:
        """The page at this path."""
        self.asked.append(request.path)
        page = self.pages.get(request.path, Answer(404))
        return page(request) if callable(page) else page

    def address(self, path: str = "/menu") -> str:
        """The address of a page."""
        return f"https://localhost:{self.port}{path}"

    def fetcher(self, seconds: float = 5) -> Pages:
        """Takes this server's port on loopback for public, and nothing else."""

        def allowed(address: str, port: int) -> bool:
            return address == "127.0.0.1" and port == self.port

        return Pages(allowed, ca_file=str(self.certificate), seconds=seconds)
