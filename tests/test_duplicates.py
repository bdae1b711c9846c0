"""An identical request is not charged again: not later, not concurrently, not by another process."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.images.metadata import read_provenance
from flux_cli.images.output_names import OutputPlan
from flux_cli.images.png import texts_in
from flux_cli.journal.entries import Account, Entry, State
from flux_cli.journal.journal import Journal
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import Flux
from .servers import Breaker, Service, run_breaking_proxy
from .test_batches import Entries
from .test_budget import occupy_slots
from .test_promises import POST, Start, finish, make_refusal, wait_until

FOX = "gen fox -m schnell --size 64x64 --seed 7"


def test_a_saved_image_is_reported_and_not_charged_again(flux: Flux, service: Service) -> None:
    first = flux(FOX)
    second = flux(FOX)
    assert (second.code, second.out) == (0, first.out)
    assert second.err.splitlines()[0] == f"already saved: {first.out.strip()} (no charge)"
    assert service.count_posts() == 1

    assert json.loads(flux(f"{FOX} --json").out)["files"] == [str(Path(first.out.strip()).absolute())]
    assert flux(f"{FOX} --no-cache").code == 0
    assert flux(f"{FOX} --steps 3").code == 0
    assert service.count_posts() == 3


def test_another_output_path_downloads_the_image_again(flux: Flux, service: Service) -> None:
    """A deleted or replaced file is downloaded again too. The metadata contains the request."""
    flux(FOX)
    copied = flux(f"{FOX} -o copy.png")
    assert (copied.code, copied.out) == (0, "copy.png\n")
    assert f"fox: reusing task {service.charges[0].id} (no charge)" in copied.err
    assert flux(FOX).out == "copy.png\n"
    before = Path("copy.png").read_bytes()
    for name in ("fox-7.png", "copy.png"):
        Path(name).write_bytes(b"another")
    assert flux(FOX).out == "fox-7-2.png\n"
    with Image.open(io.BytesIO(before)) as one, Image.open("fox-7-2.png") as two:
        assert one.tobytes() == two.tobytes()
    assert "seed             7" in flux("show fox-7-2.png").out
    assert service.count_posts() == 1
    assert flux("cost").out.split()[:2] == ["total", "$0.002"]


@pytest.mark.parametrize("hours", ["0", "0.0000001"])
def test_images_are_reused_only_within_cache_hours(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, hours: str
) -> None:
    flux(FOX)
    monkeypatch.setenv("FLUX_CACHE_HOURS", hours)
    assert flux(FOX).out == "fox-7-2.png\n"
    assert service.count_posts() == 2


def test_a_random_seed_generates_a_new_image_unless_cache_is_used(flux: Flux, service: Service) -> None:
    words = "gen fox -m schnell --size 64x64"
    first = flux(words)
    assert flux(words).code == 0
    assert service.count_posts() == 2
    newest = flux("history --json --limit 1").out
    cached = flux(f"{words} --cache")
    assert (cached.code, cached.out) == (0, f"fox-{json.loads(newest)['seed']}.png\n")
    assert flux(f"{words} --cache -o other.png --webhook https://example.com/x").code == 0
    assert flux("gen wolf -m schnell --size 64x64 --cache").code == 0
    assert flux(f"{words} --seed 5 --cache").code == 0
    assert service.count_posts() == 4
    assert first.code == 0


def test_failures_are_not_reused(flux: Flux, service: Service) -> None:
    service.reply_with(*POST, make_refusal(400, 1800))
    assert flux(FOX).code == 5
    assert flux(FOX).code == 0
    assert len(service.charges) == 1


def test_equal_rows_with_the_same_seed_share_a_task(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_text("fox\nfox\nfox\n")
    result = flux("gen --from prompts.txt -m schnell --size 64x64 --seed 7 -q -j 3")
    assert (result.code, len(result.out.split())) == (0, 3)
    assert service.count_posts() == 1


def test_processes_with_identical_requests_share_a_task(
    service: Service, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that start before the first POST is answered wait for its response."""
    with run_breaking_proxy(service) as proxy:
        proxy.breakers.append(Breaker(b"POST", delay=0.5))
        monkeypatch.setenv("FLUX_BASE_URL", f"{proxy.origin}/api/v1")
        processes = [start(f"{FOX} -o {number}.png") for number in range(4)]
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    assert service.count_posts() == 1
    assert len(list(Path().glob("?.png"))) == 4


