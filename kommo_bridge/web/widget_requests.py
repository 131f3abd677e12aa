"""The widget request: verify, check, enqueue, acknowledge, within Kommo's two seconds."""

import time
from http import HTTPStatus

from flask import Blueprint, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge

from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import InvalidRequest, InvalidToken, StoreError, StoreUnavailable
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.body import MAX_BODY_BYTES, parse_body
from kommo_bridge.kommo.tokens import BotClaims, verify_bot_token
from kommo_bridge.kommo.widget_request import build_widget_request
from kommo_bridge.monitoring.check_bridge import PROBE_RETURN_URL
from kommo_bridge.queue.enqueue import RETRY_AFTER_OUTAGE_SECONDS, JobQueue
from kommo_bridge.telemetry.metrics import Metrics
from kommo_bridge.telemetry.refusals import Refusals
from kommo_bridge.web.known_names import KnownNames
from kommo_bridge.web.request_log import annotate, current_line
from kommo_bridge.widget.build import WIDGET_REQUEST_PATH

READ_BYTES = 16 * 1024
MAX_SHOWN = 64
# Refusals that point to the account or its settings; Redis has an alert of its own.
ALERTED = frozenset({"invalid_token", "invalid_request", "invalid_return_url", "rate_limited"})
ACKNOWLEDGEMENT = b'{"status":"ok"}\n'
BROKEN_OFF = "The body did not arrive in time or was cut off."


def widget_requests(
    integrations: IntegrationStore,
    queue: JobQueue,
    extra_hosts: frozenset[str],
    metrics: Metrics,
    refusals: Refusals,
) -> Blueprint:
    """The blueprint of `POST /api/kommo/kommo/widget-request`."""
    blueprint = Blueprint("widget_requests", __name__)
    known_names = KnownNames(integrations)

    @blueprint.after_request
    def measure(response: Response) -> Response:
        line = current_line()
        if line.is_probe:
            return response
        metrics.count("kommo_bridge_widget_requests", line.result)
        if response.status_code == HTTPStatus.OK:
            seconds = time.perf_counter() - line.arrived
            metrics.observe("kommo_bridge_acknowledgement_seconds", seconds)
        elif line.integration and line.result in ALERTED:
            refusals.note(line.integration, line.result, line.fields.get("reason", ""))
        return response

    @blueprint.post(WIDGET_REQUEST_PATH, provide_automatic_options=False)
    def widget_request() -> Response:
        started = time.time()
        body = parse_body(_read_body(), request.content_type or "")
        current_line().is_probe = body.get("return_url") == PROBE_RETURN_URL
        claims, integration = _who_speaks(body.get("token"), integrations, known_names)
        checked = build_widget_request(
            body,
            claims,
            host=integration.host,
            extra_hosts=extra_hosts,
            accepted_at=started,
            request_id=current_line().request_id,
        )
        result = current_line().result = "queued" if queue.enqueue(checked) else "repeated"
        if integration.account_id is None and claims.account_id:  # not needed for this request
            integrations.bind_account(integration, claims.account_id)
        annotate(
            f"widget request {result}",
            job=checked.job_id,
            subdomain=checked.subdomain,
            entity=f"{checked.entity_type}:{checked.entity_id}",
        )
        return Response(ACKNOWLEDGEMENT, mimetype="application/json")

    return blueprint


def _who_speaks(
    token: object, integrations: IntegrationStore, known_names: KnownNames
) -> tuple[BotClaims, Integration]:
    """The verified claims and the integration they name; the body is not trusted.

    A refusal logs the token's claims, marked as unverified.
    """
    found: list[Integration] = []

    def secrets_for(claims: BotClaims) -> tuple[str, ...]:
        line = current_line()
        line.fields = {
            "unverified_subdomain": claims.subdomain[:MAX_SHOWN],
            "unverified_integration": claims.client_uuid[:MAX_SHOWN],
        }
        try:
            integration = integrations.find(claims.client_uuid, claims.account_id, claims.subdomain)
        except StoreError as error:
            raise StoreUnavailable(
                "The integrations cannot be looked up at the moment.",
                reason=str(error),
                retry_after_seconds=RETRY_AFTER_OUTAGE_SECONDS,
            ) from error
        found[:] = [integration] if integration else []
        if integration:
            line.integration = integration_name(integration)
        else:
            line.integration = known_names.find(claims.client_uuid, claims.subdomain)
        return integration.secrets if integration else ()

    claims = verify_bot_token(token, secrets_for)
    if not found:
        raise InvalidToken("unknown integration")
    current_line().fields = {"subdomain": claims.subdomain, "integration": claims.client_uuid}
    return claims, found[0]


def _read_body() -> bytes:
    """The raw body, up to its largest size; a form parser would not enforce ours."""
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
    except (OSError, ParseException) as error:  # ParseException: malformed chunked encoding
        raise InvalidRequest(BROKEN_OFF) from error
    if announced is not None and len(body) < announced:
        raise InvalidRequest(BROKEN_OFF)  # gunicorn passes on what came before the end
    return bytes(body)
