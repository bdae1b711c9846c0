"""Comparison of a plan with the journal and the disk, which decides the action for each task."""

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from enum import Enum, auto
from pathlib import Path

from ..config.urls import is_local
from ..engine.outcome import Outcome, claim, find_shortfall
from ..errors import CreditsError, DiskError, FluxError, KeyRefusedError
from ..frozen import frozen
from ..images.formats import is_complete_image
from ..images.metadata import is_sandbox_image
from ..images.output_names import LATE, OutputPlan, expand_path
from ..journal.entries import UNFINISHED, Entry, State, changed_error, error_of
from ..text import clean
from .outputs import NameAllocator, Saving, find_existing
from .plan import Draft, Plan, PlannedTask
from .run_context import RunContext


@frozen
class Policy:
    """The rules for what may be charged again, and which requests count as the same.

    no_cache: generate everything again. any_seed: use an earlier image of the same request with any seed.
    retry_failed: submit failed tasks again. wait: whether the command waits for the images.
    """

    no_cache: bool = False
    any_seed: bool = False
    retry_failed: bool = False
    wait: bool = True


class Action(Enum):
    """The action for a task."""

    GENERATE = auto()
    """Submit it as a new entry: it has none, or it is to be generated again."""
    SUBMIT = auto()
    """Submit the entry that an earlier run planned, but did not send."""
    FETCH = auto()
    """Download its images, which are paid for and not saved."""
    REPORT = auto()
    """Report its result: it has ended."""
    SKIP = auto()
    """Do nothing: its images exist on disk."""


@frozen
class Step:
    """A task with its action.

    identity: recognizes the task when the command is run again; None if each run makes a new one.
    any_seed: an image of the same request with another seed will do.
    known: the entry of the task in the journal, if there is one. output: the output of a task to generate.
    files: the existing images of a skipped task. joins: whether it shares the task of an identical request, for free.
    """

    task: PlannedTask
    action: Action
    identity: str | None
    any_seed: bool = False
    known: Entry | None = None
    output: OutputPlan | None = None
    files: tuple[Path, ...] = ()
    joins: bool = False

    @property
    def price(self) -> Decimal:
        """The price of the step in USD; 0 if it submits nothing."""
        submits = self.action in (Action.GENERATE, Action.SUBMIT) and not self.joins
        return self.task.price if submits else Decimal(0)


def choose_action(known: Entry | None, policy: Policy, *, single: bool = False) -> Action:
    """Return the action for a task whose entry in the journal is `known`.

    single: whether the command has only this task. A failed one is submitted again then.
    """
    if known is None or policy.no_cache:
        return Action.GENERATE
    if known.state is State.PLANNED:
        return Action.SUBMIT
    if known.state in UNFINISHED:
        return Action.FETCH
    if known.state in (State.SAVED, State.UNKNOWN, State.SENDING):
        return Action.REPORT
    temporary = known.problem is not None and known.problem.code in (CreditsError.code, KeyRefusedError.code)
    return Action.GENERATE if temporary or policy.retry_failed or single else Action.REPORT


def is_recognized(plan: Plan) -> bool:
    """Return whether the plan's tasks are recognized when the command is run again.

    A single image with a default name is a new task each time.
    """
    return plan.total > 1 or plan.source is not None or any(task.draft.output is not None for task in plan.tasks)


def _is_single(plan: Plan) -> bool:
    return plan.total == 1 and plan.source is None


def decide_steps(plan: Plan, run_context: RunContext, saving: Saving, policy: Policy) -> list[Step]:
    """Return a step for each task of a plan, in order.

    Raise UsageError or DiskError with all problems of the names, with file and line.
    """
    names = NameAllocator(plan, saving, run_context.catalog)
    steps = _find_known(plan, run_context, saving, policy)
    for step in steps:
        if step.known and step.action in (Action.SUBMIT, Action.FETCH):
            names.reserve(step.task, step.known.output)
    steps = [
        _plan_images(step, run_context, saving, policy, names) if step.action is Action.GENERATE else step
        for step in steps
    ]
    names.check()
    if not policy.no_cache:
        _warn_of_second_charges(steps, run_context)
    return steps


@frozen
class PlanParts:
    """The tasks of a plan, by what a run would do now: pay for them, reuse earlier tasks, or report their errors."""

    unpaid: tuple[PlannedTask, ...]
    reused: tuple[PlannedTask, ...] = ()
    ended: tuple[PlannedTask, ...] = ()


