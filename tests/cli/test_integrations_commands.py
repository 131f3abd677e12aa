"""`flask integrations`, run as an operator runs it: no secret is ever printed unasked."""

import json
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from helpers import store_in_trouble

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import FIELDS, HELP, Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

INTEGRATION_ID = "0b01c2d3-0000-4000-8000-00000000456c"
SECRET = "integration-secret-abcd"
TOKEN = "long-lived-token-wxyz"
COMMANDS = [
    "list",
    "show",
    "check",
    "add",
    "set",
    "disable",
    "enable",
    "remove",
    "import",
    "export",
    "history",
    "restore",
]


class Operator:
    """Types commands; what was printed is checked for secrets each time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.store = IntegrationStore(settings.store_place, settings.secret_key)

    def __call__(
        self, *arguments: str, typed: str | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        result = self.app.test_cli_runner().invoke(
            args=["integrations", *arguments], input=typed, env=env
        )
        if "--with-secrets" not in arguments:
            assert SECRET not in result.output
            assert TOKEN not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def adds(self, *more: str, subdomain: str = "acme") -> Result:
        secrets_given = ("--secret-key", SECRET, "--access-token", TOKEN)
        names = ("--subdomain", subdomain, "--integration-id", INTEGRATION_ID)
        return self("add", *names, *secrets_given, *more)

    @property
    def acme(self) -> Integration:
        return self.store.get("acme")


@pytest.fixture
def operator(place: Path | str) -> Iterator[Operator]:
    """An operator of each database in turn."""
    settings = Settings(secret_key=secrets.token_hex(32))
    if isinstance(place, Path):
        settings = replace(settings, database_path=place)
    else:
        settings = replace(settings, database_url=place)
    operator = Operator(settings)
    yield operator
    operator.store.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(operator: Operator, command: str) -> None:
    result = operator(command, "--help")

    assert result.exit_code == 0
    explained = result.output.split("Options:")[0].splitlines()
    assert any(line.strip().endswith(".") for line in explained), result.output


def test_an_integration_is_added_by_options(operator: Operator, tmp_path: Path) -> None:
    instructions = tmp_path / "instructions.txt"
    instructions.write_text("Be kind. Ёлка.\n", encoding="utf-8")

    result = operator.adds(
        *("--account-id", "5", "--domain", "amocrm.ru", "--name", "Acme", "--model", "m"),
        *("--instructions-file", str(instructions)),
    )

    assert result.exit_code == 0, result.output
    assert "Added acme.amocrm.ru." in result.output
    assert operator.acme == Integration(
        INTEGRATION_ID,
        "acme",
        account_id=5,
        domain="amocrm.ru",
        name="Acme",
        secret_key=SECRET,
        access_token=TOKEN,
        instructions="Be kind. Ёлка.\n",
        model="m",
    )


def test_secrets_are_taken_from_the_environment(operator: Operator) -> None:
    env = {"KOMMO_SECRET_KEY": SECRET, "KOMMO_ACCESS_TOKEN": TOKEN}

    result = operator("add", "--subdomain", "acme", "--integration-id", INTEGRATION_ID, env=env)

    assert result.exit_code == 0, result.output
    assert (operator.acme.secret_key, operator.acme.access_token) == (SECRET, TOKEN)


def test_secrets_are_asked_for_without_showing_them(operator: Operator) -> None:
    names = ("--subdomain", "acme", "--integration-id", INTEGRATION_ID)

    result = operator("add", *names, typed=f"{SECRET}\n{TOKEN}\n")

    assert "Secret key of the integration:" in result.output
    assert "Long-lived access token:" in result.output
    assert (operator.acme.secret_key, operator.acme.access_token) == (SECRET, TOKEN)


def test_list_and_show_tell_all_but_the_secrets(operator: Operator) -> None:
    place = operator.store.database.place
    assert f"No integrations yet in {place}." in operator("list").output

    operator.adds("--name", "Acme")
    listed, shown = operator("list").output, operator("show", "acme").output

    assert listed.splitlines()[1].split()[:6] == [
        *("acme", INTEGRATION_ID, "-", "kommo.com", "Acme", "enabled")
    ]
    assert "...abcd" in shown
    assert "...wxyz" in shown


def test_set_changes_fields(operator: Operator) -> None:
    operator.adds()

    result = operator("set", "acme", "name=A = B", "temperature=0.5", "model=", "account_id=7")

    assert result.exit_code == 0, result.output
    assert (operator.acme.name, operator.acme.temperature) == ("A = B", 0.5)
    assert (operator.acme.model, operator.acme.account_id) == (None, 7)


def test_show_says_what_holds_where_nothing_is_set(operator: Operator) -> None:
    operator.adds()

    shown = dict(line.split(maxsplit=1) for line in operator("show", "acme").output.splitlines())
    operator("set", "acme", "replies_per_day=0")
    unlimited = operator("show", "acme").output

    assert shown["model"] == "- (OPENAI_MODEL)"
    assert shown["replies_per_day"] == "- (1000 on the shared AI key, no limit with its own key)"
    assert [line.split() for line in unlimited.splitlines()].count(["replies_per_day", "0"]) == 1


def test_a_new_secret_keeps_the_former_one(operator: Operator) -> None:
    operator.adds()

    operator("set", "acme", "secret_key=the-new-secret")
    operator("set", "acme", "secret_key=the-new-secret")

    assert operator.acme.secrets == ("the-new-secret", SECRET)


def test_a_value_may_come_from_a_file_a_pipe_or_a_hidden_prompt(
    operator: Operator, tmp_path: Path
) -> None:
    operator.adds()
    file = tmp_path / "acme.txt"
    file.write_text("Be kind.\n", encoding="utf-8")

    operator("set", "acme", f"instructions=@{file}")
    operator("set", "acme", "name=-", typed="Flora\n")
    asked = operator("set", "acme", "access_token", typed="typed-unseen\n")

    assert operator.acme.instructions == "Be kind."
    assert operator.acme.name == "Flora"
    assert operator.acme.access_token == "typed-unseen"
    assert "typed-unseen" not in asked.output


def test_a_missing_file_empties_nothing(operator: Operator) -> None:
    operator.adds()

    result = operator("set", "acme", "instructions=@nowhere.txt")

    assert result.exit_code == 1
    assert "There is no file nowhere.txt" in result.output


def test_a_cap_on_money_without_prices_is_told(operator: Operator) -> None:
    operator.adds()

    without = operator("set", "acme", "money_per_day=3")
    with_prices = operator("set", "acme", "price_input=1", "price_output=2")

    assert "Warning: money is not counted" in without.stderr
    assert with_prices.stderr == ""


def test_a_text_is_not_lost_without_a_question(operator: Operator) -> None:
    operator.adds()
    operator("set", "acme", f"instructions={'x' * 212}")

    asked = operator("set", "acme", "instructions=", typed="n\n")

    assert "instructions: 212 -> 0 characters" in asked.output
    assert asked.exit_code == 1
    assert len(operator.acme.instructions) == 212
    assert operator("set", "acme", "instructions=", "--yes").exit_code == 0
    assert not operator.acme.instructions


def test_a_files_name_is_not_taken_for_its_content(operator: Operator, tmp_path: Path) -> None:
    operator.adds()
    file = tmp_path / "acme.txt"
    file.touch()

    result = operator("set", "acme", f"instructions={file}", typed="n\n")

    assert f"instructions=@{file} takes its content" in result.output
    assert not operator.acme.instructions


@pytest.mark.parametrize(
    "command",
    [["enable", "acme"], ["set", "acme", "name=New"], ["remove", "acme", "--yes"]],
    ids=str,
)
def test_what_the_next_start_would_undo_is_refused(operator: Operator, command: list[str]) -> None:
    operator.adds("--name", "Old")
    items = [
        {"subdomain": "acme", "integration_id": INTEGRATION_ID, "name": "Old", "enabled": False}
    ]
    filled = Operator(replace(operator.settings, kommo_integrations=json.dumps(items)))

    result = filled(*command)

    assert result.exit_code == 1
    assert "entry 1 (acme) of KOMMO_INTEGRATIONS" in result.output
    assert (filled.acme.name, filled.acme.enabled) == ("Old", False)
    assert filled("set", "acme", "model=other").exit_code == 0


def test_an_import_that_the_next_start_would_undo_is_warned_of(operator: Operator) -> None:
    operator.adds("--name", "Old")
    items = json.loads(operator("export").output)
    filled = Operator(replace(operator.settings, kommo_integrations=json.dumps(items)))
    items[0]["name"] = "New"

    result = filled("import", "-", typed=json.dumps(items))

    undone = "entry 1 (acme) of KOMMO_INTEGRATIONS names name and would put its own value back"
    assert f"Warning: {undone} at the next start.\n" in result.stderr
    assert result.exit_code == 0


def test_what_was_disabled_by_hand_outlives_a_start(operator: Operator) -> None:
    operator.adds()
    [item] = json.loads(operator("export").output)
    settings = replace(operator.settings, kommo_integrations=json.dumps([item]))

    assert Operator(settings)("disable", "acme").exit_code == 0

    assert not Operator(settings).acme.enabled


ODD_SHAPES = [
    ("integration_id=123", "an integration id is a UUID of 36 characters; this has 3"),
    ("secret_key=short", "a secret key has 64 letters and digits; this has 5"),
    ("access_token=abc", "a long-lived token is three long parts joined by dots"),
]


@pytest.mark.parametrize(("change", "told"), ODD_SHAPES)
def test_what_does_not_look_like_kommos_is_stored_with_a_warning(
    operator: Operator, change: str, told: str
) -> None:
    operator.adds()

    changed = operator("set", "acme", change)
    again = operator("set", "acme", "name=New")

    assert changed.exit_code == 0
    assert (
        f"Warning: {change.partition('=')[0]} does not look like Kommo's: {told}" in changed.stderr
    )
    assert again.stderr == ""


def test_what_looks_like_kommos_gives_no_warning(operator: Operator) -> None:
    token = f"{'a' * 40}.{'b_-' * 200}.{'c' * 80}"
    env = {"KOMMO_SECRET_KEY": secrets.token_hex(32), "KOMMO_ACCESS_TOKEN": token}

    good = operator("add", "--subdomain", "acme", "--integration-id", INTEGRATION_ID, env=env)
    odd = operator.adds(subdomain="odd")
    listed = operator("export", "--with-secrets").output.replace('"acme"', '"third"')
    imported = operator("import", "-", typed=listed)

    assert good.stderr == ""
    assert odd.stderr.count("Warning: ") == 2
    assert imported.stderr == ""
    assert token not in imported.output


def test_history_lists_the_versions_and_restore_goes_back_to_one(operator: Operator) -> None:
    operator.adds()
    empty = operator("history", "acme").output
    operator("set", "acme", "instructions=We are open\nfrom 9 to 20 h. " + "x" * 100)
    operator("set", "acme", "instructions=Closed.", "--yes")

    restored = operator("restore", "acme", "1")

    rows = [line.split(maxsplit=5) for line in operator("history", "acme").output.splitlines()]
    assert empty == "The instructions have not changed since versions are kept.\n"
    assert "again: 7 -> 128 characters." in restored.output
    assert [(row[0], row[3], row[4]) for row in rows[1:]] == [
        ("3", "command", "128"),
        ("2", "command", "7"),
        ("1", "command", "128"),
    ]
    assert rows[1][5].startswith("We are open from 9 to 20 h. xxx")
    assert operator.acme.instructions == operator("history", "acme", "1").output[:-1]


def test_a_version_that_is_not_kept_is_told(operator: Operator) -> None:
    operator.adds()

    result = operator("restore", "acme", "7")

    assert result.exit_code == 1
    assert "no version 7 of its instructions: flask integrations history acme" in result.output


@pytest.mark.parametrize("typed", ["https://Acme.kommo.com", "acme.kommo.com/", "acme.kommo.com"])
def test_the_address_of_an_account_is_understood(operator: Operator, typed: str) -> None:
    assert operator.adds(subdomain=typed).exit_code == 0
    assert operator.acme.host == "acme.kommo.com"


def test_the_address_says_the_domain_too(operator: Operator) -> None:
    operator.adds(subdomain="https://acme.amocrm.ru/leads/")

    assert operator.acme.host == "acme.amocrm.ru"


def test_a_renamed_account_is_named_anew(operator: Operator) -> None:
    operator.adds()

    assert operator("set", "acme", "subdomain=Renamed").exit_code == 0
    assert [item.subdomain for item in operator.store.all()] == ["renamed"]


def test_disabling_and_enabling(operator: Operator) -> None:
    operator.adds()

    assert operator("disable", "acme").output == "Disabled acme.kommo.com.\n"
    assert operator.acme.secrets == ()
    assert operator("enable", "acme").output == "Enabled acme.kommo.com.\n"
    assert SECRET in operator.acme.secrets


def test_removing_asks_first(operator: Operator) -> None:
    operator.adds()

    assert operator("remove", "acme", typed="n\n").exit_code == 1
    assert operator.store.count() == 1
    assert operator("remove", "acme", "--yes").exit_code == 0
    assert operator.store.count() == 0


def test_an_export_can_be_imported(operator: Operator, tmp_path: Path) -> None:
    operator.adds("--name", "Ёлка")
    file = tmp_path / "export.json"
    file.write_text(operator("export", "--with-secrets").output, encoding="utf-8")
    before = operator.acme
    operator("remove", "acme", "--yes")

    result = operator("import", str(file))

    assert result.stdout == "Imported 1 integration: 1 added, 0 changed, 0 unchanged.\n"
    assert operator.acme == before


def test_an_import_says_what_it_added_and_changed(operator: Operator) -> None:
    for subdomain in ("acme", "beta", "gamma"):
        operator.adds(subdomain=subdomain)
    items = json.loads(operator("export", "--with-secrets").output)
    items[1]["name"] = "Beta"
    items.append({**items[0], "subdomain": "new"})

    result = operator("import", "-", typed=json.dumps(items))

    assert result.stdout == "Imported 4 integrations: 1 added, 1 changed, 2 unchanged.\n"


def test_an_import_of_two_entries_for_one_account_is_refused_with_both_named(
    operator: Operator,
) -> None:
    operator.adds()
    [item] = json.loads(operator("export", "--with-secrets").output)
    twin = {**item, "subdomain": "ACME", "name": "Twin"}
    items = [item, {**item, "subdomain": "beta"}, twin]

    result = operator("import", "-", typed=json.dumps(items))

    assert result.exit_code == 1
    assert "entry 1 (acme) and entry 3 (acme) are the same integration" in result.output
    assert [one.subdomain for one in operator.store.all()] == ["acme"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"secret_key": ""}, "entry 2 (beta): secret_key must not be empty"),
        ({"temperature": 3}, "entry 2 (beta): temperature must be a number from 0 to 2"),
        ({"history": "many"}, "entry 2 (beta): history must be a whole number"),
        ({"modle": "x"}, "entry 2 (beta): 'modle' is not a field. Did you mean model?"),
        ({"subdomain": ""}, "entry 2: The field 'subdomain' is missing."),
        ({"subdomain": "a b"}, "entry 2: subdomain must be the first label"),
    ],
    ids=str,
)
def test_an_error_of_an_import_names_entry_account_and_field(
    operator: Operator, change: dict[str, object], told: str
) -> None:
    good = {"subdomain": "acme", "integration_id": INTEGRATION_ID, "secret_key": SECRET}
    items = [good, {**good, "subdomain": "beta", **change}]

    result = operator("import", "-", typed=json.dumps(items))

    assert result.output.startswith(f"Error: {told}")
    assert operator.store.count() == 0


def test_an_export_without_secrets_changes_none_when_imported(operator: Operator) -> None:
    operator.adds()
    before = operator.acme
    exported = operator("export").output

    result = operator("import", "-", typed=exported)

    assert result.exit_code == 0, result.output
    assert not {"secret_key", "access_token", "ai_api_key"} & set(json.loads(exported)[0])
    assert operator.acme == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "other"], "There is no integration 'other'"),
        (["set", "other", "name=x"], "There is no integration"),
        (["disable", "other"], "There is no integration"),
        (["remove", "other"], "There is no integration"),
        (["set", "acme", "shade=red"], "'shade' is not a field. Fields are integration_id,"),
        (["set", "acme", "modle=x"], "'modle' is not a field. Did you mean model?"),
        (["set", "acme", 'no_text_text={"en": "a",}'], "no_text_text must not be empty"),
        (["set", "acme", SECRET], "Say KEY=VALUE"),
        (["set", "acme", "history=many"], "history must be a whole number from 0 to 200"),
        (["set", "acme", "secret_key="], "secret_key must not be empty"),
        (["set", "acme", "domain=evil.com"], "domain must be one of"),
        (["set", "acme", "subdomain=second"], "second has this integration already"),
    ],
)
def test_an_error_is_told_in_one_line(operator: Operator, arguments: list[str], told: str) -> None:
    operator.adds()
    operator.adds(subdomain="second")

    result = operator(*arguments)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert told in result.output
    assert len(result.output.splitlines()) == 1


@pytest.fixture
def foreign(operator: Operator) -> None:
    """Beside acme, an integration whose secrets were encrypted with another `SECRET_KEY`."""
    operator.adds()
    other = IntegrationStore(operator.settings.store_place, secrets.token_hex(32))
    other.add(replace(operator.acme, subdomain="foreign"))
    other.close()


@pytest.mark.usefixtures("foreign")
def test_an_integration_of_another_secret_key_does_not_hide_the_others(operator: Operator) -> None:
    listed, exported = operator("list"), operator("export")

    assert "acme" in listed.stdout
    assert [item["subdomain"] for item in json.loads(exported.stdout)] == ["acme"]


@pytest.mark.usefixtures("foreign")
def test_an_integration_of_another_secret_key_is_told_and_can_be_removed(
    operator: Operator,
) -> None:
    for arguments in (["show", "foreign"], ["set", "foreign", "name=x"], ["check", "foreign"]):
        result = operator(*arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: SECRET_KEY is not the one")
        assert len(result.output.splitlines()) == 1

    assert operator("remove", "foreign", "--yes").exit_code == 0
    assert operator.store.count() == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_store_that_cannot_be_written_is_told_in_one_line(operator: Operator) -> None:
    operator.adds()
    settings = operator.settings

    # A thread of its own has a connection of its own, which meets the file as it is then.
    with store_in_trouble(settings.database_path, "read-only"), ThreadPoolExecutor(1) as pool:
        result = pool.submit(operator, "set", "acme", "name=x").result()

    assert result.exit_code == 1
    assert result.output.startswith("Error: The integration store cannot be used: ")


def test_adding_twice_is_told(operator: Operator) -> None:
    operator.adds()

    result = operator.adds()

    assert result.exit_code == 1
    assert "flask integrations set acme" in result.output


@pytest.mark.parametrize("text", ["{", "{}", "[5]", "[{}]", '[{"colour": 1}]', "[" * 100_000])
def test_a_wrong_import_is_told_and_stores_nothing(operator: Operator, text: str) -> None:
    result = operator("import", "-", typed=text)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert operator.store.count() == 0


def test_the_help_of_set_says_what_each_field_means_and_must_be(operator: Operator) -> None:
    printed = " ".join(operator("set", "--help").output.split())

    assert "history How many exchanges of a conversation are remembered" in printed
    assert "Must be a whole number from 0 to 200." in printed
    assert [name for name in FIELDS if f" {name} {HELP[name]}" not in printed] == []
