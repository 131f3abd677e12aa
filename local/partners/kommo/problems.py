"""Kommo's errors over HTTP: `application/problem+json`, with `validation-errors` for a body."""

from collections.abc import Mapping
from http import HTTPStatus

from local.partners.http.exchange import Answer, read_json
from local.partners.kommo.continue_body import BodyFault


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return a refusal; `more` are further keys of its body."""
    body = {
        **(more or {}),
        "title": status.phrase,
        "type": f"https://httpstatus.es/{status.value}",
        "status": status.value,
        "detail": detail,
    }
    return Answer.json(status.value, body, content_type="application/problem+json", headers=headers)


def unauthorized() -> Answer:
    """Return the refusal of a missing, wrong or foreign bearer, the same for all three."""
    return problem(HTTPStatus.UNAUTHORIZED, "Incorrect login or password.")


def invalid_body(faults: list[BodyFault]) -> Answer:
    """Return the refusal of a body with faults."""
    errors = [{"code": one.code, "path": one.path, "detail": one.detail} for one in faults]
    more = {"validation-errors": [{"request_id": "0", "errors": errors}]}
    return problem(HTTPStatus.BAD_REQUEST, "Request validation failed", more=more)


def first_code(answer: Answer) -> str:
    """Return the first code of a refusal, or its title when no body was at fault."""
    body = read_json(answer.body)
    groups = body.get("validation-errors")
    return str(groups[0]["errors"][0]["code"] if groups else body["title"])
