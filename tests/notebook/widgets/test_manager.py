"""ProviderManager, through its widgets: every click works at once, every mistake is told, no key is left anywhere."""

from __future__ import annotations

import io
import logging
import os
import re
from pathlib import Path

import ipywidgets
import keyring
import pytest
from ipywidgets import Button
from ipywidgets.widgets.widget import _instances

import hybrid_nb as hnb
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.notebook.widgets.providers.lines import is_shown
from hybrid_nb.notebook.widgets.providers.manager import ProviderManager
from hybrid_nb.notebook.widgets.providers.offers import new_ones
from hybrid_nb.notebook.widgets.selector import ProviderSelector
from hybrid_nb.providers import vendor
from hybrid_nb.router import Router, set_default_router
from hybrid_nb.sim import Fault
from tests.notebook.widgets.front import everything, fill, said, until
from tests.test_changing import MemoryKeyring

KEY = "hunter2-PLANTED-secret"


@pytest.fixture
def open_manager():
    """A function that opens managers, which are closed at the end."""
    made: list[ProviderManager] = []

    def open_(source) -> ProviderManager:
        made.append(ProviderManager(source))
        return made[-1]

    yield open_
    for manager in made:
        manager.close()


@pytest.fixture
def manager(router, open_manager) -> ProviderManager:
    return open_manager(router)


@pytest.fixture
def ring():
    before, mine = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture
def file(tmp_path, fleet) -> Path:
    path = tmp_path / "team.toml"
    path.write_text(f"# ours\n[router]\nretries = 1\n\n[ledger]\nurl = 'sqlite:///{tmp_path}/l.db'\n\n{fleet.toml()}")
    return path


def choose(manager: ProviderManager, name: str) -> None:
    manager.list.chooser.value = name


def adding(manager: ProviderManager, kind: str):
    manager.toggles["Add a provider"].value = True
    manager.adding.kind.value = kind
    return manager.adding.form


def well(manager: ProviderManager) -> bool:
    return manager.trouble is None and "problem" not in said(manager)


# --- the list -----------------------------------------------------------------------------------------------


def test_the_list_shows_every_provider_and_follows(manager, router):
    router.chat("What is 6 * 7?", model="openai/simulated-openai")
    until(lambda: "healthy" in manager.list.table.value)
    table = manager.list.table.value
    assert "<caption>Providers</caption>" in table
    assert re.search(r'<th scope="row">openai</th>.*?\$0\.0000\d+</td></tr>', table)
    text = manager.saved().text
    assert [line.split()[0] for line in text.split("\n")[2:]] == ["openai", "anthropic", "gemini", "ollama"]
    router.remove_provider("gemini")
    until(lambda: manager.list.chooser.options == ("openai", "anthropic", "ollama"))
    assert "gemini" not in manager.saved().html


def test_a_cost_that_is_not_known_is_not_nothing(make_router, fleet, open_manager):
    item = {k: v for k, v in fleet.config()["provider"][0].items() if k != "prices"}
    router = make_router([item])
    router.chat("hi")
    manager = open_manager(router)
    assert manager.list.rows[0].spent is None
    assert manager.saved().text.split("\n")[-1].endswith("–")


def test_what_is_chosen_stays_and_buttons_are_not_made_anew(manager, router):
    choose(manager, "gemini")
    buttons = manager.list.actions.children
    router.remove_provider("openai")
    until(lambda: "openai" not in manager.list.chooser.options)
    assert manager.list.name == "gemini"
    assert manager.list.actions.children == buttons
    router.remove_provider("gemini")
    until(lambda: "gemini" not in manager.list.chooser.options)
    assert manager.list.name == "anthropic"


def test_texts_from_outside_are_escaped(make_router, open_manager):
    router = make_router([{"name": "a", "type": "openai", "models": ["<script>"], "region": "<b>"}])
    router.configure(group={"<img src=x>": ["a/<script>"]})
    manager = open_manager(router)
    for words in manager.toggles:
        manager.toggles[words].value = True
    manager.list.remove.click()
    shown = [w for w in _all(manager) if isinstance(w, ipywidgets.HTML)]
    assert "in group &lt;img src=x&gt;" in manager.list.words.value
    assert all("<img" not in w.value and "<script>" not in w.value for w in shown)
    assert "<script>" not in manager.saved().html


