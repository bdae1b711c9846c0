"""Kill up to six processes on one journal at random, and count the charges on the server's side.

FLUX_KILLS: the minimum number of kills.
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
    pytest.skip("there is no SIGKILL", allow_module_level=True)

KILLS = int(os.environ.get("FLUX_KILLS", "5"))
PROCESSES = 6
KILLS_PER_ROUND = 10
STARTS_PER_ROUND = 5
"""The maximum number of times that processes are started in a round."""
ROWS = 6
KILLED = "the process that sent it ended before the response came"
"""The evidence of an entry whose process was killed."""
NO_RESPONSE = "HTTP 500"
CONFIG = "home/config.toml"
GEN = "-m schnell --size 64x64 -j 3 -y"
PRICE = Decimal("0.002")


class Round:
    """A home, a directory with images, and a sandbox, with the invariants of what runs there.

    choose_command: chooses what a process runs. final: commands to run at the end, without kills. prompts: all of them.
    once: whether each prompt may be submitted only once; otherwise a submission of unknown outcome may be followed by
    another one, but only one task has a known ID. budget: USD that may be charged until the end. fault: an engine fault.
    """

    def __init__(self, root: Path, service: Service, runners: Sequence[Runner], rng: random.Random) -> None:
        self.root, self.service, self.runners, self.rng = root, service, runners, rng
        self.cwd = root / "work"
        self.paths = Paths.find({"FLUX_HOME": str(root / "home")})
        self.prompts = [f"boat {number}" for number in range(ROWS)]
        self.choose_command: Callable[[], str] = lambda: "resume"
        self.final: Sequence[str] = ()
        self.once = True
        self.budget: Decimal | None = None
        self.fault: str | None = None
        self.failures: list[str] = []
        self.kills = 0
        self._runs = itertools.count()

    def source(self, prompts: Sequence[str], name: str = "prompts.txt") -> Path:
        """Write a file with these prompts."""
        path = self.root / name
        path.write_text("".join(f"{prompt}\n" for prompt in prompts))
        return path

    def run(self, *lines: str, kills: bool = False) -> list[int]:
        """Run these commands in parallel, kill some of them if `kills`, and return the exit codes."""
        running = []
        for runner, line in zip(self.runners, lines, strict=False):
            directory = self.root / f"run{next(self._runs)}"
            directory.mkdir()
            for name in (OUT, ERR):
                (directory / name).touch()  # it may be killed before it writes anything
            kill = self.rng.choice(
                [{"die_at_step": self.rng.randint(1, 70)}, {"die_after": self.rng.uniform(0.02, 0.8)}]
            )
            spec = RunSpec(line.split(), str(directory), fault=self.fault, **kill if kills else {})  # type: ignore[arg-type]
            runner.start(spec)
            running.append((runner, directory, line))
        codes = []
        for runner, directory, line in running:
            codes.append(runner.wait())
            self._check_end(codes[-1], directory, line)
        self.kills += sum(code < 0 for code in codes)
        self.check()
        return codes

    def _check_end(self, code: int, directory: Path, line: str) -> None:
        errors = (directory / ERR).read_text()
        if code >= 0 and code not in (0, 2, 3, 7, 12):
            self.failures.append(f"exit code {code} of {line}: {errors}")
        known = {entry.task_id for entry in self.read_entries()}
        for task in set(TASK_ID.findall((directory / OUT).read_text() + errors)) - known:
            self.failures.append(f"printed before it was recorded: {task}")

    def read_entries(self) -> list[Entry]:
        """Return the journal's entries, oldest first."""
        if not self.paths.journal.exists():
            return []
        with closing(Journal(self.paths.journal, self.paths.locks, Account("any", "any"))) as journal:
            return journal.newest()[::-1]

    def check(self) -> None:
        """Check the invariants while no process runs."""
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
                continue  # the leftover of a killed process
            if path not in expected:
                self.failures.append(f"unexpected file: {path.name}")
            try:
                inspect_image(path.read_bytes())
            except BrokenImageError as fault:
                self.failures.append(f"torn: {path.name}: {fault}")

    def finish(self) -> None:
        """Run everything again without kills: every prompt has an image or an unknown outcome, at no new cost."""
        self.budget = None
        (self.root / CONFIG).unlink(missing_ok=True)
        for line in ("resume", *self.final):
            self.run(line)
        charged = len(self.service.charges)
        for line in self.final:
            [code] = self.run(line)
            if code not in (0, 7):
                self.failures.append(f"{line} ended with {code}")
        if len(self.service.charges) > charged:
            self.failures.append("a finished prompt is charged again")
        ended = dict[str, set[State]]()
        for entry in self.read_entries():
            ended.setdefault(prompt_of(entry), set()).add(entry.state)
        for prompt in self.prompts:
            if not ended.get(prompt, set()) & {State.SAVED, State.UNKNOWN}:
                self.failures.append(f"not finished: {prompt} is {ended.get(prompt)}")


