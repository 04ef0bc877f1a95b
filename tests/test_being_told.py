"""The automations that docs/prefect.md tells operators to make, made as they stand there: their messages arrive."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_server import PrefectServer, waited_for

from afstem.orchestration.bootstrap import ENDS, FLOWS

pytestmark = pytest.mark.flow

PAGE = (Path(__file__).parents[1] / "docs" / "prefect.md").read_text(encoding="utf-8")
ENDED, LATE = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
[MESSAGE] = re.findall(r"```jinja\n(.*?)\n```", PAGE, re.DOTALL)

TYPES = {"CompletedWithRefusals": "COMPLETED", "TimedOut": "FAILED"}
"""The types of the states that are not called after theirs."""

A_MINUTE = timedelta(minutes=1)

TOLD_OF = {"CompletedWithRefusals", "Failed", "Crashed", "Cancelled"}


class Mailbox:
    """An HTTP server on loopback that keeps what is sent to it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                mailbox.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    @contextmanager
    def open(self) -> Iterator["Mailbox"]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def about(self, run: str) -> list[str]:
        return [message["text"] for message in self.messages if run in message["text"]]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox().open() as opened:
        yield opened


@contextmanager
def automation(server: PrefectServer, trigger: dict[str, Any], mailbox: Mailbox) -> Iterator[None]:
    """What the page's form asks the server for: the trigger, and a message through a block."""
    name = f"told-{uuid.uuid4().hex[:8]}"
    with temporary_settings({PREFECT_API_URL: f"{server.url}/api"}):
        block = CustomWebhookNotificationBlock(
            name="operators", url=mailbox.url, json_data={"subject": "{{subject}}", "text": "{{body}}"}
        ).save(name)
    send = {"type": "send-notification", "block_document_id": str(block), "subject": "afstem", "body": MESSAGE}
    made = server.post("/automations/", {"name": name, "trigger": trigger, "actions": [send]})
    try:
        yield
    finally:
        server.delete(f"/automations/{made['id']}")
        server.delete(f"/block_documents/{block}")


def begun(server: PrefectServer, flow: str, state: dict[str, Any]) -> str:
    """A run of the flow in the state; its name is its own, and tells what became of it apart from others."""
    made = {"flow_id": server.post("/flows/", {"name": flow})["id"], "name": f"a run {uuid.uuid4()}", "state": state}
    return str(server.post("/flow_runs/", made)["id"])


def test_every_end_that_concerns_a_person_is_told_and_no_other(prefect_server: PrefectServer, mailbox: Mailbox) -> None:
    assert set(ENDS) == TOLD_OF | {"Completed", "TimedOut"}, "our flows have no time-out"
    with automation(prefect_server, ENDED, mailbox):
        runs = {}
        for flow in (*FLOWS, "another"):
            for end in ENDS:
                runs[flow, end] = begun(prefect_server, flow, {"type": "RUNNING"})
                state = {"type": TYPES.get(end, end.upper()), "name": end, "message": f"{len(runs)} records"}
                prefect_server.post(f"/flow_runs/{runs[flow, end]}/set_state", {"state": state})
        names = {key: prefect_server.get(f"/flow_runs/{run}")["name"] for key, run in runs.items()}
        expected = {("reconcile", end) for end in TOLD_OF}
        waited_for(lambda: all(mailbox.about(names[key]) for key in expected))
        # What is sent last comes last: a run that ends now is told when all that was before it has been judged.
        last = begun(prefect_server, "reconcile", {"type": "RUNNING"})
        prefect_server.post(f"/flow_runs/{last}/set_state", {"state": {"type": "FAILED", "name": "Failed"}})
        last_name = prefect_server.get(f"/flow_runs/{last}")["name"]
        waited_for(lambda: mailbox.about(last_name))
    assert {key for key, name in names.items() if mailbox.about(name)} == expected
    for flow, end in expected:
        [text] = mailbox.about(names[flow, end])
        assert text.startswith(f"reconcile, {names[flow, end]}: {end}. ")
        assert " records\n" in text
        assert text.endswith(f"/runs/flow-run/{runs[flow, end]}")


def test_a_run_that_stays_late_is_told_and_one_that_begins_is_not(
    prefect_server: PrefectServer, mailbox: Mailbox
) -> None:
    """With less patience than the page's; it is Prefect that calls them late."""
    assert timedelta(seconds=LATE["within"]) == timedelta(minutes=30)
    now = datetime.now(UTC)
    with automation(prefect_server, LATE | {"within": 20}, mailbox):
        # The one that is told is the last to be late: those before it had their time to be told.
        begins, other, stays = (
            begun(prefect_server, flow, {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}})
            for flow, due in (("reconcile", now - A_MINUTE), ("another", now - A_MINUTE), ("reconcile", now))
        )
        waited_for(lambda: prefect_server.state_of(begins)["name"] == "Late")
        prefect_server.post(f"/flow_runs/{begins}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        name = prefect_server.get(f"/flow_runs/{stays}")["name"]
        waited_for(lambda: mailbox.about(name))
        assert prefect_server.state_of(other)["name"] == "Late"
    assert [message["text"].splitlines()[0].strip() for message in mailbox.messages] == [f"reconcile, {name}: Late."]
