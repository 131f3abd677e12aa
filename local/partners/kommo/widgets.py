"""The list of an account's widgets, as Kommo shows it: a public catalogue, and private ones.

https://developers.kommo.com/reference/widgets-list
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from local.partners.http.exchange import Answer
from local.partners.kommo.problems import problem

LARGEST_PAGE = 250
# One token was shown 233 entries of the catalogue, none of them called active.
CATALOGUE = 233


def list_widgets(installed: Mapping[int, str], query: Mapping[str, str]) -> Answer:
    """Answer one page.

    Args:
        installed: The numbers of the private widgets, and whose integration each is.
        query: `limit` and `page` of the request.
    """
    limit, page = int(query.get("limit", "50")), int(query.get("page", "1"))
    if not (1 <= limit <= LARGEST_PAGE and page >= 1):
        return problem(HTTPStatus.BAD_REQUEST, "limit or page is out of range.")
    entries = [_entry(1000 + n, f"catalogue-{n}") for n in range(CATALOGUE)]
    entries += [_entry(number, owner) for number, owner in installed.items()]
    shown = entries[(page - 1) * limit : page * limit]
    if not shown:
        return Answer(HTTPStatus.NO_CONTENT)
    here = f"/api/v4/widgets?limit={limit}&page="
    links = {"self": {"href": f"{here}{page}"}}
    if page * limit < len(entries):
        links["next"] = {"href": f"{here}{page + 1}"}
    return Answer.json(
        HTTPStatus.OK, {"_page": page, "_links": links, "_embedded": {"widgets": shown}}
    )


def _entry(number: int, owner: str) -> dict[str, Any]:
    return {
        "id": number,
        "code": f"code{number}",
        "version": "1.1.0",
        "rating": "0",
        "settings_template": [],
        "is_lead_source": False,
        "is_work_with_dp": True,
        "is_crm_template": False,
        "client_uuid": owner,
        "is_active_in_account": False,
        "pipeline_id": None,
    }
