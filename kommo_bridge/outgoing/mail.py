"""One mail through the server of `SMTP_URL`, always encrypted unless the server is this machine.

`smtps://` is TLS from the start (port 465), `smtp://` begins in the clear and must switch to TLS
(STARTTLS, port 587). User name and password are percent-encoded in the URL; `?from=` is the
sender, else the user name is.
"""

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

from kommo_bridge.errors import AlertError
from kommo_bridge.settings import is_loopback

SECONDS = 10.0
SMTPS_PORT, SUBMISSION_PORT = 465, 587


class Mailer:
    """Sends mails.

    Args:
        url: `SMTP_URL`, checked by the settings; it holds a password and is never logged.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._user = unquote(self._parts.username or "")
        self._password = unquote(self._parts.password or "")
        self.sender = parse_qs(self._parts.query).get("from", [self._user])[0]

    def send(self, to: str, subject: str, text: str, html: str) -> None:
        """Send one mail, as plain text and as HTML.

        Raises:
            AlertError: The server did not take it; neither address nor password is in the message.
        """
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, to, subject
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        try:
            with self._connected() as server:
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise AlertError(f"SMTP_URL: {_why(error)}") from None

    def _connected(self) -> smtplib.SMTP:
        host, context = self._parts.hostname or "", ssl.create_default_context()
        if self._parts.scheme == "smtps":
            port = self._parts.port or SMTPS_PORT
            return smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
        server = smtplib.SMTP(host, self._parts.port or SUBMISSION_PORT, timeout=SECONDS)
        try:
            server.ehlo()
            if server.has_extn("starttls") or not is_loopback(host):
                server.starttls(context=context)  # refuses where that is not offered
        except BaseException:
            server.close()
            raise
        return server


def _why(error: Exception) -> str:
    """What went wrong, without the server's words: they may quote an address."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return "the server refused user name or password."
        case smtplib.SMTPNotSupportedError():
            return "the server offers no encryption (STARTTLS): use smtps://."
        case smtplib.SMTPRecipientsRefused():
            return "the server refused the recipient."
        case smtplib.SMTPResponseException():
            return f"the server answered {error.smtp_code}."
    return f"the server gave no answer ({type(error).__name__})."
