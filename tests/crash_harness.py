"""Batches that are killed, and the invariants that must hold whenever they die."""

import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flux_cli.config.paths import Paths
from flux_cli.images.formats import BrokenImageError, inspect_image
from flux_cli.journal.entries import Account, Entry, State
from flux_cli.journal.journal import Journal
from flux_cli.json_value import object_at
from flux_cli.sandbox.app import Service as Sandbox
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.store import Store

from .conftest import KEY
from .injection import Injection, wrap_app
from .runner import ERR, OUT, Runner, RunSpec
from .servers import Service, serve_app

TASK_ID = re.compile(r"flux_[0-9a-f-]{36}")
IMAGES_PER_TASK = 2
"""Images of each task."""
ACCEPTED = (State.ACCEPTED, State.READY, State.SAVED)


class Harness:
    """A home, a directory with images, and the sandbox, which outlive the processes.

    command: the beginning of every batch. prompts: all prompts that were requested, each once.
    failures: violated invariants. may_be_unknown: prompts that a process was sending when it was killed.
    exit_codes: the allowed ones.
    """

    def __init__(self, root: Path, service: Service) -> None:
        self.root, self.service = root, service
        self.cwd = root / "work"
        self.paths = Paths.find({"FLUX_HOME": str(root / "home")})
        self.command = "gen --size 64x64"
        self.prompts: list[str] = []
        self.failures: list[str] = []
        self.may_be_unknown: set[str] = set()
        self.exit_codes = {-signal.SIGKILL, -signal.SIGALRM, -signal.SIGINT, -signal.SIGTERM, 0, 3, 7, 12, 141}
        self.injections = [Injection()]
        self.runs = 0
        self._complete = set[Path]()

    # --- runs ------------------------------------------------------------------------------------------------

    def make_batch(self, prompts: Sequence[str]) -> list[str]:
        """Return the command that generates these prompts, except those that are already paid."""
        self.prompts += [prompt for prompt in prompts if prompt not in self.prompts]
        name = f"{len(self.prompts)}-{len(prompts)}.txt"
        (self.root / name).write_text("".join(f"{prompt}\n" for prompt in prompts))
        options = f"-m schnell -b {IMAGES_PER_TASK} -j 4 -o {{slug}}-{{seed}}.png"
        return f"{self.command} --from {self.root / name} {options}".split()

    def start(self, runner: Runner, words: Sequence[str], injection: Injection | None = None, **death: Any) -> RunSpec:
        """Start a run with an injection. death: see `RunSpec`."""
        self.runs += 1
        directory = self.root / f"run{self.runs}"
        directory.mkdir()
        for name in (OUT, ERR):
            (directory / name).touch()  # it may be killed before it writes anything
        spec = RunSpec([*words], str(directory), **death)
        self.inject(injection or Injection()).pid = runner.start(spec)
        return spec

    def inject(self, injection: Injection) -> Injection:
        """Apply an injection to the requests from now on."""
        self.injections.append(injection)
        return injection

    def end(self, runner: Runner, spec: RunSpec) -> int:
        """Wait for the end of a run, check the invariants, and return its exit code."""
        code = runner.wait()
        self.check(Path(spec.directory), killed=code < 0)
        if code not in self.exit_codes:
            self._fail(f"exit code {code}: {(Path(spec.directory) / ERR).read_text()}")
        return code

    def run(self, runner: Runner, words: Sequence[str], injection: Injection | None = None, **death: Any) -> int:
        """Start a run, and wait for its end."""
        return self.end(runner, self.start(runner, words, injection, **death))

    def finish(self, runner: Runner, **options: Any) -> None:
        """Run everything again without injections, and check that all of it finishes."""
        for words in (["resume"], self.make_batch(self.prompts)):
            code = self.run(runner, words, **options)
            unknown = [entry for entry in self.read_entries() if entry.state is State.UNKNOWN]
            if code != (7 if unknown else 0):
                self._fail(f"{words[0]} ended with {code}, and {len(unknown)} are unknown")
        self._complete.clear()
        self._check_files(self.read_entries(), list(self.cwd.iterdir()))
        ended = {prompt_of(entry): entry.state for entry in self.read_entries()}
        for prompt in self.prompts:
            if ended.get(prompt) not in (State.SAVED, State.UNKNOWN):
                self._fail(f"not finished: {prompt} is {ended.get(prompt)}")

    def _fail(self, fault: str) -> None:
        if fault not in self.failures:
            self.failures.append(fault)

    # --- invariants ------------------------------------------------------------------------------------------

    def read_entries(self) -> list[Entry]:
        """Return the journal's entries, oldest first."""
        with closing(Journal(self.paths.journal, self.paths.locks, Account("any", "any"))) as journal:
            return journal.newest()[::-1]

    def check(self, directory: Path, *, killed: bool) -> None:
        """Check the invariants after a run that wrote into `directory`; another run may still be active."""
        printed = TASK_ID.findall((directory / OUT).read_text() + (directory / ERR).read_text())
        # Read in reverse order of writing: an image has an entry, and a charge too.
        files, charged = list(self.cwd.iterdir()), self.read_charges()
        entries = self.read_entries() if self.paths.journal.exists() else []
        tasks = {entry.task_id for entry in entries}
        for task in set(printed) - tasks:
            self._fail(f"printed before it was recorded: {task}")
        self._check_charges(entries, charged, killed)
        self._check_files(entries, files)

    def _check_charges(self, entries: Sequence[Entry], charged: Mapping[str, str], killed: bool) -> None:
        by_prompt = {prompt_of(entry): entry for entry in entries}
        sending = {prompt for prompt, entry in by_prompt.items() if entry.state is State.SENDING}
        self.may_be_unknown |= sending if killed else set()
        for prompt, times in Counter(charged.values()).items():
            if times > 1:
                self._fail(f"charged {times} times: {prompt}")
        tasks = {entry.task_id for entry in entries}
        for task, prompt in charged.items():
            entry = by_prompt.get(prompt)
            if task not in tasks and not (entry and entry.state in (State.SENDING, State.UNKNOWN)):
                self._fail(f"lost: {prompt} is paid for, and the journal has {entry and entry.state}")
        for prompt, entry in by_prompt.items():
            if entry.state is State.UNKNOWN and prompt not in self.may_be_unknown:
                self._fail(f"unknown without a reason: {prompt}")

    def _check_files(self, entries: Sequence[Entry], files: Sequence[Path]) -> None:
        expected = set[Path]()
        for entry in entries:
            if entry.state in (State.READY, State.SAVED):
                expected |= set(entry.output.paths)
            if entry.state is State.SAVED and not self._complete.issuperset(entry.output.paths):
                if len(entry.files) != IMAGES_PER_TASK or not all(file.is_whole() for file in entry.files):
                    self._fail(f"saved, but missing: {prompt_of(entry)}")
                self._complete |= {file.path for file in entry.files}
        for path in files:
            if path.name.startswith(".flux-") or path in self._complete:
                continue  # the leftover of a killed process, or a file that is checked already
            if path not in expected:
                self._fail(f"unexpected file: {path.name}")
            try:
                inspect_image(path.read_bytes())
            except BrokenImageError as fault:
                self._fail(f"torn: {path.name}: {fault}")

    def read_charges(self) -> dict[str, str]:
        """Return the prompts of the charged tasks, by task ID."""
        return {task.id: str(object_at(task.body, "input")["prompt"]) for task in self.service.charges}

    def check_arrival(self, kind: str, path: str, body: bytes) -> None:
        """Check that the journal already contains what it must when a request arrives, as another process reads it."""
        entries = self.read_entries()
        if kind == "create":
            states = {entry.state for entry in entries if prompt_of(entry).encode() in body}
            # Unknown: the sender was killed, another process has noticed, and the request was still on its way.
            if not states & {State.SENDING, State.UNKNOWN}:
                self._fail(f"sent before it was recorded: {states}")
        required = {"poll": ACCEPTED, "image": (State.READY, State.SAVED)}.get(kind)
        task = TASK_ID.search(path)
        if required and task and not any(entry.task_id == task[0] and entry.state in required for entry in entries):
            self._fail(f"{kind} before it was recorded: {task[0]}")


def prompt_of(entry: Entry) -> str:
    """Return the prompt of an entry."""
    return entry.request.operation.prompt if entry.request else ""


@contextmanager
def run_harness(root: Path, settings: pytest.MonkeyPatch, *, speed: float = 1000.0) -> Iterator[Harness]:
    """Run a harness in a directory whose subdirectory `work` becomes the current directory."""
    with closing(Store(root / "service.db")) as store, closing(Store(root / "service.db")) as view:
        found = Harness(root, Service(view))
        app = found.service.wrap(create_app(Sandbox(store, speed=speed)))
        with serve_app(wrap_app(app, lambda: found.injections[-1], found.check_arrival)) as origin:
            settings.chdir(found.cwd)
            settings.setenv("FLUX_HOME", str(root / "home"))
            settings.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
            settings.setenv("FLUX_UPLOAD_URL", origin)
            settings.setenv("PIAPI_API_KEY", KEY)
            settings.setenv("FLUX_TIME_SCALE", "0.002")
            try:
                yield found
            finally:
                for injection in found.injections:  # the server waits for held requests, even after a test has failed
                    injection.released = True
