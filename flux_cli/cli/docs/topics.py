"""The topics of `flux help`, which do not belong to one command, and the layout of help in two columns."""

from collections.abc import Callable, Iterator
from textwrap import wrap

from ...config.settings import VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...images.output_names import PLACEHOLDERS
from ...journal.entries import State

COLUMN = 29
"""Where the second column begins, at most."""


def rows(content: list[tuple[str, str]], width: int, column: int | None = None) -> str:
    """Return names and texts in two columns. A name that is too long for its column has a line of its own."""
    column = column or min(COLUMN, max(len(name) for name, _ in content) + 4)
    return "\n".join(line for name, text in content for line in _row(name, text, width, column))


def _row(name: str, text: str, width: int, column: int) -> Iterator[str]:
    lines = wrap(text, max(20, width - column), break_on_hyphens=False, break_long_words=False) or [""]
    if len(name) + 4 > column:
        yield f"  {name}"
    else:
        yield f"  {name:<{column - 2}}{lines.pop(0)}".rstrip()
    for line in lines:
        yield " " * column + line


@frozen
class Topic:
    """A page of `flux help`. text: returns it for a width in columns."""

    summary: str
    text: Callable[[int], str]


def _templates(width: int) -> str:
    names = rows([(f"{{{name}}}", about) for name, about in PLACEHOLDERS.items()], width)
    return f"""\
File names (-o, --output, and the field output of a row)

  flux gen "a red fox" -o 'shots/{{slug}}-{{seed}}.png'

{names}

Without a placeholder, -o names one file. You can omit the extension. Missing
directories are created. An existing file is never replaced without --overwrite.

Prompts

  {{a|b}}   one image for each: "a {{red|blue}} car" makes two
  {{NAME}}  one image for each value of --vary NAME=A,B or --vary NAME=@FILE

A range (1..4) or a list (1,5) of --seed, --guidance, --denoise or --steps makes
one image for each number.

All of these multiply: 2 colors, 2 styles and 4 seeds make 16 images. Check the
price first with flux cost gen ... or --dry-run.

Braces are text unless the prompt has a choice {{a|b}}, or --vary is used. In
those prompts, write {{{{ and }}}} for literal braces. A prompt that is a JSON
object is always text.
"""


def _batch_files(width: int) -> str:
    return """\
Files with prompts (--from FILE): one prompt per line. Empty lines, and lines
that begin with # or //, are skipped. To begin a prompt with these characters,
write \\# or \\//.

Files with rows (flux batch FILE): each row is a task.

  prompt      required by most operations
  op          gen (default), edit, lora, controlnet, redux, inpaint or outpaint
  output      file name or template (flux help templates)
  id          your name for the row, which is {id} in file names
  all others  options of that command by their long names: seed, steps, mask-box

JSON, one object per line or one array:

  {"prompt": "a cup on marble", "op": "edit", "image": "cup.jpg", "seed": 7}

CSV with a header; the separator is a comma, a semicolon or a tab. Several
values of a repeatable option are separated by ; in their cell:

  id,op,image,prompt,output
  cup,edit,cup.jpg,on marble,{id}-marble.png
  hero,,,"a lighthouse, at dawn",{id}.png

TOML:

  [[row]]
  prompt = "a lighthouse at dawn"
  seed = 7

An empty cell is ignored. Options of flux batch apply to rows that do
not set their own. All errors are reported with their lines before anything is
sent. Run the same command again to pay only for missing images.
"""


def _exit_codes(width: int) -> str:
    codes = rows([(f"{code.value:>3}", code.meaning) for code in ExitCode], width)
    return f"""\
{codes}

After 9 or 10, flux resume downloads the images for free. After 7, flux resolve
shows your options; the request is never resent automatically. If a signal stops
flux, it exits by that signal, so that shell loops stop too.
"""


def _environment(width: int) -> str:
    return f"""\
{rows(list(VARIABLES.items()), width)}

An option takes precedence over its variable, and a variable over the config
file. All values and their sources: flux config list
"""


def _json(width: int) -> str:
    kinds = rows(
        [
            ("outcome", "how a task ended: state, entry, task_id, op, model, prompt, seed, files, urls, cost_usd, "
             "possibly_charged_usd, seconds, error; in a batch also index and id"),
            ("skipped", "a task that --skip-existing skipped: files, reason"),
            ("summary", "the end of a command with several tasks: counts, cost_usd, "
             "possibly_charged_usd, seconds"),
            ("entry", "a line of flux history"),
            ("task", "a line of flux status: status, urls, created_at, started_at, ended_at, error"),
            ("price", "flux cost COMMAND: images, cost_usd"),
            ("dry_run", "a request as it would be sent: request, images, cost_usd"),
            ("spent, budget", "flux cost: money spent, and what is left of a budget"),
            ("model", "a line of flux models"),
            ("check", "a line of flux doctor: level, name, message, hint"),
            ("error", "why the command failed: error"),
            ("others", "balance, lora, control, preset, made, gallery, setting: see flux help json-schema"),
        ],
        width,
    )  # fmt: skip
    return f"""\
With --json, stdout has one JSON object per line. Each has schema (1) and type:

{kinds}

error has code, message, details, hint, command and exit_code. Amounts are
decimal strings in USD, paths are absolute. Fields may be added, but are never
removed or renamed. As JSON Schema: flux help json-schema

  flux gen --from prompts.txt --json | jq -r 'select(.files) | .files[]'
  flux history --state unknown --json | jq -r .entry
"""


STATES = {
    State.PLANNED: "checked and priced; nothing was sent; not charged",
    State.SENDING: "the request is being sent",
    State.ACCEPTED: "PiAPI accepted the task and charges it; it is running",
    State.READY: "finished and charged, but the images are not downloaded yet",
    State.SAVED: "finished and charged; the images are on disk",
    State.REJECTED: "PiAPI refused the request; not charged",
    State.UNKNOWN: "no usable response came from PiAPI; possibly charged",
    State.DISMISSED: "it was unknown, and you closed it with flux resolve",
    State.FAILED: "PiAPI reported a failure; possibly charged",
    State.EXPIRED: "PiAPI no longer has the task or its images; charged",
}


def _states(width: int) -> str:
    return f"""\
flux records each task as an entry in its journal. flux history lists the
entries, and flux show, flux wait and flux resolve accept their IDs. An entry is
in one of these states:

{rows([(state.value, about) for state, about in STATES.items()], width)}

  flux resume                     download the images of accepted and ready
  flux resolve ID                 decide about unknown
  flux history --state unknown    list the entries in one state
"""


TOPICS = {
    "templates": Topic("names of files, and sweeps in prompts", _templates),
    "batch-files": Topic("files with prompts or rows", _batch_files),
    "states": Topic("how far a task is, and whether it is charged", _states),
    "exit-codes": Topic("what each exit code means", _exit_codes),
    "environment": Topic("all environment variables", _environment),
    "json": Topic("the objects that --json prints", _json),
}
