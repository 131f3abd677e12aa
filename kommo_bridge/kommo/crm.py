"""What is read and written in an account's CRM beside the Salesbot: leads, notes, tasks, tags.

Each call is made by `client`, at the account's pace. Kommo checks a write as a whole and refuses it
with one unknown number (400 `NotSupportedChoice`), so each write says one thing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.response import object_of, retry_after, validation_codes

# A side lookup: it must not hold up the reply.
LOOKUP_SECONDS = 3.0
# A lead brings all its fields, which may hold long texts.
MAX_LEAD_BYTES = 2 * 1024 * 1024
MAX_FIELDS = 500
MAX_VALUES = 20
# How Kommo's API names the entities of a bot token.
ENTITIES = {"1": "contacts", "2": "leads", "12": "customers"}


@dataclass(frozen=True)
class Lead:
    """A lead as Kommo shows it; empty when there is none.

    Attributes:
        tags: Their names.
        fields: Values by the field's name in lower case: `name`, `price`, and the custom ones by
            name and by code.
        stage: Numbers of pipeline and stage, None when not told.
        responsible: The number of the user who is responsible, None when not told.
    """

    tags: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    stage: tuple[int, int] | None = None
    responsible: int | None = None

    def has_tag(self, tag: str) -> bool:
        """Whether it has this tag, however that is written."""
        wanted = tag.strip().casefold()
        return any(one.strip().casefold() == wanted for one in self.tags)


@dataclass(frozen=True)
class Write:
    """One write: its method, its path and the JSON of its body."""

    method: str
    path: str
    body: Any


@dataclass(frozen=True)
class Crm:
    """The CRM of one account, as its access token may see it.

    Attributes:
        host: The account's own.
        base_url: Where it is called instead of `https://{host}`: one of the extra hosts.
    """

    client: KommoClient
    host: str
    access_token: str
    base_url: str | None = None

    def lead(self, lead_id: int) -> Lead:
        """One lead. https://developers.kommo.com/reference/get-lead

        Raises:
            KommoError: Kommo did not answer, or refused, or the account is paused.
        """
        return self.entity("2", lead_id)

    def entity(self, entity_type: str, entity_id: int) -> Lead:
        """A lead, or what a contact or customer has in common with one.

        Raises:
            KommoError: As in `lead`.
        """
        path = f"/api/v4/{ENTITIES[entity_type]}/{entity_id}"
        return read_lead(self._read(path, max_bytes=MAX_LEAD_BYTES))

    def stage_name(self, stage: tuple[int, int]) -> str:
        """The name of a stage; empty when it has none.

        https://developers.kommo.com/reference/leads-pipelines

        Raises:
            KommoError: As in `lead`.
        """
        pipeline, status = stage
        body = self._read(f"/api/v4/leads/pipelines/{pipeline}/statuses/{status}")
        name = body.get("name")
        return name if isinstance(name, str) else ""

    def write(self, write: Write) -> None:
        """Make one write.

        Raises:
            KommoError: It is not known to be made; `arrived` when it may be, all the same.
        """
        response = self.client.call(
            self.host, write.method, write.path, self.access_token, self.base_url, json=write.body
        )
        status = response.status_code
        if status // 100 == 2:  # noqa: PLR2004
            return
        server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        raise KommoError(
            " ".join([f"Kommo answered {status}", *validation_codes(response)]),
            permanent=not server and status != HTTPStatus.TOO_MANY_REQUESTS,
            status=status,
            arrived=server,
            retry_after_seconds=retry_after(response),
        )

    def _read(self, path: str, **limits: Any) -> dict[str, Any]:
        """A JSON object; an empty one for what does not exist, which Kommo answers with 204."""
        response = self.client.get(
            self.host, path, self.access_token, self.base_url, seconds=LOOKUP_SECONDS, **limits
        )
        return {} if response.status_code == HTTPStatus.NO_CONTENT else object_of(response)


def note(entity_type: str, entity_id: int, text: str) -> Write:
    """A note on an entity. https://developers.kommo.com/reference/add-notes

    Args:
        entity_type: As in the bot token, one of `ENTITIES`.
    """
    body = [{"note_type": "common", "params": {"text": text}}]
    return Write("POST", f"/api/v4/{ENTITIES[entity_type]}/{entity_id}/notes", body)


def task(
    entity_type: str, entity_id: int, text: str, due: int, responsible: int | None = None
) -> Write:
    """A task about an entity. https://developers.kommo.com/reference/add-tasks

    Args:
        due: In seconds since the epoch.
        responsible: The user who has to do it; None leaves it to Kommo.
    """
    body: dict[str, Any] = {
        "text": text,
        "complete_till": due,
        "entity_id": entity_id,
        "entity_type": ENTITIES[entity_type],
    }
    if responsible:
        body["responsible_user_id"] = responsible
    return Write("POST", "/api/v4/tasks", [body])


def tag(entity_type: str, entity_id: int, name: str) -> Write:
    """One more tag on an entity; `_embedded.tags` would replace those that are there.

    https://developers.kommo.com/reference/update-tags-single-entity
    """
    body = {"tags_to_add": [{"name": name}]}
    return Write("PATCH", f"/api/v4/{ENTITIES[entity_type]}/{entity_id}", body)


def read_lead(body: Mapping[str, Any]) -> Lead:
    """A lead from Kommo's JSON, which may lack any part."""
    embedded = body.get("_embedded")
    tags = embedded.get("tags") if isinstance(embedded, dict) else None
    names = [one.get("name") for one in _objects(tags)]
    pipeline, status = body.get("pipeline_id"), body.get("status_id")
    responsible = body.get("responsible_user_id")
    return Lead(
        tags=tuple(name for name in names if isinstance(name, str)),
        fields=dict(_fields(body)),
        stage=(pipeline, status) if isinstance(pipeline, int) and isinstance(status, int) else None,
        responsible=responsible if isinstance(responsible, int) else None,
    )


def _fields(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Its own fields and the custom ones; of two with one name the first is meant."""
    custom = _objects(body.get("custom_fields_values"))
    for one in reversed(list(custom)[:MAX_FIELDS]):
        values = [_text(value.get("value")) for value in _objects(one.get("values"))]
        text = ", ".join([value for value in values if value][:MAX_VALUES])
        for key in (one.get("field_code"), one.get("field_name")):
            if isinstance(key, str) and key.strip() and text:
                yield key.strip().casefold(), text
    for key in ("price", "name"):
        if text := _text(body.get(key)):
            yield key, text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _objects(values: Any) -> Iterable[dict[str, Any]]:
    listed = values if isinstance(values, list) else []
    return [one for one in listed if isinstance(one, dict)]
