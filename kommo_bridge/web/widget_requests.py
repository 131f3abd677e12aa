"""The widget request: verify, check, enqueue, acknowledge, within Kommo's two seconds."""

import time
from http import HTTPStatus

from flask import Blueprint, Response, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge

from kommo_bridge.errors import InvalidRequest, InvalidToken
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.body import MAX_BODY_BYTES, parse_body
from kommo_bridge.kommo.tokens import BotClaims, verify_bot_token
from kommo_bridge.kommo.widget_request import build_widget_request
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.telemetry.metrics import Metrics
from kommo_bridge.web.request_log import served, tell

READ_BYTES = 16 * 1024
ACKNOWLEDGEMENT = b'{"status":"ok"}\n'
BROKEN_OFF = "The body did not arrive in time or broke off."


def widget_requests(
    integrations: IntegrationStore,
    queue: JobQueue,
    extra_hosts: frozenset[str],
    metrics: Metrics,
) -> Blueprint:
    """The blueprint of `POST /api/kommo/kommo/widget-request`."""
    blueprint = Blueprint("widget_requests", __name__)

    @blueprint.after_request
    def measure(response: Response) -> Response:
        refused = response.status_code != HTTPStatus.OK
        result = response.get_json().get("error", "error") if refused else g.result
        metrics.count("kommo_bridge_widget_requests", result)
        if not refused:
            seconds = time.perf_counter() - served().arrived
            metrics.observe("kommo_bridge_acknowledgement_seconds", seconds)
        return response

    @blueprint.post("/api/kommo/kommo/widget-request", provide_automatic_options=False)
    def widget_request() -> Response:
        started = time.time()
        body = parse_body(_read_body(), request.content_type or "")
        claims, integration = _who_speaks(body.get("token"), integrations)
        checked = build_widget_request(
            body,
            claims,
            host=integration.host,
            extra_hosts=extra_hosts,
            accepted_at=started,
            request_id=served().request_id,
        )
        queued = queue.enqueue(checked)
        if integration.account_id is None and claims.account_id:
            integrations.bind_account(integration, claims.account_id)
        g.result = "queued" if queued else "repeated"
        tell(
            f"widget request {g.result}",
            job=checked.job_id,
            subdomain=checked.subdomain,
            entity=f"{checked.entity_type}:{checked.entity_id}",
        )
        return Response(ACKNOWLEDGEMENT, mimetype="application/json")

    return blueprint


def _who_speaks(token: object, integrations: IntegrationStore) -> tuple[BotClaims, Integration]:
    """The verified claims and the integration they name: never the body's word."""
    found: list[Integration] = []

    def secrets_for(claims: BotClaims) -> tuple[str, ...]:
        integration = integrations.find(claims.client_uuid, claims.account_id, claims.subdomain)
        found[:] = [integration] if integration else []
        return integration.secrets if integration else ()

    claims = verify_bot_token(token, secrets_for)
    if not found:
        raise InvalidToken("unknown integration")
    return claims, found[0]


def _read_body() -> bytes:
    """The raw body, within its size: a form parser would read what it likes."""
    if request.content_encoding not in (None, "", "identity"):
        raise InvalidRequest("A compressed body is not accepted.")
    announced = request.content_length
    if (announced or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    body = bytearray()
    try:
        while len(body) != announced and (chunk := request.stream.read(READ_BYTES)):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RequestEntityTooLarge
    except (OSError, ParseException) as error:  # the latter for chunks that are none
        raise InvalidRequest(BROKEN_OFF) from error
    if announced is not None and len(body) < announced:
        raise InvalidRequest(BROKEN_OFF)  # gunicorn hands on what came before the end
    return bytes(body)
