"""The list of commands, and what the help of a command has beside its options."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from ..errors import ExitCode
from ..frozen import frozen
from .output.output import Items

Function = Callable[..., ExitCode | Items]
"""Takes the session and the options, and yields what is printed; or prints while it runs, and returns the exit code."""
F = TypeVar("F", bound=Callable[..., Any])
GROUPS: dict[str, tuple[str, ...]] = {
    "Generate images": ("gen", "lora", "controlnet", "redux"),
    "Edit images": ("edit", "inpaint", "outpaint"),
    "Batches": ("batch",),
    "Tasks": ("status", "wait", "resume", "resolve", "history"),
    "Results": ("show", "rerun", "gallery"),
    "Models and costs": ("models", "cost", "balance"),
    "Setup": ("login", "logout", "config", "doctor", "completion", "help"),
    "Local servers": ("sandbox", "listen", "mcp"),
}
"""The commands, each a module in `commands`, by what a user wants to do."""
COMMANDS = [name for group in GROUPS.values() for name in group]
CONFIG_COMMANDS = ("get", "set", "list", "path")
CONFIG_SUMMARY = "Show and change settings."
SUBMITTING = ("gen", "lora", "controlnet", "redux", "edit", "inpaint", "outpaint", "batch", "rerun", "resolve")
"""Commands that may submit tasks: their errors include a sentence about charges."""
SYNONYMS = {
    "gen": ("generate", "create", "txt2img", "text2img", "image", "make"),
    "edit": ("img2img", "kontext", "restyle"),
    "redux": ("variation", "vary"),
    "inpaint": ("mask", "fill"),
    "outpaint": ("extend", "expand"),
    "rerun": ("again", "retry", "redo", "regenerate", "remix"),
    "resolve": ("settle", "reconcile"),
    "resume": ("download", "fetch", "continue"),
    "history": ("list", "ls", "log", "tasks", "jobs"),
    "show": ("info", "inspect", "metadata"),
    "cost": ("price", "estimate", "spent", "usage"),
    "balance": ("credits", "quota", "account", "whoami"),
    "login": ("auth", "init", "setup", "configure"),
    "completion": ("completions",),
    "sandbox": ("server", "serve", "mock"),
    "listen": ("webhook", "webhooks"),
    "gallery": ("sheet", "contact-sheet"),
}
"""Words that people type, and the commands that they mean."""

_MEANT = {
    "Write --seed 1..4 for 4 images, or -b 4 with schnell": "-n --n --num --count --num-images --num_images --images",
    "Write --max-cost USD": "--budget --limit --cost-limit --max-price --max_cost",
    "Write -d DIR": "--dir --directory --folder --output_dir --out-dir",
    "Write --from FILE": "--prompt-file --prompts --prompts-file --input-file",
    "The prompt has no option name: put it in quotes after the command": "--prompt -p --text",
    "No option takes a key: run flux login, or set PIAPI_API_KEY": "--key --api-key --api_key --token",
    "Write -o FILE": "--out --outfile --file --save",
    "Write --denoise X; lower keeps more of the image": "--strength --image-strength",
    "Write --guidance X": "--cfg --cfg-scale --guidance-scale --scale",
    "Write --aspect W:H": "--aspect-ratio --ar --ratio",
    "Write --steps N": "--num-inference-steps --num-steps",
    "Write --seed N": "-s",
    "For an image as input: flux edit photo.jpg 'as a watercolor'": "--image -i --input-image --init-image",
    "For LoRAs: flux lora 'a fox' --lora anime": "--lora",
    "For a mask: flux inpaint photo.jpg 'a fox' --mask mask.png": "--mask",
    "Write -m MODEL; see flux models": "--quality --engine",
    "Write --no-wait": "--async --background --detach",
    "Write --size WxH": "--resolution --dimensions",
    "Images are PNG; for JSON output, write --json": "--format --output-format",
}
OPTIONS_OF_OTHER_TOOLS = {name: hint for hint, names in _MEANT.items() for name in names.split()}
"""Options that people know from other tools, and what to write here."""


@frozen
class Page:
    """What the help of a command has beside its docstring and its options.

    examples: why to use one, and a command line, with `\\` at the end of each line but the last.
    hides: the fields of options that cannot work for this command, and are accepted but not listed.
    texts: the texts of options that mean something else for this command, by field.
    default: of the options about the image; None for their own.
    """

    examples: tuple[tuple[str, str], ...] = ()
    hides: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    default: str | None = None


def help_page(
    *examples: tuple[str, str],
    hides: tuple[str, ...] = (),
    texts: tuple[tuple[str, str], ...] = (),
    default: str | None = None,
) -> Callable[[F], F]:
    """Return a decorator that adds a `Page` to a command."""

    def add(function: F) -> F:
        function.page = Page(examples, hides, texts, default)  # type: ignore[attr-defined]
        return function

    return add


def load(name: str) -> Function:
    """Return the function of a command: `gen`, or `config get`."""
    module = name.partition(" ")[0]
    function: Function = getattr(import_module(f".commands.{module}", __package__), name.replace(" ", "_"))
    return function


def find_synonym(word: str) -> str | None:
    """Return the command that a synonym means, or None."""
    return next((name for name, synonyms in SYNONYMS.items() if word.casefold() in synonyms), None)
