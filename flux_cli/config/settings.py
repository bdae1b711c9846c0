"""The settings: the name, meaning, allowed values and default of each."""

from collections.abc import Callable

from ..frozen import frozen
from ..json_value import Json
from ..text import describe_number, has_hidden, join_or, yes_or_no
from .urls import base_url, web_address


def one_of(*words: str) -> Callable[[str], str]:
    """Return a check that accepts one of `words`."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(join_or(words))
        return text

    return check


def number(low: float, high: float, kind: type[int] | type[float] = float) -> Callable[[str], str]:
    """Return a check that accepts a number from `low` to `high`."""

    def check(text: str) -> str:
        try:
            value = kind(text)
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            raise ValueError(describe_number(kind, low, high))
        return text.strip()

    return check


def any_text(text: str) -> str:
    """Return a text unchanged. Raise ValueError if it is empty, or has control or invisible characters."""
    if not text or has_hidden(text):
        raise ValueError("one line of text without control characters")
    return text


def _flag_in_toml(text: str) -> Json:
    return text == "true"


def _number_in_toml(text: str) -> Json:
    return int(text) if text.isdecimal() else float(text)


@frozen
class Setting:
    """A setting.

    name: `a.b` is `b` in the table `a` of a profile. The environment variable is `FLUX_A_B`.
    check: returns the value in normal form, or raises ValueError with the requirement: `a number`.
    in_file: whether the config file may contain the setting.
    private: whether the value may contain a secret, so that messages must not show it.
    in_toml: converts a checked value to its type in the config file.
    """

    name: str
    about: str
    check: Callable[[str], str]
    default: str | None = None
    in_file: bool = True
    private: bool = False
    in_toml: Callable[[str], Json] = str

    @property
    def variable(self) -> str:
        return f"FLUX_{self.name.upper().replace('.', '_')}"


SETTINGS: tuple[Setting, ...] = (
    Setting("model", "model to use without -m", any_text),
    Setting("output_dir", "directory for images", any_text, "."),
    Setting("timeout", "seconds to wait for a task", number(0, 86400), "900", in_toml=_number_in_toml),
    Setting("plan", "your PiAPI plan, if flux login did not find the right one; limits the tasks in parallel",
            one_of("free", "creator", "pro"), "free"),
    Setting("concurrency", "maximum number of tasks in parallel; unset: the limit of your account or plan",
            number(1, 1000, int), in_toml=int),
    Setting("confirm_above", "price in USD above which flux asks for confirmation; scripts need -y or --max-cost; "
            "not with --sandbox",
            number(0, 1_000_000), "1", in_toml=_number_in_toml),
    Setting("budget.day", "daily budget in USD; requests that would exceed it are not sent; not with --sandbox",
            number(0, 100_000),
            in_toml=_number_in_toml),
    Setting("budget.month", "monthly budget in USD; requests that would exceed it are not sent; not with --sandbox",
            number(0, 100_000),
            in_toml=_number_in_toml),
    Setting("cache_hours", "hours for which an identical request reuses the earlier image; 0: never reuse",
            number(0, 8760), "24", in_toml=_number_in_toml),
    Setting("service_mode", "billing: public (pay-as-you-go) or private (host-your-account); else as in your workspace",
            one_of("public", "private")),
    Setting("webhook", "URL that PiAPI calls when a task ends", web_address, private=True),
    Setting("webhook_secret_file", "file with the secret that PiAPI sends to the webhook", any_text, private=True),
    Setting("api_key_command", "command that prints the API key; runs without a shell", any_text, private=True),
    Setting("dialect", "request field names: from PiAPI's published spec (spec), from the live API (live), or both",
            one_of("both", "spec", "live"), "both"),
    Setting("base_url", "URL of the API", base_url, "https://api.piapi.ai/api/v1", private=True),
    Setting("upload_url", "URL of the upload service", base_url, "https://upload.theapi.app", private=True),
    Setting("sandbox", "true: use the built-in sandbox (free, offline)", yes_or_no, "false",
            in_toml=_flag_in_toml),
    Setting("time_scale", "multiplies waiting times; flux sandbox prints the right value", number(0.001, 1000), "1",
            in_file=False),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
GROUPS = {name.partition(".")[0] for name in BY_NAME if "." in name}
"""The tables of a profile that contain settings."""

VARIABLES = {
    "PIAPI_API_KEY": "API key; there is no option for it, because other users can see command lines",
    "FLUX_PROFILE": "profile in the config file",
    "FLUX_HOME": "one directory for configuration, journal and locks, instead of the system's default directories",
    **{setting.variable: setting.about for setting in SETTINGS},
    "FLUX_WEBHOOK_SECRET": "the webhook secret itself, instead of a file",
}
"""The environment variables that flux reads, with their meaning, the most important first."""
