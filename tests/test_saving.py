"""A paid image is downloaded as long as PiAPI has it: what proves that it is gone, and errors that prove nothing."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flux_cli.cli.common_options import CommonOptions
from flux_cli.cli.session import Session
from flux_cli.engine.events import Event
from flux_cli.engine.poll_schedule import POLLS_PER_SECOND, Durations, PollLimiter
from flux_cli.engine.poller import MISSING_SECONDS, Poller
from flux_cli.errors import FluxError, NotSavedError, RefusedError, StillRunningError
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Entry, State
from flux_cli.system.clock import Clock

from .conftest import Flux
from .raw_servers import RawServer, Response, plain_response, redirect, unframed_response
from .servers import Reply, Service
from .test_downloads import GOOD, PNG, completed_reply
from .test_promises import GEN, IMAGE, POLL, Entries, make_refusal, make_task_reply

MISSING = make_refusal(404, 404, "task not found")
PAGE = plain_response(b"<!DOCTYPE html><title>Sign in</title>")
STALE: dict[str, list[Response]] = {
    **{
        f"HTTP {status}": [plain_response(b"", status=f"{status} No")]
        for status in (400, 401, 403, 404, 410, 429, 451, 500)
    },
    "a web page": [PAGE],
    "a login": [redirect("/login")],
    "a loop": [redirect("/stale")],
    "cut": [unframed_response(PNG[:-4])],
}


@pytest.mark.parametrize("stale", STALE)
def test_a_broken_link_is_replaced_by_a_fresh_one(flux: Flux, service: Service, raw: RawServer, stale: str) -> None:
    task = flux(GEN + " --no-wait").out.strip()
    raw.responses = {"/stale": STALE[stale], "/login": [PAGE], "/fresh": [GOOD]}
    service.reply_with(*POLL, completed_reply(task, raw.url("/stale")), completed_reply(task, raw.url("/fresh")))

    assert flux("resume -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_a_link_to_an_unreachable_host_is_replaced_too(flux: Flux, service: Service, raw: RawServer) -> None:
    task = flux(GEN + " --no-wait").out.strip()
    raw.responses = {"/fresh": [GOOD]}
    service.reply_with(
        *POLL, completed_reply(task, "http://127.0.0.1:1/gone.png"), completed_reply(task, raw.url("/fresh"))
    )

    assert flux("resume -q").out == "a-boat-1.png\n"


@pytest.mark.parametrize("reply", [(404, {}, b""), (410, {}, b""), (403, {}, b"<html>"), (200, {}, b"<html>")])
def test_a_link_that_stays_broken_leaves_the_entry_ready(
    flux: Flux, service: Service, entries: Entries, reply: Reply
) -> None:
    service.reply_with(*IMAGE, *[reply] * 999)
    result = flux(GEN)
    (entry,) = entries()

    assert (result.code, result.out, entry.state) == (10, "", State.READY)
    assert f"the image of task {entry.task_id} could not be saved: " in result.err
    assert result.err.count("trying again") == 1
    hint = "PiAPI keeps images for 7 days; try again with: flux resume"
    assert result.err.splitlines()[-1] == f"      {hint}"
    service.scripted.clear()
    assert flux("resume -q").out == "a-boat-1.png\n"


def test_links_that_do_not_work_yet_are_waited_for(flux: Flux, service: Service) -> None:
    service.reply_with(*IMAGE, *[(404, {}, b"")] * 2)
    assert flux(GEN).code == 0


def prepare_ready_task(flux: Flux, service: Service) -> str:
    """Return the ID of a task that is ready, and whose image could not be saved."""
    service.reply_with(*IMAGE, *[(404, {}, b"")] * 999)
    assert flux(GEN + " --no-metadata").code == 10
    service.scripted.clear()
    return service.charges[0].id


@pytest.mark.parametrize("command", ["resume", "wait {}"])
def test_a_ready_entry_requests_fresh_links_first(flux: Flux, service: Service, raw: RawServer, command: str) -> None:
    task = prepare_ready_task(flux, service)
    raw.responses = {"/fresh": [GOOD]}
    service.reply_with(*POLL, completed_reply(task, raw.url("/fresh")))
    service.requests.clear()

    assert flux(f"{command.format(task)} -q").out == "a-boat-1.png\n"
    assert [request.path for request in service.requests] == [f"{POLL[1]}{task}"]
    assert len(raw.heads) == 1


@pytest.mark.parametrize(
    "reply", [(503, {}, b""), MISSING, make_refusal(401, 1200, "Authentication failed"), (200, {}, b"<html>")]
)
def test_known_links_are_used_if_the_task_cannot_be_polled(flux: Flux, service: Service, reply: Reply) -> None:
    prepare_ready_task(flux, service)
    service.reply_with(*POLL, *[reply] * 9)

    assert flux("resume -q").out == "a-boat-1.png\n"


def test_a_refused_key_is_reported_if_the_known_links_fail(flux: Flux, service: Service, entries: Entries) -> None:
    prepare_ready_task(flux, service)
    service.reply_with(*POLL, *[make_refusal(401, 1200, "Authentication failed")] * 999)
    service.reply_with(*IMAGE, *[(404, {}, b"")] * 999)
    result = flux("resume")

    assert (result.code, [entry.state for entry in entries()]) == (4, [State.READY])
    assert "PiAPI refused the key: Authentication failed (code 1200). Charged ($0.015 simulated)." in result.err


def test_an_image_has_expired_if_piapi_has_neither_the_task_nor_the_image(
    flux: Flux, service: Service, entries: Entries
) -> None:
    task = prepare_ready_task(flux, service)
    service.reply_with(*POLL, *[MISSING] * 999)
    service.reply_with(*IMAGE, *[(404, {}, b"")] * 999)
    result = flux("resume")

    assert (result.code, [entry.state for entry in entries()]) == (10, [State.EXPIRED])
    assert (
        f"task {task} has expired: PiAPI no longer has it, and the image URL returned HTTP 404. Charged ($0.015 simulated)."
        in result.err
    )


@pytest.mark.parametrize(
    ("poll", "state", "message"),
    [
        (
            [],
            State.EXPIRED,
            "task {} has expired: PiAPI keeps images for 7 days, and the image URL returned HTTP 404. Charged ($0.015 simulated).",
        ),
        (
            [(503, {}, b"")] * 999,
            State.READY,
            "the image of task {} could not be saved: the image URL returned HTTP 404. Charged ($0.015 simulated).",
        ),
    ],
)
def test_an_image_has_expired_after_seven_days(
    flux: Flux, service: Service, entries: Entries, home: Path, poll: list[Reply], state: State, message: str
) -> None:
    """Without a connection, nothing is known about the image."""
    task = prepare_ready_task(flux, service)
    with closing(sqlite3.connect(home / "journal.db")) as journal, journal:
        journal.execute("UPDATE entries SET ended = ended - 8 * 86400, accepted = accepted - 8 * 86400")
    service.reply_with(*POLL, *poll)
    service.reply_with(*IMAGE, *[(404, {}, b"")] * 999)
    result = flux("resume")

    assert (result.code, [entry.state for entry in entries()]) == (10, [state])
    assert message.format(task) in result.err


def test_an_excessive_number_of_images_is_not_saved(flux: Flux, service: Service, raw: RawServer) -> None:
    task = flux(GEN + " --no-wait").out.strip()
    raw.responses = {f"/{number}": [GOOD] for number in range(200)}
    reply = completed_reply(task, *(raw.url(f"/{number}") for number in range(200)))
    service.reply_with(*POLL, reply, reply)
    result = flux("resume")

    assert result.code == 0
    assert len(list(Path().iterdir())) == len(raw.heads) == 5
    assert f"PiAPI lists 200 images; saved the first 5 (all URLs: flux status {task} --json)" in result.err
    assert len(json.loads(flux(f"status {task} --json").out)["urls"]) == 200


# --- polls, in virtual time ------------------------------------------------------------------------------------------


class VirtualPoller:
    """A poller with the real parts of flux and a server, and time that passes only while it sleeps."""

    def __init__(self, session: Session) -> None:
        self.session, self.now, self.events = session, 0.0, list[Event]()

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def poll(self, entry: Entry, *, patience: float = 900, deadline: float | None = None) -> Entry | FluxError:
        """Return the entry that is ready, or the error that ended the wait."""
        return asyncio.run(self._poll(entry, patience, deadline))

    async def _poll(self, entry: Entry, patience: float, deadline: float | None) -> Entry | FluxError:
        journal = self.session.journal
        durations = Durations(self.session.catalog, journal, 1.0)
        clock = Clock(self.clock, self.sleep)
        async with self.session.make_client() as client:
            poller = Poller(
                client, journal, self.events.append, durations, PollLimiter(clock), clock, patience, deadline
            )
            claimed = journal.claim(entry)
            assert claimed
            try:
                return (await poller.poll(claimed, None))[0]
            except FluxError as error:
                return error


@pytest.fixture
def virtual_poller(service: Service) -> Iterator[VirtualPoller]:
    """Return a poller in virtual time."""
    with Session.create(CommonOptions(quiet=True), {}) as session:
        yield VirtualPoller(session)


def test_not_found_for_less_than_a_minute_proves_nothing(
    flux: Flux, service: Service, virtual_poller: VirtualPoller
) -> None:
    flux(GEN + " --no-wait")
    (entry,) = virtual_poller.session.journal.entries()
    service.reply_with(*POLL, *[MISSING] * 4)
    result = virtual_poller.poll(entry)

    assert isinstance(result, Entry)
    assert result.state is State.READY


def test_not_found_for_a_minute_proves_that_a_task_is_gone(
    flux: Flux, service: Service, virtual_poller: VirtualPoller
) -> None:
    flux(GEN + " --no-wait")
    (entry,) = virtual_poller.session.journal.entries()
    service.reply_with(*POLL, make_task_reply(service, status="processing"), *[MISSING] * 999)
    result = virtual_poller.poll(entry)

    assert isinstance(result, NotSavedError)
    assert result.message == f"task {entry.task_id} has expired: PiAPI no longer has it (task not found)"
    assert MISSING_SECONDS < virtual_poller.now < 100
    assert [entry.state for entry in virtual_poller.session.journal.entries()] == [State.EXPIRED]


def test_an_error_in_between_restarts_the_minute(flux: Flux, service: Service, virtual_poller: VirtualPoller) -> None:
    flux(GEN + " --no-wait")
    (entry,) = virtual_poller.session.journal.entries()
    service.reply_with(*POLL, *[*[MISSING] * 4, (502, {}, b"<html>")] * 40)
    result = virtual_poller.poll(entry, patience=300)

    assert isinstance(result, StillRunningError)
    assert [entry.state for entry in virtual_poller.session.journal.entries()] == [State.ACCEPTED]


def test_an_id_that_was_never_seen_is_given_up_soon(
    service: Service, virtual_poller: VirtualPoller, tmp_path: Path
) -> None:
    session, plan = virtual_poller.session, OutputPlan((tmp_path / "x.png",))
    entry = session.journal.track("nowhere", plan)
    result = virtual_poller.poll(entry)

    assert isinstance(result, RefusedError)
    assert result.code == "no_such_task"
    assert virtual_poller.now < 10


def test_one_deadline_ends_the_wait_for_every_task(flux: Flux, service: Service, virtual_poller: VirtualPoller) -> None:
    flux(GEN + " --no-wait")
    flux('gen "two" --seed 1 --size 256x256 --no-wait')
    for charge in service.charges:
        running = make_task_reply(service, task_id=charge.id, status="processing")
        service.reply_with("GET", f"{POLL[1]}{charge.id}", *[running] * 999)
    first_entry, second_entry = virtual_poller.session.journal.entries()
    service.requests.clear()
    first, first_polls = virtual_poller.poll(first_entry, deadline=60), len(service.requests)
    second = virtual_poller.poll(second_entry, deadline=60)

    assert isinstance(first, StillRunningError)
    assert isinstance(second, StillRunningError)
    assert virtual_poller.now == pytest.approx(60, abs=1 / POLLS_PER_SECOND)
    assert first_polls > 10
    assert len(service.requests) == first_polls + 1, "after the deadline, a task is polled once"