def test_an_entry_of_unknown_outcome_is_not_reused(flux: Flux, service: Service, entries: Entries) -> None:
    """A repeated command submits a new task."""
    service.reply_with(*POST, (500, {}, b""))
    assert flux(FOX).code == 7
    assert flux(FOX).code == 0
    assert [entry.state for entry in entries()] == [State.UNKNOWN, State.SAVED]


def test_an_entry_without_a_task_does_not_hide_a_saved_image(
    flux: Flux, service: Service, entries: Entries, home: Path
) -> None:
    """A process has died while it submitted the same request again."""
    first = flux(FOX)
    (saved,) = entries()
    assert saved.request
    with closing(Journal(home / "journal.db", home / "locks", saved.account)) as journal:
        journal.send(journal.plan(saved.request, saved.output, price=Decimal(0)), (), cache_seconds=0)
    assert [entry.state for entry in entries()] == [State.SAVED, State.SENDING]
    assert flux(FOX).out == first.out
    assert service.count_posts() == 1


# --- concurrent submissions ------------------------------------------------------------------------------------------


@pytest.fixture
def journals(home: Path) -> Iterator[Callable[[], Journal]]:
    """Return a function that opens the journal as another process does, with its own locks."""
    with ExitStack() as opened:
        account = Account("https://api.example", "default")
        yield lambda: opened.enter_context(closing(Journal(home / "journal.db", home / "locks", account)))


def plan_entry(journal: Journal, *, seed: int = 7, any_seed: bool = False) -> Entry:
    request = TaskRequest(TextToImage(prompt="fox"), "Qubico/flux1-schnell", seed)
    return journal.plan(request, OutputPlan((Path("fox.png"),)), price=Decimal("0.002"), any_seed=any_seed)


def test_a_dead_sender_does_not_hide_a_living_one(journals: Callable[[], Journal]) -> None:
    living, dead, third = journals(), journals(), journals()
    first = living.send(plan_entry(living), (), 60)
    assert dead.send(plan_entry(dead), (), 0).state is State.SENDING
    dead.close()
    waiting = third.send(plan_entry(third), (), 60)
    assert (first.state, waiting.state) == (State.SENDING, State.PLANNED)

    living.accept(first, "task-1", "pending")
    joined = third.send(waiting, (), 60)
    assert (joined.state, joined.task_id, joined.price) == (State.ACCEPTED, "task-1", Decimal(0))


def test_a_dead_sender_does_not_block_others(journals: Callable[[], Journal]) -> None:
    dead, other = journals(), journals()
    dead.send(plan_entry(dead), (), 60)
    dead.close()
    assert other.send(plan_entry(other), (), 60).state is State.SENDING


def test_another_seed_is_reused_only_with_the_cache(journals: Callable[[], Journal]) -> None:
    one, other = journals(), journals()
    first = one.send(plan_entry(one, seed=1), (), 60)
    assert other.send(plan_entry(other, seed=2), (), 60).state is State.SENDING
    cached = plan_entry(other, seed=3, any_seed=True)
    assert other.send(cached, (), 60).state is State.PLANNED
    one.accept(first, "task-1", "pending")
    joined = other.send(cached, (), 60)
    assert (joined.task_id, joined.seed) == ("task-1", 1), "the image has the seed of the task"
    assert other.get(joined.id) == joined


def test_the_seed_of_a_planned_request_is_reused_while_its_process_lives(journals: Callable[[], Journal]) -> None:
    one, other = journals(), journals()
    request = plan_entry(one, seed=1).request
    assert request
    other_request = replace(request, seed=2)
    assert other.find_seed(other_request, 60) == 1
    one.close()
    assert other.find_seed(other_request, 60) is None


def test_concurrent_processes_with_the_cache_are_charged_once(
    service: Service, start: Start, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_CONCURRENCY", "6")
    service.hooks[POST] = lambda: time.sleep(0.3)
    with occupy_slots(6):
        processes = [start("gen fox -m schnell --size 64x64 --cache") for _ in range(6)]
        wait_until(lambda: len(entries()) == 6)
    results = [finish(process) for process in processes]
    assert [result.code for result in results] == [0] * 6
    (seed,) = {entry.seed for entry in entries()}
    assert service.count_posts() == 1
    for path in {Path(result.out.strip()) for result in results}:
        assert read_provenance(texts_in(path.read_bytes())).request.seed == seed
