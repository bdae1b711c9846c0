"""The topics of `flux help`, which do not belong to one command, and the layout of help in two columns."""

from collections.abc import Callable, Iterator
from textwrap import wrap

from ...config.settings import VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...images.output_names import PLACEHOLDERS

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

Without a placeholder, -o names one file. The extension may be left out: it is
that of the image. Missing directories are created. An existing file is never
replaced without --overwrite.

Prompts

  {{a|b}}   one image for each: "a {{red|blue}} car" makes two
  {{NAME}}  one image for each value of --vary NAME=A,B or --vary NAME=@FILE

A range (1..4) or a list (1,5) of --seed, --guidance, --denoise or --steps makes
one image for each number.

All of these multiply: 2 colors, 2 styles and 4 seeds make 16 images. Look at
the price first: flux cost gen ..., or --dry-run.

Braces are text unless the prompt has a choice {{a|b}}, or --vary is used. There,
write {{{{ and }}}} for braces that are text. A prompt that is a JSON object is
always text.
"""


def _batch_files(width: int) -> str:
    return """\
Files with prompts (--from FILE): one prompt per line. Empty lines, and lines
that begin with # are skipped; \\# begins a prompt with #.

Files with rows (flux batch FILE): each row is a task.

  prompt      required by most operations
  op          gen (default), edit, lora, controlnet, redux, inpaint or outpaint
  output      file name or template; id: the value of {id} in it
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

An empty cell leaves an option out. Options of flux batch apply to rows that do
not set their own. All errors are reported with their lines before anything is
sent. Run the same command again to pay only for what is missing.
"""


def _exit_codes(width: int) -> str:
    codes = rows([(f"{code.value:>3}", code.meaning) for code in ExitCode], width)
    return f"""\
{codes}

After 9 or 10, flux resume downloads the images for free. After 7, flux resolve
shows your options; the request is never resent automatically. A run that a
signal ended dies of that signal, so that a shell loop stops too.
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
            ("skipped", "a task that was not needed because its files exist: files, reason"),
            ("summary", "the end of a command with several tasks: counts, cost_usd, seconds"),
            ("entry", "a line of flux history"),
            ("task", "a line of flux status: status, urls, created_at, started_at, ended_at, error"),
            ("price", "flux cost COMMAND: images, cost_usd"),
            ("dry_run", "a request as it would be sent: request, images, cost_usd"),
            ("spent, budget", "flux cost: money spent, and what is left of a budget"),
            ("model", "a line of flux models"),
            ("check", "a line of flux doctor: level, name, message, hint"),
            ("error", "an error of the command itself: error"),
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


TOPICS = {
    "templates": Topic("names of files, and sweeps in prompts", _templates),
    "batch-files": Topic("files with prompts or rows", _batch_files),
    "exit-codes": Topic("what each exit code means", _exit_codes),
    "environment": Topic("all environment variables", _environment),
    "json": Topic("the objects that --json prints", _json),
}
