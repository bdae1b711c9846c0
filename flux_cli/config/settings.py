"""The settings there are, and what each may be."""

from collections.abc import Callable

from ..frozen import frozen
from ..text import hides, yes_or_no
from .urls import address, web_address


def one_of(*words: str) -> Callable[[str], str]:
    """A check that takes one of `words`."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return check


def number(low: float, high: float, kind: type[int] | type[float] = float) -> Callable[[str], str]:
    """A check that takes a number from `low` to `high`."""

    def check(text: str) -> str:
        try:
            value = kind(text)
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            whole = "a whole number" if kind is int else "a number"
            raise ValueError(f"{whole} from {low:g} to {high:g}")
        return text.strip()

    return check


def any_text(text: str) -> str:
    """A check that takes everything but what drives a terminal or does not show."""
    if not text or hides(text):
        raise ValueError("a line of text")
    return text


@frozen
class Setting:
    """One thing that can be set. Its environment variable is `FLUX_` + its name; `a.b` is `b` in the table `a`."""

    name: str
    about: str
    check: Callable[[str], str]
    default: str | None = None
    in_file: bool = True

    @property
    def variable(self) -> str:
        return f"FLUX_{self.name.upper().replace('.', '_')}"


SETTINGS: tuple[Setting, ...] = (
    Setting("model", "the model when -m is not given", any_text, "dev"),
    Setting("output_dir", "where pictures go when -d is not given", any_text, "."),
    Setting("timeout", "seconds to wait for a task", number(0, 86400), "900"),
    Setting("plan", "your plan at PiAPI; decides how many tasks run at once", one_of("free", "creator", "pro"), "free"),
    Setting("concurrency", "tasks at once; unset: what the plan allows", number(1, 1000, int)),
    Setting("confirm_above", "USD; a command that costs more asks first, or needs -y or --max-cost",
            number(0, 1_000_000), "1"),
    Setting("budget.day", "USD; what would make a calendar day cost more is not sent", number(0, 100_000)),
    Setting("budget.month", "USD; what would make a calendar month cost more is not sent", number(0, 100_000)),
    Setting("cache_hours", "hours for which an identical request with the same seed is not bought again; 0: never",
            number(0, 8760), "24"),
    Setting("service_mode", "public: pay as you go; private: host your account; unset: the workspace's own",
            one_of("public", "private")),
    Setting("webhook", "address that PiAPI calls when a task ends", web_address),
    Setting("webhook_secret_file", "file with the secret that PiAPI sends along to the webhook", any_text),
    Setting("dialect", "field names in requests: the specification's (sop), the live service's, or both",
            one_of("both", "sop", "live"), "both"),
    Setting("base_url", "the API", address, "https://api.piapi.ai/api/v1"),
    Setting("upload_url", "the upload service", address, "https://upload.theapi.app"),
    Setting("sandbox", "true: talk to the built-in service, which costs nothing", yes_or_no, "false"),
    Setting("time_scale", "multiplies expected durations and backoffs", number(0.001, 1000), "1", in_file=False),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
GROUPS = {name.partition(".")[0] for name in BY_NAME if "." in name}
"""Tables in a profile that hold settings."""
