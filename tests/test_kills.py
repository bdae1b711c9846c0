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
from .crash_harness import TASK_ID, prompt_of
from .runner import ERR, OUT, Runner, RunSpec, start_runner
from .servers import Service, run_sandbox
from .test_promises import POST

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

    def __init__(self, root: Path, service: Service, runners: Sequence[Runner], chance: random.Random) -> None:
        self.root, self.service, self.runners, self.chance = root, service, runners, chance
        self.cwd = root / "work"
        self.paths = Paths.find({"FLUX_HOME": str(root / "home")})
        self.prompts = [f"boat {number}" for number in range(ROWS)]
        self.arguments: Callable[[], str] = lambda: "resume"
        self.last: Sequence[str] = ()
        self.once = True
        self.budget: Decimal | None = None
        self.fault: str | None = None
        self.failures: list[str] = []
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
                [{"die_at_step": self.chance.randint(1, 70)}, {"die_after": self.chance.uniform(0.02, 0.8)}]
            )
            order = RunSpec(line.split(), str(folder), fault=self.fault, **death if deadly else {})  # type: ignore[arg-type]
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
            self.failures.append(f"exit code {code} of {line}: {errors}")
        known = {entry.task_id for entry in self.read_entries()}
        for task in set(TASK_ID.findall((folder / OUT).read_text() + errors)) - known:
            self.failures.append(f"printed before it was recorded: {task}")

    def read_entries(self) -> list[Entry]:
        """What the journal says now."""
        if not self.paths.journal.exists():
            return []
        with closing(Journal(self.paths.journal, self.paths.locks, Account("any", "any"))) as journal:
            return journal.newest()[::-1]

    def check(self) -> None:
        """Look for what must never be, while no process runs."""
        charges, entries = self.service.charges, self.read_entries()
        owners = Counter(entry.task_id for entry in entries if entry.task_id and not entry.joined)
        self.failures += [f"{task} has {number} owners" for task, number in owners.items() if number > 1]
        prompts = {task.id: str(object_at(task.body, "input")["prompt"]) for task in charges}
        charged, known = Counter(prompts.values()), Counter(prompts[task] for task in owners)
        for prompt in charged:
            sent = [entry for entry in entries if prompt_of(entry) == prompt and entry.submitted and not entry.joined]
            unknown = [entry for entry in sent if entry.task_id is None and entry.state is not State.PLANNED]
            if charged[prompt] - known[prompt] > len(unknown):
                self.failures.append(f"lost: {prompt} is charged {charged[prompt]} times, the journal has {sent}")
            if known[prompt] > 1 or (self.once and charged[prompt] > 1):
                self.failures.append(f"charged {charged[prompt]} times: {prompt}, of which {known[prompt]} are known")
        for entry in entries:
            if entry.state is State.UNKNOWN and not str(entry.evidence).startswith((KILLED, NO_RESPONSE)):
                self.failures.append(f"unknown without a reason: {entry}")
        spent = sum((task.cost for task in charges), Decimal(0))
        if self.budget is not None and spent > self.budget:
            self.failures.append(f"{spent} USD were charged, and {self.budget} were allowed")
        self._check_files(entries)

    def _check_files(self, entries: Sequence[Entry]) -> None:
        expected = set[Path]()
        for entry in entries:
            expected |= {*entry.output.paths, *(file.path for file in entry.files)}
            if entry.state is State.SAVED and not (entry.files and all(file.is_whole() for file in entry.files)):
                self.failures.append(f"saved, but missing: {entry}")
        for path in self.cwd.iterdir():
            if path.name.startswith(".flux-"):
                continue  # what a killed process was writing
            if path not in expected:
                self.failures.append(f"unexpected file: {path.name}")
            try:
                inspect_image(path.read_bytes())
            except BrokenImageError as fault:
                self.failures.append(f"torn: {path.name}: {fault}")

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
                self.failures.append(f"{line} ended with {code}")
        if len(self.service.charges) > charged:
            self.failures.append("what was finished is charged again")
        ended = dict[str, set[State]]()
        for entry in self.read_entries():
            ended.setdefault(prompt_of(entry), set()).add(entry.state)
        for prompt in self.prompts:
            if not ended.get(prompt, set()) & {State.SAVED, State.UNKNOWN}:
                self.failures.append(f"not finished: {prompt} is {ended.get(prompt)}")


# --- what the processes of a round do ----------------------------------------------------------------------------------


def plain(harness: Round) -> None:
    """One list of prompts, the same for all."""
    batch = f"gen --from {harness.source(harness.prompts)} {GEN} -o {{slug}}.png"
    harness.last = [batch]
    harness.arguments = lambda: harness.chance.choice([batch, batch, "resume"])


