"""Up to six processes on one journal, killed at random: charges are counted by the server.

FLUX_KILLS: how many are killed at least.
"""

import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest

from flux_cli.config.paths import Paths
from flux_cli.images.formats import BrokenImageError, inspect_image
from flux_cli.journal.entries import Account, Entry, State
from flux_cli.journal.journal import Journal
from flux_cli.json_value import object_at

from .conftest import KEY
from .crashing import TASK_ID, prompt_of
from .servers import Service, miniature
from .test_promises import POST
from .warm import ERR, OUT, Order, Warm, warm

if sys.platform == "win32":
    pytest.skip("nothing kills as SIGKILL does", allow_module_level=True)

KILLS = int(os.environ.get("FLUX_KILLS", "5"))
PROCESSES = 6
KILLS_OF_A_ROUND = 10
SWARMS = 5
"""How often processes are started in a round, at most."""
ROWS = 6
KILLED = "the process that sent it ended before the response came"
"""The evidence of an entry whose process was killed."""
NO_RESPONSE = "HTTP 500"
CONFIG = "home/config.toml"
GEN = "-m schnell --size 64x64 -j 3 -y"
PRICE = Decimal("0.002")


class Round:
    """A home, a directory with images, and a service; what is done there, and what must hold.

    words: chooses what a process runs. last: what is run at the end, undisturbed. prompts: what was asked for.
    once: whether each prompt may be submitted only once; otherwise a submission of unknown outcome may be followed by
    another one, but only one task is ever known. budget: USD that may be charged until the end. broken: a fault to have.
    """

    def __init__(self, root: Path, service: Service, runners: Sequence[Warm], chance: random.Random) -> None:
        self.root, self.service, self.runners, self.chance = root, service, runners, chance
        self.work = root / "work"
        self.paths = Paths.find({"FLUX_HOME": str(root / "home")})
        self.prompts = [f"boat {number}" for number in range(ROWS)]
        self.words: Callable[[], str] = lambda: "resume"
        self.last: Sequence[str] = ()
        self.once = True
        self.budget: Decimal | None = None
        self.broken: str | None = None
        self.faults: list[str] = []
        self.kills = 0
        self._runs = itertools.count()

    def source(self, prompts: Sequence[str], name: str = "prompts.txt") -> Path:
        """A file with these prompts."""
        path = self.root / name
        path.write_text("".join(f"{prompt}\n" for prompt in prompts))
        return path

    def run(self, *lines: str, deadly: bool = False) -> list[int]:
        """Run these commands at the same time, some of which are killed if it is `deadly`; their exit codes."""
        running = []
        for runner, line in zip(self.runners, lines, strict=False):
            folder = self.root / f"run{next(self._runs)}"
            folder.mkdir()
            for name in (OUT, ERR):
                (folder / name).touch()  # it may be killed before it writes anything
            death = self.chance.choice(
                [{"dies": self.chance.randint(1, 70)}, {"after": self.chance.uniform(0.02, 0.8)}]
            )
            order = Order(line.split(), str(folder), broken=self.broken, **death if deadly else {})  # type: ignore[arg-type]
            runner.start(order)
            running.append((runner, folder, line))
        codes = []
        for runner, folder, line in running:
            codes.append(runner.wait())
            self._check_end(codes[-1], folder, line)
        self.kills += sum(code < 0 for code in codes)
        self.check()
        return codes

    def _check_end(self, code: int, folder: Path, line: str) -> None:
        errors = (folder / ERR).read_text()
        if code >= 0 and code not in (0, 2, 3, 7, 12):
            self.faults.append(f"exit code {code} of {line}: {errors}")
        known = {entry.task_id for entry in self.entries()}
        for task in set(TASK_ID.findall((folder / OUT).read_text() + errors)) - known:
            self.faults.append(f"told before it was written down: {task}")

    def entries(self) -> list[Entry]:
        """What the journal says now."""
        if not self.paths.journal.exists():
            return []
        with closing(Journal(self.paths.journal, self.paths.locks, Account("any", "any"))) as journal:
            return journal.newest()[::-1]

    def check(self) -> None:
        """Look for what must never be, while no process runs."""
        charges, entries = self.service.charges, self.entries()
        owners = Counter(entry.task_id for entry in entries if entry.task_id and not entry.joined)
        self.faults += [f"{task} has {number} owners" for task, number in owners.items() if number > 1]
        prompts = {task.id: str(object_at(task.body, "input")["prompt"]) for task in charges}
        charged, known = Counter(prompts.values()), Counter(prompts[task] for task in owners)
        for prompt in charged:
            sent = [entry for entry in entries if prompt_of(entry) == prompt and entry.submitted and not entry.joined]
            unknown = [entry for entry in sent if entry.task_id is None and entry.state is not State.PLANNED]
            if charged[prompt] - known[prompt] > len(unknown):
                self.faults.append(f"lost: {prompt} is charged {charged[prompt]} times, the journal has {sent}")
            if known[prompt] > 1 or (self.once and charged[prompt] > 1):
                self.faults.append(f"charged {charged[prompt]} times: {prompt}, of which {known[prompt]} are known")
        for entry in entries:
            if entry.state is State.UNKNOWN and not str(entry.evidence).startswith((KILLED, NO_RESPONSE)):
                self.faults.append(f"unknown without a reason: {entry}")
        spent = sum((task.cost for task in charges), Decimal(0))
        if self.budget is not None and spent > self.budget:
            self.faults.append(f"{spent} USD were charged, and {self.budget} were allowed")
        self._check_files(entries)

    def _check_files(self, entries: Sequence[Entry]) -> None:
        expected = set[Path]()
        for entry in entries:
            expected |= {*entry.output.paths, *(file.path for file in entry.files)}
            if entry.state is State.SAVED and not (entry.files and all(file.is_whole() for file in entry.files)):
                self.faults.append(f"saved, and not there: {entry}")
        for path in self.work.iterdir():
            if path.name.startswith(".flux-"):
                continue  # what a killed process was writing
            if path not in expected:
                self.faults.append(f"a file that nobody knows: {path.name}")
            try:
                inspect_image(path.read_bytes())
            except BrokenImageError as broken:
                self.faults.append(f"torn: {path.name}: {broken}")

    def finish(self) -> None:
        """Run everything once more, undisturbed: every prompt has its image or an unknown outcome, at no new cost."""
        self.budget = None
        (self.root / CONFIG).unlink(missing_ok=True)
        for line in ("resume", *self.last):
            self.run(line)
        charged = len(self.service.charges)
        for line in self.last:
            [code] = self.run(line)
            if code not in (0, 7):
                self.faults.append(f"{line} ended with {code}")
        if len(self.service.charges) > charged:
            self.faults.append("what was finished is charged again")
        ended = dict[str, set[State]]()
        for entry in self.entries():
            ended.setdefault(prompt_of(entry), set()).add(entry.state)
        for prompt in self.prompts:
            if not ended.get(prompt, set()) & {State.SAVED, State.UNKNOWN}:
                self.faults.append(f"not finished: {prompt} is {ended.get(prompt)}")