def divide(plan: Plan, run_context: RunContext, saving: Saving, policy: Policy) -> PlanParts:
    """Return the parts of a plan. Nothing is checked or changed."""
    journal, seconds = run_context.journal, run_context.cache_seconds
    unpaid, reused, ended = list[PlannedTask](), list[PlannedTask](), list[PlannedTask]()
    for step in _find_known(plan, run_context, saving, policy):
        if step.action is Action.GENERATE:
            joins = not policy.no_cache and journal.find_duplicate(step.task.request, seconds) is not None
            (reused if joins else unpaid).append(step.task)
        elif step.action is Action.SUBMIT:
            unpaid.append(step.task)
        else:
            done = step.known is None or step.known.state in (*UNFINISHED, State.SAVED)
            (reused if done else ended).append(step.task)
    return PlanParts(tuple(unpaid), tuple(reused), tuple(ended))


def _warn_of_second_charges(steps: Iterable[Step], run_context: RunContext) -> None:
    """Warn about requests that may have been charged already, because the outcome of the same request is unknown."""
    unknown = [(entry.request, entry.id) for entry in run_context.journal.entries(State.UNKNOWN) if entry.request]
    same = {request.digest: entry_id for request, entry_id in unknown}
    similar = {request.digest_without_seed: entry_id for request, entry_id in unknown}
    for step in steps if unknown else ():
        request = step.task.request
        entry_id = same.get(request.digest)
        if step.task.draft.random_seed:
            entry_id = entry_id or similar.get(request.digest_without_seed)
        if step.action is Action.GENERATE and entry_id:
            message = f"an identical request, entry {entry_id}, has an unknown outcome: you may be charged twice"
            run_context.warn(message)


def _find_known(plan: Plan, run_context: RunContext, saving: Saving, policy: Policy) -> list[Step]:
    identities = identify(plan, saving.directory) if is_recognized(plan) else {}
    replaced, seeds = saving.overwrite and plan.total == 1, dict[str, int]()
    steps = []
    for task in plan.tasks:
        any_seed = policy.any_seed and task.draft.random_seed
        if any_seed:
            task = _with_earlier_seed(task, run_context, seeds)
        identity = identities.get(task.index)
        known = run_context.journal.find_by_identity(identity) if identity else None
        action = choose_action(known, policy, single=_is_single(plan))
        if known and known.state is State.SAVED and replaced:
            action = Action.GENERATE  # `--overwrite` for one image: the user wants another one
        steps.append(Step(task, action, identity, any_seed, known))
    return steps


def _with_earlier_seed(task: PlannedTask, run_context: RunContext, seeds: dict[str, int]) -> PlannedTask:
    """Return the task with the seed of an identical one in the journal or earlier in the plan, so that it joins it."""
    content = replace(task.request, seed=0).digest
    if content not in seeds:
        earlier = run_context.journal.find_seed(task.request, run_context.cache_seconds)
        seeds[content] = task.request.seed if earlier is None else earlier
    request = replace(task.request, seed=seeds[content])
    return replace(task, draft=replace(task.draft, request=request))


def _plan_images(step: Step, run_context: RunContext, saving: Saving, policy: Policy, names: NameAllocator) -> Step:
    """Return the step with its output, or as one that needs none because its images exist."""
    same = None if policy.no_cache else run_context.journal.find_duplicate(step.task.request, run_context.cache_seconds)
    placed = saving.chosen_by_user or step.task.draft.output is not None
    reusable = same is not None and same.state is State.SAVED and policy.wait and not placed
    if same and reusable and all(file.is_whole() for file in same.files):
        return replace(step, action=Action.REPORT, known=same)
    step = replace(step, joins=same is not None)
    output = names.plan_output(step.task)
    if output is None or not saving.skip_existing:
        return replace(step, output=output)
    paid = not is_local(run_context.journal.account.service)
    files = [file for path in output.paths if LATE not in str(path) and (file := find_existing(path))]
    if broken := [file for file in files if not is_complete_image(file)]:
        names.refuse(step.task, DiskError(f"{clean(broken[0].name, 200)} exists, but is not a complete image"))
    elif sandboxed := [file for file in files if paid and is_sandbox_image(file.read_bytes())]:
        run_context.note(f"{clean(sandboxed[0].name, 200)} was made in the sandbox, and does not count as the image")
        return replace(step, output=replace(output, overwrite=True))
    elif len(files) == len(output.paths):
        return replace(step, action=Action.SKIP, files=tuple(files))
    return replace(step, output=output)


