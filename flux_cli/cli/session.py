"""The session of a command, each part of which is created on first use.

The methods that need slow imports (httpx, asyncio, sqlite3, Pillow) import them.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from ..batch.prompts import StandardInput
from ..config.api_key import KEYS_URL, checked_key, key_from_command, refused_hint
from ..config.config_file import permissions_warning, read_file
from ..config.paths import HOME_HINT, Paths, expand_user
from ..config.resolve import DEFAULT_PROFILE, Settings, resolve, unknown_model
from ..config.settings import BY_NAME
from ..config.urls import is_local
from ..errors import ConfigError, JournalError
from ..json_value import JsonObject, object_at, text_at
from ..text import parse_usd, suggestion
from .common_options import CommonOptions
from .output.output import Mode, Output

if TYPE_CHECKING:
    import httpx

    from ..batch.input_images import ImageFinder, ImageStore
    from ..batch.outputs import Saving
    from ..batch.plan import CostLimits
    from ..batch.run_context import RunContext
    from ..config.catalog import Catalog
    from ..journal.budgets import Budget
    from ..journal.entries import Entry
    from ..journal.journal import Journal
    from ..operations.request import TaskRequest
    from ..piapi.client import Account, PiAPIClient
    from ..piapi.image_download import Downloader
    from .options import SaveOptions
    from .output.reporter import CommandReporter

SANDBOX_URL = "http://sandbox.localhost/api/v1"
SANDBOX_KEY = "sandbox"
SANDBOX_SPEED = 15.0
"""The factor by which the in-process sandbox is faster than documented: a task takes one or two seconds."""


@dataclass(frozen=True, eq=False, repr=False)
class Session:
    """An invocation: its settings, its journal, its output. options: settings from the command's options.

    Use it in a `with` block, which closes its resources.
    """

    common: CommonOptions
    options: Mapping[str, str | None]
    environ: Mapping[str, str]
    stdin: StandardInput
    output: Output
    _open: ExitStack

    @classmethod
    def create(
        cls,
        common: CommonOptions,
        options: Mapping[str, str | None],
        *,
        preview: bool = False,
        opens: bool = False,
        environ: Mapping[str, str] = os.environ,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> Self:
        """Return the session of a command line. preview, opens: how saved images are shown."""
        profile = ("--profile", common.profile) if common.profile else ()
        output = Output(
            stdout or sys.stdout,
            stderr or sys.stderr,
            mode=Mode.JSON if common.json else Mode.QUIET if common.quiet else Mode.TEXT,
            quiet=common.quiet,
            verbose=common.verbose,
            account=(*profile, *(("--sandbox",) if common.sandbox else ())),
            preview=preview,
            opens=opens,
        )
        for name in ("PIAPI_API_KEY", "FLUX_WEBHOOK_SECRET"):
            output.secrets.add(environ.get(name, "").strip())
        settings = {**options, **common.settings()}
        return cls(common, settings, environ, StandardInput(stdin or sys.stdin), output, ExitStack())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.output.close()
        self._open.close()

    # --- settings --------------------------------------------------------------------------------------------

    @cached_property
    def home(self) -> Paths:
        """The user's directories, regardless of the sandbox."""
        return Paths.find(self.environ)

    @cached_property
    def paths(self) -> Paths:
        """The directories for this invocation. The sandbox has its own journal."""
        return self.home.sandbox if self.sandbox else self.home

    @cached_property
    def config_file(self) -> JsonObject:
        """The content of the config file. A warning is printed if other users can read the file."""
        content = read_file(self.home.config_file)
        if content and (warning := permissions_warning(self.home.config_file)):
            self.output.warn(warning)
        return content

    @cached_property
    def settings(self) -> Settings:
        """Every setting, resolved."""
        settings = resolve(self.config_file, self.environ, self.options, path=self.home.config_file)
        self.output.secrets.add((settings.key or "").strip())
        self.output.key_hint = refused_hint(settings.key_source)
        return settings

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox is used."""
        return self.settings.sandbox

    @cached_property
    def catalog(self) -> "Catalog":
        """Models, prices, limits, presets and plans, including those in the config file."""
        from ..config.catalog import Catalog

        return Catalog(self.config_file, self.home.config_file)

    @property
    def service(self) -> str:
        """The base URL of the API."""
        return SANDBOX_URL if self.sandbox else self.settings.text("base_url")

    @property
    def upload_service(self) -> str:
        """The origin of the upload service."""
        return SANDBOX_URL.removesuffix("/api/v1") if self.sandbox else self.settings.text("upload_url")

    @cached_property
    def key(self) -> str:
        """The API key, from the first source that has one (see `config.api_key`).

        Raise ConfigError, which lists the sources, if there is none.
        """
        if self.sandbox:
            return SANDBOX_KEY
        settings = self.settings
        if settings.key_command is not None:
            key = key_from_command(settings.key_command, settings.key_source)
            self.output.secrets.add(key)
            return key
        if settings.key is not None:
            return checked_key(settings.key, settings.key_source)
        profiles = object_at(self.config_file, "profiles")
        others = [name for name in sorted(profiles) if text_at(profiles, name, "api_key")]
        where = f"profile {settings.profile} in {self.home.config_file}"
        raise ConfigError(
            f"no API key: PIAPI_API_KEY is not set, and {where} has no key",
            hint=f"Get a key at {KEYS_URL}, then store it with",
            command=("login",),
            code="no_key",
            details=[f"To use the key of profile {name}, add: --profile {name}" for name in others],
        )

    def require_key(self, *, offer_sandbox: bool = False) -> None:
        """Raise ConfigError if there is no key, or the profile does not exist. offer_sandbox: suggest `--sandbox`."""
        self._require_profile()
        try:
            _ = self.key
        except ConfigError as error:
            if offer_sandbox and error.code == "no_key":
                error.hint = f"To try flux for free, add --sandbox\n{error.hint}"
            raise

    def _require_profile(self) -> None:
        """Raise ConfigError for an unknown profile.

        A mistyped one would have no budget, but a key from the environment would work with it.
        """
        profile, profiles = self.settings.profile, object_at(self.config_file, "profiles")
        if profiles and profile not in (*profiles, DEFAULT_PROFILE) and not self.sandbox:
            hint = suggestion(profile, profiles)
            raise ConfigError(f"no profile '{profile}' in {self.home.config_file}", hint=hint)

    def check_model(self) -> None:
        """Raise ConfigError if the model from the settings does not exist. One from an option is checked later."""
        model = self.settings.values["model"]
        if model.text is None or model.text == "auto" or model.source == "option" or self.catalog.find(model.text):
            return
        raise unknown_model(self.settings, self.home.config_file, suggestion(model.text, self.catalog.models))

    @property
    def scale(self) -> float:
        """The factor for expected durations and backoffs."""
        scale = float(self.settings.text("time_scale"))
        return scale / SANDBOX_SPEED if self.sandbox else scale

    @property
    def concurrency(self) -> int:
        """The most tasks in parallel: the user's setting, else the limit of the account or the plan."""
        if chosen := self.settings.get("concurrency"):
            return int(chosen)
        plan = "pro" if self.sandbox else self.settings.text("plan")
        return self.catalog.concurrency(plan, self.settings.get("service_mode"))

    @cached_property
    def directory(self) -> Path:
        """The absolute directory for images. If the working directory was deleted, it may be relative and unusable."""
        directory = expand_user(self.settings.text("output_dir"))
        with suppress(FileNotFoundError):
            return Path(os.path.abspath(directory))
        return directory

    def saving(self, save: "SaveOptions") -> "Saving":
        from ..batch.outputs import Saving

        return Saving(self.directory, save.overwrite, save.skip_existing, not save.no_metadata, save.chosen_by_user)

    @cached_property
    def budgets(self) -> "tuple[Budget, ...]":
        """The daily and monthly budgets of the profile; none in the sandbox, which is free."""
        from decimal import Decimal

        from ..journal.budgets import PERIODS, Budget

        found = []
        for period in PERIODS if not self.sandbox else ():
            value, variable = self.settings.values[f"budget.{period}"], BY_NAME[f"budget.{period}"].variable
            if value.text is not None:
                found.append(Budget(period, Decimal(value.text), variable if value.source == variable else None))
        return tuple(found)

    @property
    def cache_seconds(self) -> float:
        """The seconds for which an identical request reuses an image."""
        return float(self.settings.text("cache_hours")) * 3600

    def cost_limits(self, max_cost: str | None, *, yes: bool) -> "CostLimits":
        """Return the cost limits of a command. In the sandbox, which is free, no confirmation is needed."""
        from ..batch.plan import CostLimits

        above = parse_usd(self.settings.text("confirm_above"), "confirm_above")
        most = None if max_cost is None else parse_usd(max_cost, "--max-cost")

        def ask(question: str) -> bool:
            self.output.ask(f"{question} [y/N] ")
            return self.stdin.read_answer().strip().casefold() in ("y", "yes")

        asker = ask if self.stdin.can_answer else None
        return CostLimits(most, above, yes or self.sandbox, asker, simulated=is_local(self.service))

    @cached_property
    def inputs(self) -> "ImageFinder":
        """The lookup of the images in arguments."""
        from ..batch.input_images import ImageFinder

        def find_entry(word: str) -> "Entry | None":
            return self.journal.last_saved() if word == "last" else self.journal.find(word)

        return ImageFinder(self.images, self.stdin, self.output.note, find_entry)

    @cached_property
    def images(self) -> "ImageStore":
        """The local images of this invocation's requests, by reference."""
        from ..batch.input_images import ImageStore

        return self._open.enter_context(closing(ImageStore()))

    @cached_property
    def run_context(self) -> "RunContext":
        """The context in which tasks run, with the journal open."""
        import hashlib

        from ..batch.run_context import RunContext
        from ..system.clock import Clock

        account = hashlib.sha256(f"{self.service} {self.settings.profile}".encode()).hexdigest()[:16]
        return RunContext(
            upload_service=self.upload_service,
            journal=self.journal,
            catalog=self.catalog,
            directory=self.directory,
            private_directory=self.paths.images,
            slots_directory=self.paths.slots / account,
            concurrency=self.concurrency,
            timeout=float(self.settings.text("timeout")),
            clock=Clock(scale=self.scale),
            cache_seconds=self.cache_seconds,
            budgets=self.budgets,
            images=self.images,
            make_body=self.make_body,
            make_client=self.make_client,
            make_downloader=self.make_downloader,
            note=self.output.note,
            warn=self.output.warn,
        )

    def make_reporter(self, *, many: bool = False) -> "CommandReporter":
        """Return a reporter for tasks that were submitted earlier."""
        from .output.reporter import CommandReporter

        return CommandReporter(self.output, many=many)

    def describe_charges(self) -> str:
        """Return the cost of this invocation's submissions, as a sentence for the error that ends it."""
        from .output.render import describe_charges

        return describe_charges(self.journal.sent_here() if "journal" in vars(self) else ())

    # --- requests --------------------------------------------------------------------------------------------

    def make_body(self, request: "TaskRequest", urls: Mapping[str, str]) -> JsonObject:
        """Return the JSON that is sent for a request. urls: the URLs of its local images, by reference."""
        from ..operations.base import Writer
        from ..operations.request import create_body
        from ..webhooks.secret import add_secret

        writer = Writer(self.settings.text("dialect"), urls)
        body = create_body(request, writer=writer, debug=self.common.debug)
        return add_secret(body, self.settings.get("webhook"), self.webhook_secret)

    def webhook_secret(self) -> str | None:
        """Return the webhook secret; None if there is none. Raise UsageError."""
        from ..webhooks.secret import read_secret

        secret = read_secret(self.environ, self.settings.get("webhook_secret_file"))
        if secret:
            self.output.secrets.add(secret)
        return secret

    @cached_property
    def _transport(self) -> "httpx.AsyncBaseTransport | None":
        if not self.sandbox:
            return None
        import sqlite3

        import httpx

        from ..sandbox.app import Service, create_app
        from ..sandbox.store import Store

        try:
            store = self._open.enter_context(closing(Store(self.paths.sandbox_service)))
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise JournalError(f"cannot use {self.paths.sandbox_service}: {reason}", hint=HOME_HINT) from error
        return httpx.ASGITransport(create_app(Service(store, speed=SANDBOX_SPEED, catalog=self.catalog)))

    @property
    def _trace(self) -> Callable[[str], None] | None:
        return self.output.debug if self.common.debug else None

    def make_client(self, key: str | None = None) -> "PiAPIClient":
        """Return a client for PiAPI, with the session's key or another one."""
        from ..piapi.client import PiAPIClient
        from ..piapi.http_errors import environment_settings

        used, secrets, transport = key or self.key, self.output.secrets, self._transport
        with environment_settings():
            return PiAPIClient(self.service, used, secrets=secrets, transport=transport, trace=self._trace)

    async def fetch_account(self, key: str | None = None) -> "Account":
        """Return the account of the session's key, or of another key, from PiAPI."""
        async with self.make_client(key) as client:
            return await client.fetch_account()

    def make_downloader(self) -> "Downloader":
        from ..piapi.http_errors import environment_settings
        from ..piapi.image_download import Downloader

        with environment_settings():
            return Downloader(private=is_local(self.service), transport=self._transport, trace=self._trace)

    # --- journal ---------------------------------------------------------------------------------------------

    @cached_property
    def journal(self) -> "Journal":
        """The open journal. The first use creates its file."""
        from ..journal.entries import Account
        from ..journal.journal import Journal

        account = Account(self.service, self.settings.profile)
        return self._open.enter_context(closing(Journal(self.paths.journal, self.paths.locks, account)))