# --- what the processes of a round do ----------------------------------------------------------------------------------


def plain(here: Round) -> None:
    """One list of prompts, the same for all."""
    batch = f"gen --from {here.source(here.prompts)} {GEN} -o {{slug}}.png"
    here.last = [batch]
    here.words = lambda: here.chance.choice([batch, batch, "resume"])


def budgets(here: Round) -> None:
    """More prompts than a day's budget pays for."""
    plain(here)
    here.budget = PRICE * (ROWS // 2)
    (here.root / CONFIG).write_text(f"[profiles.default.budget]\nday = {here.budget}\n")
    (here.root / CONFIG).chmod(0o600)
    batches = [f"gen --from {here.source([prompt], f'{prompt}.txt'.replace(' ', ''))} {GEN} -o {{slug}}.png" for prompt in here.prompts]  # fmt: skip
    here.words = lambda: here.chance.choice([*batches, *here.last])


def cache(here: Round) -> None:
    """Identical requests, of which one pays."""
    here.prompts, here.once = ["boat", "ship"], False
    one, both = here.source(["boat"], "one.txt"), here.source(["ship", "boat", "boat"])
    here.last = [f"gen --from {both} {GEN} --cache"]
    here.words = lambda: here.chance.choice([f"gen --from {one} {GEN} --cache", *here.last])


def resubmission(here: Round) -> None:
    """Submissions of unknown outcome that are sent again."""
    plain(here)
    here.once = False
    here.service.answer(*POST, *[(500, {}, b"")] * ROWS)
    here.run(*here.last)

    def words() -> str:
        lost = [entry.id for entry in here.entries() if entry.state is State.UNKNOWN]
        return f"resolve {' '.join(here.chance.sample(lost, min(3, len(lost))))} --resubmit -y" if lost else "resume"

    here.words = words


def shards(here: Round) -> None:
    """Parts of one batch, each of them run by several processes."""
    rows = here.root / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{prompt}", "output": "{prompt}.png"}}\n' for prompt in here.prompts))
    batch = f"batch {rows} {GEN}"
    here.last = [batch]
    here.words = lambda: f"{batch} --shard {here.chance.randint(1, 3)}/3"


def resume(here: Round) -> None:
    """Tasks that some submit and others finish."""
    plain(here)
    submit = f"{here.last[0]} --no-wait"
    here.words = lambda: here.chance.choice([submit, "resume", "resume", "wait --all"])


SCENARIOS = (plain, budgets, cache, resubmission, shards, resume)


@pytest.fixture(scope="module")
def runners() -> Iterator[list[Warm]]:
    with ExitStack() as stack:
        yield [stack.enter_context(warm()) for _ in range(PROCESSES)]


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: list[Warm]) -> Iterator[Iterator[Round]]:
    """Rounds, each in a world of its own that ends when the next one begins."""

    def begin() -> Generator[Round, None, None]:
        for number in itertools.count():
            root = tmp_path / str(number)
            (root / "work").mkdir(parents=True)
            (root / "home").mkdir(mode=0o700)
            with miniature(root / "service.db", speed=1000) as service:
                monkeypatch.chdir(root / "work")
                environ = {"FLUX_HOME": str(root / "home"), "FLUX_BASE_URL": f"{service.origin}/api/v1"}
                environ |= {"FLUX_UPLOAD_URL": service.origin, "PIAPI_API_KEY": KEY, "FLUX_TIME_SCALE": "0.002"}
                for name, value in environ.items():
                    monkeypatch.setenv(name, value)
                yield Round(root, service, runners, random.Random(number))

    with closing(begin()) as found:
        yield found


