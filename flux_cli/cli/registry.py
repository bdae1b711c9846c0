"""The list of commands, and the parts of a command's help besides its options."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from ..errors import ExitCode
from ..frozen import frozen
from .output.output import Items

Function = Callable[..., ExitCode | Items]
"""Accepts the session and the options. Yields the items to print, or prints while it runs and returns the exit code."""
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
"""The commands, each of which is a module in `commands`, by the headings of help."""
COMMANDS = [name for group in GROUPS.values() for name in group]
CONFIG_COMMANDS = ("get", "set", "list", "path")
CONFIG_SUMMARY = "Show and change settings."
CONFIG_EXAMPLES = (
    ("Set a budget of $5 per day", "flux config set budget.day 5"),
    ("List all settings and their sources", "flux config list"),
)
FROM_TEXT = ("gen", "lora", "controlnet")
"""Commands whose argument is a prompt."""
FROM_IMAGE = ("edit", "redux", "inpaint", "outpaint")
"""Commands whose first argument is an image, before the prompt."""
SUBMITTING = (*FROM_TEXT, *FROM_IMAGE, "batch", "rerun", "resolve")
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
"""Words that users type for a command, by the command."""

_MEANT: dict[str, dict[str, tuple[str, ...]]] = {
    "-n --n --num --count --num-images --num_images --images": {
        "Write --seed 1..4 for 4 images, or -b 4 with schnell": (),
        "Write --seed 1..4 for 4 images": (*FROM_TEXT, *FROM_IMAGE),
        "Write --limit N": (),
    },
    "--budget --limit --cost-limit --max-price --max_cost": {"Write --max-cost USD": ()},
    "--dir --directory --folder --output_dir --out-dir": {"Write -d DIR": ()},
    "--prompt-file --prompts --prompts-file --input-file": {"Write --from FILE": ()},
    "--prompt -p --text": {
        "Write --prompt TEXT": (),
        "The prompt has no option name: put it in quotes after the command": FROM_TEXT,
        "The prompt has no option name: put it in quotes after the image": FROM_IMAGE,
    },
    "--key --api-key --api_key --token": {
        "Write --key KEY": (),
        "Omit it: flux login asks for the key, or reads it from a pipe": ("login",),
        "No option accepts your key: run flux login, or set PIAPI_API_KEY": tuple(COMMANDS),
    },
    "--out --outfile --file --save": {"Write -o FILE": ()},
    "--strength --image-strength": {
        "Write --strength X": (),
        "Write --denoise X; lower keeps more of the image": (),
        "To change an image, use: flux edit IMG PROMPT --denoise X": ("gen",),
    },
    "--cfg --cfg-scale --guidance-scale --scale": {"Write --guidance X": ()},
    "--aspect-ratio --ar --ratio": {"Write --aspect W:H": ()},
    "--num-inference-steps --num-steps": {"Write --steps N": ()},
    "-s": {"Write --seed N": ()},
    "--image -i --input-image --init-image": {
        "Write --image IMG": (),
        "For an image as input: flux edit photo.jpg 'as a watercolor'": FROM_TEXT,
        "The image has no option name: put it after the command": (*FROM_IMAGE, "rerun"),
    },
    "--lora": {"For LoRAs: flux lora 'a fox' --lora anime": (*FROM_TEXT, *FROM_IMAGE)},
    "--mask --mask-box --mask-color --mask-alpha": {
        "For a mask: flux inpaint photo.jpg 'a fox' --mask mask.png": (*FROM_TEXT, *FROM_IMAGE)
    },
    "--kontext": {"For an instruction: flux edit photo.jpg 'make the car red' --kontext": (*FROM_TEXT, *FROM_IMAGE)},
    "--quality --engine": {"Write -m MODEL; see flux models": ()},
    "--async --background --detach": {"Write --no-wait": ()},
    "--resolution --dimensions": {"Write --size WxH": ()},
    "--format --output-format": {
        "Images are PNG; for JSON output, write --json": (*FROM_TEXT, *FROM_IMAGE, "batch", "rerun"),
        "Write --json": (),
    },
}
OPTIONS_OF_OTHER_TOOLS = {name: hints for names, hints in _MEANT.items() for name in names.split()}
"""Options of other tools, with hints about the corresponding options of flux. The first hint that applies is shown.

A hint applies to the commands beside it; if there are none, to those whose help lists every option in the hint.
"""


@frozen
class Page:
    """The parts of a command's help besides its docstring and its options.

    examples: a comment, and a command line, with `\\` at the end of each line but the last.
    hides: the fields of options that have no effect for this command. They are accepted, but not listed.
    texts: the texts of options whose meaning differs for this command, by field.
    notes: conditions for the options below a heading, by heading.
    defaults: the defaults in help of options whose default differs for this command, by field.
    default: the default in help of all options about the image.
    """

    examples: tuple[tuple[str, str], ...] = ()
    hides: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()
    default: str | None = None


def help_page(
    *examples: tuple[str, str],
    hides: tuple[str, ...] = (),
    texts: tuple[tuple[str, str], ...] = (),
    notes: tuple[tuple[str, str], ...] = (),
    defaults: tuple[tuple[str, str], ...] = (),
    default: str | None = None,
) -> Callable[[F], F]:
    """Return a decorator that adds a `Page` to a command."""

    def add(function: F) -> F:
        function.page = Page(examples, hides, texts, notes, defaults, default)  # type: ignore[attr-defined]
        return function

    return add


def load(name: str) -> Function:
    """Return the function of a command: `gen`, or `config get`."""
    module = name.partition(" ")[0]
    function: Function = getattr(import_module(f".commands.{module}", __package__), name.replace(" ", "_"))
    return function


def find_synonym(word: str) -> str | None:
    """Return the command for a synonym; None if there is none."""
    return next((name for name, synonyms in SYNONYMS.items() if word.casefold() in synonyms), None)