def _all(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all(child)


def test_disabling_works_at_once_and_is_undone(manager, router):
    choose(manager, "openai")
    manager.list.enable.click()
    assert router.plan("hi").chosen.provider == "anthropic"
    assert manager.list.enable.description == "Enable"
    assert "disabled" in manager.list.table.value
    assert manager.bar.undo.description == "Undo: change openai"
    manager.bar.undo.click()
    assert router.plan("hi").chosen.provider == "openai"
    assert manager.bar.undo.disabled
    assert well(manager)


def test_moving_is_the_order_of_the_plan(manager, router):
    choose(manager, "gemini")
    manager.list.up.click()
    manager.list.up.click()
    assert router.plan("hi").chosen.provider == "gemini"
    assert (manager.list.name, manager.list.up.disabled) == ("gemini", True)
    manager.list.down.click()
    assert router.plan("hi").chosen.provider == "openai"


def test_removing_asks_first_and_takes_it_out_everywhere(make_router, fleet, open_manager):
    router = make_router({**fleet.config(), "group": {"fast": ["gemini/simulated-gemini", "ollama/simulated-ollama"]}})
    manager = open_manager(router)
    choose(manager, "gemini")
    manager.list.remove.click()
    assert "It is also in group fast" in manager.list.words.value
    manager.list.no.click()
    assert not is_shown(manager.list.question)
    manager.list.remove.click()
    manager.list.yes.click()
    assert "gemini" not in router.provider_names()
    assert router.settings.group == {"fast": ("ollama/simulated-ollama",)}
    manager.bar.undo.click()
    assert router.settings.group["fast"][0] == "gemini/simulated-gemini"


def test_the_question_is_about_who_was_chosen_then(manager, router):
    choose(manager, "gemini")
    manager.list.remove.click()
    choose(manager, "openai")
    assert not is_shown(manager.list.question)
    manager.list.remove.click()
    assert "Remove openai?" in manager.list.words.value


# --- testing ------------------------------------------------------------------------------------------------


def test_a_test_shows_each_step_as_it_ends(manager):
    drawn = []
    manager.list.tester.result.observe(lambda change: drawn.append(change["new"]), "value")
    choose(manager, "openai")
    manager.list.test.click()
    manager.list.tester.thread.join(15)
    assert [(d.count("</span>ok"), "testing …" in d) for d in drawn] == [(0, True), (1, True), (2, True), (3, False)]
    result = manager.list.tester.result.value
    assert "simulated-openai answered" in result
    assert result.count("</span>ok") == 3
    assert "testing" not in result
    assert well(manager)


def test_a_server_that_is_not_there_says_what_to_do(manager, fleet):
    fleet["openai"].kill()
    choose(manager, "openai")
    manager.list.test.click()
    manager.list.tester.thread.join(20)
    result = manager.list.tester.result.value
    assert "Look at its address, and whether the server runs." in result
    assert result.count("not tried") == 2
    assert manager.editor is None


def test_a_wrong_key_is_told_at_the_keys_field(make_router, fleet, open_manager):
    item = {**fleet.config()["provider"][0], "api_key": "sim-key-that-is-wrong"}
    manager = open_manager(make_router([item]))
    manager.list.test.click()
    manager.list.tester.thread.join(15)
    assert "AuthenticationError" in manager.editor.key.shown
    assert is_shown(manager.editing)
    assert "sim-key-that-is-wrong" not in everything()
    fill(manager.editor.key.typed, value="sim-key")
    assert "AuthenticationError" not in manager.editor.key.shown
    manager.list.test.click()
    manager.list.tester.thread.join(15)
    assert manager.list.tester.result.value.count("</span>ok") == 3


# --- adding and editing -------------------------------------------------------------------------------------


def test_a_provider_is_added_by_its_form_and_works_at_once(make_router, fleet, open_manager):
    router = make_router([])
    manager = open_manager(router)
    assert manager.toggles["Add a provider"].value  # an empty router says what to do
    assert "No provider yet" in manager.list.table.value
    form = adding(manager, "openai")
    assert form.lines["name"].value == "openai"
    assert "https://platform.openai.com/api-keys" in form.key.shown
    form.lines["base_url"].input.value = fleet["openai"].base_url
    form.lines["models"].input.value = "simulated-openai"
    form.lines["prices"].input.value = "simulated-openai = input 1, output 2"
    form.key.place.value = "environment"
    fill(form.key.typed, value="sim-key")
    assert "typed" in form.key.shown
    form.main.click()
    assert well(manager), said(manager)
    try:
        assert router.chat("What is 6 * 7?").text == "6 * 7 = 42."
        assert manager.list.rows[0].key == "env:OPENAI_API_KEY"
        assert manager.adding.form is None
        assert manager.list.name == "openai"
    finally:
        os.environ.pop("OPENAI_API_KEY", None)


def test_all_mistakes_are_told_at_once_at_their_fields_and_nothing_is_lost(manager, router):
    before = router.settings
    form = adding(manager, "custom")
    texts = {"name": "openai", "base_url": "10.0.0.5", "rpm": "-3", "prices": "cheap", "models": "a, b"}
    for name, text in texts.items():
        form.lines[name].input.value = text
    form.main.click()
    told = {name: line.told for name, line in form.lines.items() if line.told}
    assert set(told) == {"name", "base_url", "rpm", "prices"}
    assert "http://" in told["base_url"]
    assert "greater than 0" in told["rpm"]
    assert 'role="alert"' in told["name"]
    assert form.more.value  # where two of them stand
    assert {name: form.lines[name].value for name in texts} == texts
    assert router.settings == before
    assert "problem" in said(manager)
    form.lines["name"].input.value = "mine"
    form.lines["base_url"].input.value = "http://127.0.0.1:9"
    form.lines["rpm"].input.value = form.lines["prices"].input.value = ""
    form.main.click()
    assert router.settings.provider[-1].model_dump(exclude_unset=True) == {
        "name": "mine", "type": "custom", "base_url": "http://127.0.0.1:9", "models": ("a", "b"), "tier": "cloud",
    }  # fmt: skip


def test_the_servers_models_are_found_before_it_is_added(manager, fleet):
    form = adding(manager, "ollama")
    form.lines["base_url"].input.value = fleet["ollama"].base_url
    form.find.click()
    until(lambda: form.found.options)
    assert form.found.options == ("simulated-ollama:latest",)
    form.found.value = form.found.options
    assert form.lines["models"].value == "simulated-ollama:latest"


def test_looking_for_models_without_an_address_or_server_says_so(manager):
    form = adding(manager, "custom")
    form.find.click()
    assert "needed" in form.lines["base_url"].told
    form.lines["base_url"].input.value = "http://127.0.0.1:9/v1"
    form.find.click()
    until(lambda: "ConnectionFailedError" in said(manager))


def test_editing_changes_only_what_was_changed(manager, router):
    choose(manager, "gemini")
    before = router.settings.provider[2].model_dump(exclude_unset=True)
    manager.list.edit.click()
    form = manager.editor
    assert form.lines["models"].value == "simulated-gemini"
    assert form.lines["prices"].value == "simulated-gemini = input 1, output 2"
    form.main.click()
    assert router.undoable is None  # nothing was changed
    manager.list.edit.click()
    manager.editor.lines["rpm"].input.value = "60"
    manager.editor.lines["region"].input.value = "eu"
    manager.editor.main.click()
    assert router.settings.provider[2].model_dump(exclude_unset=True) == {**before, "rpm": 60, "region": "eu"}
    manager.list.edit.click()
    manager.editor.lines["rpm"].input.value = ""
    manager.editor.main.click()
    assert router.settings.provider[2].model_dump(exclude_unset=True) == {**before, "region": "eu"}
    assert not is_shown(manager.editing)


def test_the_form_of_a_provider_that_is_gone_is_closed(manager, router):
    choose(manager, "gemini")
    manager.list.edit.click()
    router.remove_provider("gemini")
    until(lambda: manager.editor is None)
    assert not is_shown(manager.editing)
    assert well(manager)


def test_undoing_a_key_says_that_it_stays_where_it_is(ring, manager, router):
    manager.list.edit.click()
    fill(manager.editor.key.typed, value=KEY)
    manager.bar.undo.click()
    assert "the key stays where it is kept" in said(manager)
    assert router.settings.provider[0].api_key == "sim-key"


def test_a_provider_of_several_addresses_keeps_them(make_router, fleet, open_manager):
    places = [{"base_url": fleet["openai"].base_url, "api_key": "sim-key"}] * 2
    router = make_router([{"name": "a", "type": "custom", "endpoints": places, "models": ["simulated-openai"]}])
    manager = open_manager(router)
    manager.list.edit.click()
    form = manager.editor
    form.lines["rpm"].input.value = "60"
    form.main.click()
    assert "It has 2 addresses" in form.told.value
    assert len(router.settings.provider[0].endpoints) == 2
    assert router.settings.provider[0].rpm == 60


def test_local_servers_that_run_are_offered(manager, router, fleet):
    there = Provider("ollama", vendor("ollama"), (Endpoint(fleet["ollama"].base_url),), tier="local")
    other = Provider("ollama", vendor("ollama"), (Endpoint("http://127.0.0.1:9"),), tier="local")
    manager.adding.offer([there, other])
    assert len(manager.adding.offers.children) == 1  # the first is configured already
    words, add = manager.adding.offers.children[0].children
    assert "Found Ollama at http://127.0.0.1:9" in words.value
    add.click()
    assert router.provider_names()[-1] == "ollama-2"
    manager.adding.offer([there])
    assert "No local server" in manager.adding.offers.children[0].value
    assert new_ones([there], ["http://localhost:1"]) == [there]


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_is_nowhere_but_where_it_is_kept(ring, file, open_manager, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    manager = open_manager(str(file))
    choose(manager, "openai")
    manager.list.edit.click()
    entry = manager.editor.key
    assert entry.place.value == "keyring"
    sent = fill(entry.typed, value=KEY)
    assert ring.kept == {("hybrid_nb", "openai"): KEY}
    assert "set (keyring:openai)" in entry.shown
    assert KEY not in repr(sent)
    assert ["value" in str(message) for message in sent] == [True]  # one, which empties it
    form = adding(manager, "anthropic")
    sent += fill(form.key.typed, value=KEY)
    for words in manager.toggles:
        manager.toggles[words].value = True
    manager.list.test.click()
    manager.list.tester.thread.join(15)
    form.main.click()
    manager.bar.save.click()
    assert ring.kept["hybrid_nb", "anthropic-2"] == KEY
    router = manager.router
    seen = [
        everything(), repr(manager), str(vars(form)), str(manager.saved()), manager.exchange.link.value,
        router.to_toml(), file.read_text(), router.describe(), repr(router.settings), str(router.unsaved()),
        repr(sent), repr(router), caplog.text, *capsys.readouterr(),
        *(p.read_text("latin-1") for p in file.parent.rglob("*") if p.is_file()),
    ]  # fmt: skip
    assert [text for text in seen if KEY in text] == []
    assert "keyring:anthropic-2" in file.read_text()


def test_no_message_with_a_key_is_logged(manager, caplog):
    caplog.set_level(logging.DEBUG)
    form = adding(manager, "anthropic")
    manager.toggles["Import, export"].value = True
    for widget in (form.key.typed, manager.exchange.text, form.lines["name"].input):
        data = {"method": "update", "state": {"value": f'api_key = "{KEY}"'}, "buffer_paths": []}
        widget.comm.handle_msg({"content": {"data": data}, "buffers": []})
    logged = [record.args[0] for record in caplog.records if KEY in record.getMessage()]
    assert logged == [form.lines["name"].input.model_id]  # what was typed elsewhere is logged, where that is wanted


@pytest.mark.parametrize(("typed", "told"), [("a\nb", "line break"), ("“abc”", "no key has"), ("   ", "empty")])
def test_what_is_no_key_is_told_at_its_field(ring, manager, typed, told):
    manager.list.edit.click()
    fill(manager.editor.key.typed, value=typed)
    assert told in manager.editor.key.shown
    assert manager.editor.key.typed.value == ""
    assert ring.kept == {}


def test_a_keyring_that_refuses_leaves_the_provider_without_a_key_and_says_so(ring, manager, router):
    form = adding(manager, "groq")
    fill(form.key.typed, value=KEY)
    ring.refuses = True
    form.main.click()
    assert router.provider_names()[-1] == "groq"
    assert (manager.editor.name, "keep it in the environment" in manager.editor.key.shown) == ("groq", True)
    assert KEY not in everything()


def test_without_a_keyring_the_kernel_is_the_only_choice(manager):
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    try:
        manager.list.edit.click()
        assert [place for _, place in manager.editor.key.place.options] == ["environment"]
    finally:
        keyring.set_keyring(before)


# --- settings -----------------------------------------------------------------------------------------------


def line(manager: ProviderManager, name: str, section: str = "router"):
    manager.toggles["Settings"].value = True
    return manager.settings.lines[section, name]


def test_a_setting_works_at_once_and_is_undone(manager, router):
    line(manager, "strategy").input.value = "cheapest"
    line(manager, "retries").input.value = "0"
    line(manager, "failover").input.value = False
    line(manager, "daily_usd", "budget").input.value = "0.25"
    line(manager, "mode", "cache").input.value = "on"
    s = router.settings
    assert (s.router.strategy, s.router.retries, s.router.failover) == ("cheapest", 0, False)
    assert (float(s.budget.daily_usd), s.cache.mode) == (0.25, "on")
    assert well(manager)
    for _ in range(5):
        manager.bar.undo.click()
    assert router.settings.router.strategy == "tiered"
    assert line(manager, "strategy").value == "tiered"
    assert line(manager, "daily_usd", "budget").value == "5"
    assert router.undoable is None


def test_a_wrong_setting_is_told_at_its_line_and_the_old_one_stays(manager, router):
    for text, told in (("-1", "greater than or equal to 0"), ("many", "whole number")):
        line(manager, "retries").input.value = text
        assert told in line(manager, "retries").told
        assert "stays as it was" in said(manager)
    assert router.settings.router.retries == 2
    router.configure(hedge=0.9)
    until(lambda: line(manager, "hedge").value == "0.9")
    assert line(manager, "retries").value == "many"  # what was typed is not lost
    line(manager, "retries").input.value = "3"
    assert (line(manager, "retries").told, router.settings.router.retries) == ("", 3)
    line(manager, "default_model").input.value = "nobody/m"
    assert "no provider" in line(manager, "default_model").told


def test_an_empty_line_is_the_default_or_no_limit(manager, router):
    line(manager, "timeout").input.value = "7"
    line(manager, "timeout").input.value = ""
    assert (router.settings.router.timeout, line(manager, "timeout").value) == (120, "120")
    line(manager, "daily_usd", "budget").input.value = ""
    assert router.settings.budget.daily_usd is None
    line(manager, "hedge").input.value = "0.9"
    line(manager, "hedge").input.value = ""
    assert router.settings.router.hedge is None
    line(manager, "discover").input.value = True
    line(manager, "discover").input.value = ""
    assert router.settings.router.discover is None
    assert well(manager)


def test_a_rollout_is_started_and_ended(manager, router):
    manager.toggles["Settings"].value = True
    lines = manager.settings.rollouts.lines
    for name, text in {"model": "*", "to": "nobody/m", "percent": "10"}.items():
        lines[name].input.value = text
    manager.settings.rollouts.start.click()
    assert "no provider" in lines["to"].told
    lines["to"].input.value = "gemini/simulated-gemini"
    lines["percent"].input.value = "101"
    manager.settings.rollouts.start.click()
    assert "less than or equal to 100" in lines["percent"].told
    lines["percent"].input.value = "10"
    manager.settings.rollouts.start.click()
    assert router.settings.rollout["*"].percent == 10
    assert "gemini/simulated-gemini" in manager.settings.rollouts.running.value
    manager.settings.rollouts.end.click()
    assert router.settings.rollout == {}
    assert not is_shown(manager.settings.rollouts.ending)


# --- the file -----------------------------------------------------------------------------------------------


def test_unsaved_changes_are_listed_and_saved(file, open_manager):
    manager = open_manager(str(file))
    assert "All changes are saved" in manager.bar.unsaved.value
    manager.router.configure(retries=0)
    until(lambda: "1 unsaved change;" in manager.bar.unsaved.value)
    assert "router.retries: 1 -&gt; 0" in manager.bar.unsaved.value
    manager.bar.save.click()
    assert "All changes are saved" in manager.bar.unsaved.value
    assert "retries = 0" in file.read_text()
    assert file.read_text().startswith("# ours")


@pytest.mark.parametrize(("answer", "retries"), [("take", 5), ("overwrite", 0)])
def test_a_conflict_shows_theirs_and_asks(file, open_manager, answer, retries):
    manager = open_manager(str(file))
    file.write_text(file.read_text().replace("retries = 1", "retries = 5"))
    manager.router.configure(retries=0)
    manager.bar.save.click()
    assert is_shown(manager.bar.conflict)
    assert "router.retries: 1 -&gt; 5" in manager.bar.theirs.value
    assert "retries = 5" in file.read_text()
    getattr(manager.bar, answer).click()
    assert manager.router.settings.router.retries == retries
    assert f"retries = {retries}" in file.read_text()
    assert not is_shown(manager.bar.conflict)
    assert "All changes are saved" in manager.bar.unsaved.value


def test_reload_takes_what_the_file_says(file, open_manager):
    manager = open_manager(str(file))
    file.write_text(file.read_text().replace("retries = 1", "retries = 5"))
    manager.exchange.reload.click()
    assert manager.router.settings.router.retries == 5
    assert "router.retries: 1 -&gt; 5" in said(manager)
    file.write_text("[router")
    manager.exchange.reload.click()
    assert "not valid TOML" in said(manager)
    assert manager.router.settings.router.retries == 5


def test_a_configuration_is_imported_with_its_keys_and_they_are_not_shown(manager, router, fleet):
    manager.toggles["Import, export"].value = True
    sent = fill(manager.exchange.text, value=fleet.toml().replace("sim-key", KEY))
    assert "<key 1>" in manager.exchange.text.value
    assert KEY not in everything() + repr(sent)
    manager.exchange.use.click()
    assert well(manager), said(manager)
    assert router.settings.provider[0].api_key == KEY
    assert manager.exchange.text.value == ""
    assert KEY not in everything() + manager.exchange.link.value
    assert "Undo: another configuration" in manager.bar.undo.description


def test_an_import_with_a_mistake_changes_nothing(manager, router):
    before = router.settings
    for text, told in (("[router", "not valid TOML"), ("", "nothing to import"), ("[router]\nretries = -1", "retries")):
        manager.exchange.text.value = text
        manager.exchange.use.click()
        assert told in said(manager)
        assert manager.exchange.text.value == text
    assert router.settings == before


def test_an_uploaded_file_is_read_and_emptied(manager):
    manager.toggles["Import, export"].value = True

    def upload(content: bytes) -> None:
        given = {"name": "a.toml", "type": "", "size": len(content), "last_modified": 0, "content": memoryview(content)}
        fill(manager.exchange.upload, value=[given])

    upload(f'[[provider]]\nname = "a"\ntype = "openai"\napi_key = "{KEY}"\n'.encode())
    assert 'name = "a"' in manager.exchange.text.value
    assert manager.exchange.upload.value == ()
    assert KEY not in everything()
    upload(b"\xff\xfe")
    assert "no text in UTF-8" in said(manager)


def test_the_export_is_the_configuration_without_keys(manager, router, make_router, tmp_path):
    manager.toggles["Import, export"].value = True
    text = manager.exchange.exported.value
    assert text == router.to_toml()
    assert "sim-key" not in text
    assert 'download="hybrid_nb.toml"' in manager.exchange.link.value


# --- a file with mistakes, no provider, a closed router -------------------------------------------------------


def test_a_broken_file_opens_with_its_mistakes_and_the_rest_works(file, open_manager):
    text = file.read_text().replace("retries = 1", "retries = -1").replace('type = "ollama"', "type = ollama")
    file.write_text(text)
    manager = open_manager(str(file))
    assert is_shown(manager.mending.box)
    assert "router.retries: must be greater than or equal to 0" in manager.mending.flaws.value
    assert "&gt;    3 | retries = -1" in manager.mending.flaws.value
    assert "    2 | [router]" in manager.mending.flaws.value
    assert manager.router.chat("What is 6 * 7?").text == "6 * 7 = 42."
    assert "sim-key" not in everything()
    assert "line 3" in manager.saved().text
    line(manager, "strategy").input.value = "cheapest"
    assert manager.bar.save.disabled
    assert file.read_text() == text


def test_a_broken_file_is_mended_in_its_text(file, open_manager):
    good = file.read_text()
    file.write_text(good.replace("retries = 1", "retries = -1"))
    manager = open_manager(str(file))
    shown = manager.mending.text.value
    fill(manager.mending.text, value=shown.replace("retries = -1", "retries = oops"))
    manager.mending.check.click()
    assert "not written" in said(manager)
    assert "oops" in manager.mending.flaws.value
    fill(manager.mending.text, value=shown.replace("retries = -1", "retries = 1"))
    manager.mending.check.click()
    assert file.read_text() == good  # with its keys
    assert not is_shown(manager.mending.box)
    assert not manager.bar.save.disabled
    assert well(manager)


def test_what_is_left_is_written_and_the_old_file_kept(file, open_manager):
    bad = file.read_text().replace('type = "ollama"', "type = ollama")
    file.write_text(bad)
    manager = open_manager(str(file))
    manager.mending.write.click()
    assert file.with_name("team.toml.broken").read_text() == bad
    assert not is_shown(manager.mending.box)
    assert Router(file).provider_names() == ["openai", "anthropic", "gemini"]


def test_without_a_name_the_default_router_opens_broken_and_is_what_magics_use(file, open_manager, monkeypatch):
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(file))
    file.write_text(file.read_text().replace("retries = 1", "retries = -1"))
    with pytest.raises(ConfigError):
        hnb.default_router()
    manager = open_manager(None)
    try:
        assert hnb.default_router() is manager.router
        assert manager.router.broken.flaws[0].line == 3
    finally:
        manager.router.close()
        set_default_router(None)


def test_a_file_that_is_not_there_yet(tmp_path, open_manager):
    manager = open_manager(tmp_path / "new.toml")
    assert "no such file" in manager.mending.words.value
    form = adding(manager, "openai")
    form.main.click()
    assert not manager.bar.save.disabled
    manager.bar.save.click()
    assert Router(tmp_path / "new.toml").provider_names() == ["openai"]
    assert not is_shown(manager.mending.box)


def test_a_closed_router_says_what_to_do(manager, router):
    router.close()
    until(lambda: "This router is closed" in said(manager))
    for button in (w for w in _all(manager) if isinstance(w, Button) and not w.disabled):
        button.click()
        assert "This router is closed" in said(manager)
    assert manager.trouble is None


@pytest.mark.parametrize("kind", [ProviderManager, ProviderSelector])
def test_a_router_that_was_closed_before_says_what_to_do_too(router, kind, capsys):
    router.close()
    panel = kind(router)
    try:
        panel._ipython_display_()
        assert "This router is closed" in said(panel)
        assert panel._sent["text/plain"].startswith("This router is closed")
        assert panel.trouble is None
    finally:
        panel.close()


def test_an_error_of_a_listing_is_told_and_nothing_stops(manager, fleet):
    fleet["openai"].fail(Fault("status", status=500), times=None, everywhere=True)
    choose(manager, "openai")
    manager.list.test.click()
    manager.list.tester.thread.join(15)
    assert "500" in manager.list.tester.result.value or "ServiceUnavailable" in manager.list.tester.result.value


def test_a_closed_manager_leaves_no_widget(router):
    before = set(_instances)
    manager = ProviderManager(router)
    for words in manager.toggles:
        manager.toggles[words].value = True
    manager.list.edit.click()
    adding(manager, "openai")
    adding(manager, "ollama")
    manager.close()
    assert set(_instances) - before == set()


def test_what_runs_here_is_offered_when_one_is_about_to_be_added(manager):
    there = Provider("ollama", vendor("ollama"), (Endpoint("http://127.0.0.1:9"),), tier="local")
    looks = []
    manager.adding._look = lambda: [looks.append(1), there][1:]
    for _ in range(2):
        manager.toggles["Add a provider"].value = True
        until(lambda: manager.adding.offers.children)
        manager.toggles["Add a provider"].value = False
    assert looks == [1]
    assert "Found Ollama" in manager.adding.offers.children[0].children[0].value


def test_the_saved_form_is_a_static_table(manager):
    html = manager.saved().html
    assert html.count("<tr>") == 5
    assert "<button" not in html
    assert io.StringIO(manager.saved().text).readline() == "Providers\n"


def test_a_configuration_from_no_file_says_so_until_it_is_saved(open_manager, router, tmp_path):
    manager = open_manager(router)
    assert router.path is None
    assert "This came from no file; Save writes it to " in manager.bar.unsaved.value
    manager.bar.save.click()
    assert str(router.path).startswith(str(tmp_path))
    assert f"File: {router.path}. All changes are saved." in manager.bar.unsaved.value