def swarm(here: Round) -> None:
    """Run processes at the same time, and kill some."""
    here.run(*(here.words() for _ in range(here.chance.randint(2, PROCESSES))), deadly=True)


def test_several_processes_on_one_journal(rounds: Iterator[Round]) -> None:
    kills, most = Counter[str](), max(1, min(KILLS // len(SCENARIOS), KILLS_OF_A_ROUND))
    for number, (here, scenario) in enumerate(zip(rounds, itertools.cycle(SCENARIOS), strict=False)):
        scenario(here)
        for _ in range(SWARMS):
            if here.kills < most:
                swarm(here)
        here.finish()
        assert here.faults == [], f"{scenario.__name__}, round {number}"
        kills[scenario.__name__] += here.kills
        if kills.total() >= KILLS and len(kills) == len(SCENARIOS):
            break
    sys.stdout.write(f"{kills.total()} kills in {number + 1} rounds: {dict(kills)}\n")


def test_a_broken_engine_is_found(rounds: Iterator[Round]) -> None:
    """These tests can fail: they do when an engine sends again what a dead process was sending."""
    for here in itertools.islice(rounds, 20):
        here.broken = "sent_again_after_a_crash"
        plain(here)
        for _ in range(SWARMS):
            swarm(here)
            if any(fault.startswith("charged 2 times") for fault in here.faults):
                return
    pytest.fail("not found")