def begin_step(step: Step, run_context: RunContext, saving: Saving) -> Entry | Outcome:
    """Return the entry that the scheduler runs for a step, or the outcome if it has ended already."""
    journal, task, known = run_context.journal, step.task, step.known
    if step.action is Action.GENERATE:
        assert step.output is not None
        if step.identity is None:
            return journal.plan(task.request, step.output, price=task.price, any_seed=step.any_seed)
        if planned := journal.plan_once(
            step.identity, known, task.request, step.output, price=task.price, any_seed=step.any_seed
        ):
            return planned
        known = run_context.journal.find_by_identity(step.identity)  # another process has planned it meanwhile
    assert known is not None
    return _continue_entry(run_context, journal.get(known.id) or known, step, saving)


def _continue_entry(run_context: RunContext, known: Entry, step: Step, saving: Saving) -> Entry | Outcome:
    """Return the claimed entry of an earlier run, or its outcome.

    A planned entry keeps its seed, because the names of its images may contain it.
    """
    journal = run_context.journal
    if known.state is State.PLANNED:
        if step.action not in (Action.GENERATE, Action.SUBMIT):  # its price was not checked
            return Outcome(known, changed_error(known))
        claimed = claim(journal, known)
        if isinstance(claimed, Entry) and claimed.request is not None:
            request = replace(step.task.request, seed=claimed.request.seed)
            claimed = journal.move(claimed, replace(claimed, request=request, price=run_context.catalog.price(request)))
        return claimed
    if known.state in UNFINISHED:
        return claim(journal, known)
    if known.state is not State.SAVED:
        return Outcome(known, _earlier_error(known))
    return _check_saved(run_context, known, saving)


def _earlier_error(known: Entry) -> FluxError:
    """Return the error of an entry that failed in an earlier run, with a hint how to submit it again."""
    if known.problem is None or known.state in (State.UNKNOWN, State.SENDING):
        return error_of(known)
    error = error_of(known)
    if known.state is not State.DISMISSED:
        problem = replace(known.problem, message=f"in an earlier run, {known.problem.message}")
        error = error_of(replace(known, problem=problem))
    error.hint = error.hint or "To submit it again, and pay for it, add --retry-failed"
    return error


def _check_saved(run_context: RunContext, known: Entry, saving: Saving) -> Entry | Outcome:
    """Return the outcome of a saved entry; if its images are missing, an entry that downloads them again, for free.

    A complete image that was changed in place (by an optimizer, say) is still the image.
    """
    if all(file.is_usable() for file in known.files):
        for file in known.files:
            if not file.is_whole():
                run_context.note(f"{file.path.name} was changed since flux saved it; kept")
        return Outcome(known, find_shortfall(known))
    output = replace(known.output, overwrite=saving.overwrite)
    return run_context.journal.track(
        known.task_id or "", output, request=known.request, identity=known.identity, files=known.files
    )


def find_expired(plan: Plan, run_context: RunContext, saving: Saving, policy: Policy) -> Sequence[Entry]:
    """Return the expired entries of a plan that would be generated again. PiAPI may still have their tasks."""
    if not (policy.retry_failed or _is_single(plan)) or policy.no_cache or not is_recognized(plan):
        return ()
    if not run_context.journal.entries(State.EXPIRED):
        return ()
    identities = identify(plan, saving.directory)
    known = [run_context.journal.find_by_identity(identities[task.index]) for task in plan.tasks]
    return [entry for entry in known if entry and entry.state is State.EXPIRED]


def identify(plan: Plan, directory: Path) -> dict[int, str]:
    """Return the identity of each task, by its index, which recognizes it when the command is run again.

    It depends on the content of the task, on its output path, and on its position among equal tasks of the source.
    """
    equal: Counter[bytes] = Counter()
    identities = {}
    for task in plan.every:
        content = _hash_content(task.draft, _resolve(directory, task.draft.output))
        equal[content] += 1
        identities[task.index] = hashlib.sha256(content + str(equal[content]).encode()).hexdigest()
    return identities


def _hash_content(draft: Draft, place: str) -> bytes:
    """Return a hash of the content of a task and of `place`, its output path.

    A random seed and the webhook are not part of it. Local images count by their content.
    """
    content = {name: value for name, value in draft.request.to_json().items() if name != "webhook"}
    if draft.random_seed:
        del content["seed"]
    text = json.dumps([content, place, draft.id], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@functools.cache
def _resolve(directory: Path, output: str | None) -> str:
    """Return the canonical path of the images, or of their template: without links, `~`, `.` and `..`."""
    path = directory / expand_path(output or "")
    try:
        return os.path.join(os.path.realpath(path.parent), path.name) if output else os.path.realpath(directory)
    except FileNotFoundError:  # the working directory was deleted, which `NameAllocator` reports
        return str(path)