def budgets(harness: Round) -> None:
    """More prompts than a day's budget pays for."""
    plain(harness)
    harness.budget = PRICE * (ROWS // 2)
    (harness.root / CONFIG).write_text(f"[profiles.default.budget]\nday = {harness.budget}\n")
    (harness.root / CONFIG).chmod(0o600)
    batches = [f"gen --from {harness.source([prompt], f'{prompt}.txt'.replace(' ', ''))} {GEN} -o {{slug}}.png" for prompt in harness.prompts]  # fmt: skip
    harness.arguments = lambda: harness.chance.choice([*batches, *harness.last])


def cache(harness: Round) -> None:
    """Identical requests, of which one pays."""
    harness.prompts, harness.once = ["boat", "ship"], False
    one, both = harness.source(["boat"], "one.txt"), harness.source(["ship", "boat", "boat"])
    harness.last = [f"gen --from {both} {GEN} --cache"]
    harness.arguments = lambda: harness.chance.choice([f"gen --from {one} {GEN} --cache", *harness.last])


def resubmission(harness: Round) -> None:
    """Submissions of unknown outcome that are sent again."""
    plain(harness)
    harness.once = False
    harness.service.reply_with(*POST, *[(500, {}, b"")] * ROWS)
    harness.run(*harness.last)

    def words() -> str:
        lost = [entry.id for entry in harness.read_entries() if entry.state is State.UNKNOWN]
        return f"resolve {' '.join(harness.chance.sample(lost, min(3, len(lost))))} --resubmit -y" if lost else "resume"

    harness.arguments = words


def shards(harness: Round) -> None:
    """Parts of one batch, each of them run by several processes."""
    rows = harness.root / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{prompt}", "output": "{prompt}.png"}}\n' for prompt in harness.prompts))
    batch = f"batch {rows} {GEN}"
    harness.last = [batch]
    harness.arguments = lambda: f"{batch} --shard {harness.chance.randint(1, 3)}/3"


def resume(harness: Round) -> None:
    """Tasks that some submit and others finish."""
    plain(harness)
    submit = f"{harness.last[0]} --no-wait"
    harness.arguments = lambda: harness.chance.choice([submit, "resume", "resume", "wait --all"])


SCENARIOS = (plain, budgets, cache, resubmission, shards, resume)


@pytest.fixture(scope="module")
def runners() -> Iterator[list[Runner]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_runner()) for _ in range(PROCESSES)]


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: list[Runner]) -> Iterator[Iterator[Round]]:
    """Rounds, each in a world of its own that ends when the next one begins."""

    def begin() -> Generator[Round, None, None]:
        for number in itertools.count():
            root = tmp_path / str(number)
            (root / "work").mkdir(parents=True)
            (root / "home").mkdir(mode=0o700)
            with run_sandbox(root / "service.db", speed=1000) as service:
                monkeypatch.chdir(root / "work")
                environ = {"FLUX_HOME": str(root / "home"), "FLUX_BASE_URL": f"{service.origin}/api/v1"}
                environ |= {"FLUX_UPLOAD_URL": service.origin, "PIAPI_API_KEY": KEY, "FLUX_TIME_SCALE": "0.002"}
                for name, value in environ.items():
                    monkeypatch.setenv(name, value)
                yield Round(root, service, runners, random.Random(number))

    with closing(begin()) as found:
        yield found


def swarm(harness: Round) -> None:
    """Run processes at the same time, and kill some."""
    harness.run(*(harness.arguments() for _ in range(harness.chance.randint(2, PROCESSES))), deadly=True)


def test_several_processes_on_one_journal(rounds: Iterator[Round]) -> None:
    kills, most = Counter[str](), max(1, min(KILLS // len(SCENARIOS), KILLS_OF_A_ROUND))
    for number, (harness, scenario) in enumerate(zip(rounds, itertools.cycle(SCENARIOS), strict=False)):
        scenario(harness)
        for _ in range(SWARMS):
            if harness.kills < most:
                swarm(harness)
        harness.finish()
        assert harness.failures == [], f"{scenario.__name__}, round {number}"
        kills[scenario.__name__] += harness.kills
        if kills.total() >= KILLS and len(kills) == len(SCENARIOS):
            break
    sys.stdout.write(f"{kills.total()} kills in {number + 1} rounds: {dict(kills)}\n")


def test_a_broken_engine_is_found(rounds: Iterator[Round]) -> None:
    """These tests can fail: they do when an engine sends again what a dead process was sending."""
    for harness in itertools.islice(rounds, 20):
        harness.fault = "resend_after_crash"
        plain(harness)
        for _ in range(SWARMS):
            swarm(harness)
            if any(fault.startswith("charged 2 times") for fault in harness.failures):
                return
    pytest.fail("not found")