# --- scenarios ---------------------------------------------------------------------------------------------------------


def run_one_batch(round_: Round) -> None:
    """Run the same list of prompts in all processes."""
    batch = f"gen --from {round_.source(round_.prompts)} {GEN} -o {{slug}}.png"
    round_.final = [batch]
    round_.choose_command = lambda: round_.rng.choice([batch, batch, "resume"])


def limit_budget(round_: Round) -> None:
    """Run more prompts than the budget of a day allows."""
    run_one_batch(round_)
    round_.budget = PRICE * (ROWS // 2)
    (round_.root / CONFIG).write_text(f"[profiles.default.budget]\nday = {round_.budget}\n")
    (round_.root / CONFIG).chmod(0o600)
    batches = [f"gen --from {round_.source([prompt], f'{prompt}.txt'.replace(' ', ''))} {GEN} -o {{slug}}.png" for prompt in round_.prompts]  # fmt: skip
    round_.choose_command = lambda: round_.rng.choice([*batches, *round_.final])


def use_cache(round_: Round) -> None:
    """Run identical requests, of which one is charged."""
    round_.prompts, round_.once = ["boat", "ship"], False
    one, both = round_.source(["boat"], "one.txt"), round_.source(["ship", "boat", "boat"])
    round_.final = [f"gen --from {both} {GEN} --cache"]
    round_.choose_command = lambda: round_.rng.choice([f"gen --from {one} {GEN} --cache", *round_.final])


def resubmit_unknown(round_: Round) -> None:
    """Resubmit submissions of unknown outcome."""
    run_one_batch(round_)
    round_.once = False
    round_.service.reply_with(*POST, *[(500, {}, b"")] * ROWS)
    round_.run(*round_.final)

    def words() -> str:
        unknown = [entry.id for entry in round_.read_entries() if entry.state is State.UNKNOWN]
        return (
            f"resolve {' '.join(round_.rng.sample(unknown, min(3, len(unknown))))} --resubmit -y"
            if unknown
            else "resume"
        )

    round_.choose_command = words


def use_shards(round_: Round) -> None:
    """Run shards of one batch, each in several processes."""
    rows = round_.root / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{prompt}", "output": "{prompt}.png"}}\n' for prompt in round_.prompts))
    batch = f"batch {rows} {GEN}"
    round_.final = [batch]
    round_.choose_command = lambda: f"{batch} --shard {round_.rng.randint(1, 3)}/3"


def resume_tasks(round_: Round) -> None:
    """Submit tasks in some processes, and finish them in others."""
    run_one_batch(round_)
    submit = f"{round_.final[0]} --no-wait"
    round_.choose_command = lambda: round_.rng.choice([submit, "resume", "resume", "wait --all"])


SCENARIOS = (run_one_batch, limit_budget, use_cache, resubmit_unknown, use_shards, resume_tasks)


@pytest.fixture(scope="module")
def runners() -> Iterator[list[Runner]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_runner()) for _ in range(PROCESSES)]


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: list[Runner]) -> Iterator[Iterator[Round]]:
    """Yield rounds, each with a new sandbox that ends when the next one starts."""

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


def run_processes(round_: Round) -> None:
    """Run processes in parallel, and kill some."""
    round_.run(*(round_.choose_command() for _ in range(round_.rng.randint(2, PROCESSES))), kills=True)


def test_processes_killed_on_one_journal_lose_nothing(rounds: Iterator[Round]) -> None:
    kills, limit = Counter[str](), max(1, min(KILLS // len(SCENARIOS), KILLS_PER_ROUND))
    for number, (round_, scenario) in enumerate(zip(rounds, itertools.cycle(SCENARIOS), strict=False)):
        scenario(round_)
        for _ in range(STARTS_PER_ROUND):
            if round_.kills < limit:
                run_processes(round_)
        round_.finish()
        assert round_.failures == [], f"{scenario.__name__}, round {number}"
        kills[scenario.__name__] += round_.kills
        if kills.total() >= KILLS and len(kills) == len(SCENARIOS):
            break
    sys.stdout.write(f"{kills.total()} kills in {number + 1} rounds: {dict(kills)}\n")


def test_a_broken_engine_is_detected(rounds: Iterator[Round]) -> None:
    """Prove that the test above fails if the engine resends the requests of a dead process."""
    for round_ in itertools.islice(rounds, 20):
        round_.fault = "resend_after_crash"
        run_one_batch(round_)
        for _ in range(STARTS_PER_ROUND):
            run_processes(round_)
            if any(fault.startswith("charged 2 times") for fault in round_.failures):
                return
    pytest.fail("not found")
