"""The CRM of the stand-in Kommo: leads, contacts and customers with tags, notes and tasks.

As strict as Kommo: a write is taken as a whole or refused as a whole, an unknown number is
`NotSupportedChoice`, `_embedded.tags` replaces all tags and switches `tags_to_add` off, and a lead
that does not exist is an empty 204. Any number is a lead here until it is removed.
"""

import re
import threading
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from local.partners.http.exchange import Answer, Request, read_json
from local.partners.kommo.account import Account
from local.partners.kommo.crm_faults import (
    PIPELINE,
    STAGES,
    change_faults,
    each,
    note_faults,
    task_faults,
)
from local.partners.kommo.problems import invalid_body, problem

_ENTITY_PATH = re.compile(r"/api/v4/(leads|contacts|customers)/(\d+)")
_NOTES_PATH = re.compile(r"/api/v4/(leads|contacts|customers)/(\d+)/notes")
_STAGE_PATH = re.compile(r"/api/v4/leads/pipelines/(\d+)/statuses/(\d+)")


@dataclass
class Entity:
    """A lead, contact or customer."""

    kind: str
    entity_id: int
    tags: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A note or a task; `due` is 0 for a note."""

    subdomain: str
    kind: str
    entity_id: int
    text: str = field(repr=False)
    due: int = 0
    responsible: int | None = None


class StandInCrm:
    """What all accounts have in their CRM."""

    def __init__(self) -> None:
        # What every lead has in a field for long text.
        self.long_text = ""
        self._entities: dict[tuple[str, str, int], Entity] = {}
        self._absent: set[tuple[str, str, int]] = set()
        self._notes: list[Written] = []
        self._tasks: list[Written] = []
        self._lock = threading.RLock()

    @property
    def notes(self) -> list[Written]:
        """The notes so far, in order."""
        with self._lock:
            return list(self._notes)

    @property
    def tasks(self) -> list[Written]:
        """The tasks so far, in order."""
        with self._lock:
            return list(self._tasks)

    def entity(self, account: Account, entity_id: int, kind: str = "leads") -> Entity:
        """One of them, to be looked at or changed."""
        with self._lock:
            made = Entity(kind, entity_id, values={"responsible_user_id": account.account_id + 1})
            return self._entities.setdefault((account.subdomain, kind, entity_id), made)

    def remove(self, account: Account, entity_id: int, kind: str = "leads") -> None:
        """There is no such entity from now on."""
        with self._lock:
            self._absent.add((account.subdomain, kind, entity_id))

    def answer(self, request: Request, account: Account) -> Answer | None:
        """Answer what is about the CRM; None for everything else."""
        stage = _STAGE_PATH.fullmatch(request.path)
        entity = _ENTITY_PATH.fullmatch(request.path)
        notes = _NOTES_PATH.fullmatch(request.path)
        with self._lock:
            match request.method:
                case "GET" if stage:
                    return _stage(int(stage[1]), int(stage[2]))
                case "GET" if entity:
                    return self._show(account, entity[1], int(entity[2]))
                case "PATCH" if entity:
                    return self._change(account, entity[1], int(entity[2]), request)
                case "POST" if notes:
                    return self._add_notes(account, notes[1], int(notes[2]), request)
                case "POST" if request.path == "/api/v4/tasks":
                    return self._add_tasks(account, request)
        return None

    def _exists(self, account: Account, kind: str, entity_id: int) -> bool:
        return (account.subdomain, kind, entity_id) not in self._absent

    def _show(self, account: Account, kind: str, entity_id: int) -> Answer:
        if not self._exists(account, kind, entity_id):
            return Answer(HTTPStatus.NO_CONTENT)
        one = self.entity(account, entity_id, kind)
        custom = one.custom | ({"Note": self.long_text} if self.long_text else {})
        fields = [
            {"field_id": number, "field_name": name, "field_code": None, "field_type": "text",
             "values": [{"value": value}]}
            for number, (name, value) in enumerate(custom.items(), 1)
        ]  # fmt: skip
        tags = [{"id": n, "name": name, "color": None} for n, name in enumerate(one.tags, 1)]
        usual = {"id": entity_id, "name": f"Lead {entity_id}", "price": 0}
        usual |= {"pipeline_id": PIPELINE, "status_id": 100} if kind == "leads" else {}
        return Answer.json(
            200,
            {
                **usual,
                **one.values,
                "custom_fields_values": fields or None,
                "_embedded": {"tags": tags},
            },
        )

    def _change(self, account: Account, kind: str, entity_id: int, request: Request) -> Answer:
        if not self._exists(account, kind, entity_id):
            return problem(HTTPStatus.NOT_FOUND, "Entity not found.")
        body, one = read_json(request.body), self.entity(account, entity_id, kind)
        faults = list(change_faults(body, account, len(one.tags)))
        if faults:
            return invalid_body(faults)
        embedded = body.get("_embedded") or {}
        if "tags" in embedded:
            one.tags[:] = [tag["name"] for tag in embedded["tags"] or ()]
        else:
            added = [tag["name"] for tag in body.get("tags_to_add", ())]
            one.tags.extend(name for name in added if name not in one.tags)
        one.values |= {key: body[key] for key in ("name", "price", "status_id") if key in body}
        return Answer.json(200, {"id": entity_id, "updated_at": 0})

    def _add_notes(self, account: Account, kind: str, entity_id: int, request: Request) -> Answer:
        if not self._exists(account, kind, entity_id):
            return problem(HTTPStatus.NOT_FOUND, "Entity not found.")
        body = read_json(request.body)
        faults = list(each(body, note_faults))
        if faults:
            return invalid_body(faults)
        for one in body:
            text = one["params"]["text"]
            self._notes.append(Written(account.subdomain, kind, entity_id, text))
        return _created("notes", len(self._notes), len(body))

    def _add_tasks(self, account: Account, request: Request) -> Answer:
        body = read_json(request.body)
        exists = partial(self._exists, account)
        faults = list(each(body, partial(task_faults, account=account, exists=exists)))
        if faults:
            return invalid_body(faults)
        for one in body:
            place = account.subdomain, one["entity_type"], one["entity_id"], one["text"]
            responsible = one.get("responsible_user_id")
            self._tasks.append(Written(*place, one["complete_till"], responsible))
        return _created("tasks", len(self._tasks), len(body))


def _stage(pipeline: int, status: int) -> Answer:
    if pipeline != PIPELINE or status not in STAGES:
        return problem(HTTPStatus.NOT_FOUND, "Status not found.")
    return Answer.json(200, {"id": status, "name": STAGES[status], "pipeline_id": pipeline})


def _created(name: str, last: int, count: int) -> Answer:
    made = [{"id": last - count + number + 1, "request_id": str(number)} for number in range(count)]
    return Answer.json(200, {"_embedded": {name: made}})
