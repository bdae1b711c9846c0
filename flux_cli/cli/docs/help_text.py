"""Help as text: `-h` with the common options, on one screen; `--help` with all options; and the topics."""

from collections.abc import Callable, Iterable, Iterator
from textwrap import indent, wrap

from ...config.settings import VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...images.output_names import PLACEHOLDERS
from ...journal.entries import State
from ...operations.registry import PARAMETERS
from ...text import join_or
from ..registry import COMMANDS, GROUPS
from .tree import Command, Option

EXAMPLES = 3
"""The most examples in `-h`."""
COMMENTED = 74
"""The most characters of an example and its comment on one line."""
NO_BREAK = "\xa0"
COLUMN = 30
"""The rightmost column at which descriptions begin."""


def full_help(command: Command, width: int = 80) -> str:
    if not command.name:
        return _program_help(command, width)
    parts = [
        _heading(command, width),
        *("\n".join(wrap(text, width, break_on_hyphens=False)) for text in command.about),
    ]
    if command.commands:
        parts.append("Commands:\n" + _rows([(one.word, one.summary) for one in command.commands], width))
    if command.arguments:
        arguments = [(one.usage.strip("[]"), one.description) for one in command.arguments]
        parts.append("Arguments:\n" + _rows(arguments, width))
    column = _column(command.options)
    for title, options in command.by_title().items():
        parts.append(f"{title}:\n{_rows([(_usage(option), option.description) for option in options], width, column)}")
    if command.examples:
        examples = [f"  # {comment}\n{indent(line, '  ')}" for comment, line in command.examples]
        parts.append("Examples:\n" + "\n\n".join(examples))
    return "\n\n".join(parts) + "\n"


def short_help(command: Command, width: int = 80) -> str:
    """Return the help of a command with its common options."""
    if not command.common:
        return full_help(command, width)
    parts = [_heading(command, width)]
    if command.examples:
        parts.append("Examples:\n" + "\n".join(_short_examples(command)))
    column = _column(command.common)
    table = [(_usage(option), option.short_description(width - column)) for option in command.common]
    parts.append("Common options:\n" + _rows(table, width, column))
    parts.append(f"All {len(command.options)} options: {command.line} --help")
    return "\n\n".join(parts) + "\n"


def _program_help(program: Command, width: int) -> str:
    summaries = {command.name: command.summary for command in program.commands}
    column = max(map(len, COMMANDS)) + 4
    parts = [program.summary, "Usage: flux COMMAND [OPTIONS] ...", "\n".join(wrap(program.about[0], width))]
    for title, names in GROUPS.items():
        parts.append(f"{title}:\n" + _rows([(name, summaries[name]) for name in names], width, column))
    parts.append("Options:\n" + _rows([(_usage(option), option.description) for option in program.options], width))
    topics = [(f"flux help {name}", topic.summary) for name, topic in TOPICS.items()]
    topics.append(("flux help json-schema", "a JSON Schema of these objects"))
    parts.append("Help topics:\n" + _rows(topics, width))
    parts.append("Help for one command: flux COMMAND -h\nAll its options:      flux COMMAND --help")
    return "\n\n".join(parts) + "\n"


def _heading(command: Command, width: int) -> str:
    usage = wrap(f"Usage: {command.usage}", width, subsequent_indent=" " * 7)
    return "\n".join([*wrap(command.summary, width), "", *usage])


def _column(options: Iterable[Option]) -> int:
    """Return the column at which the descriptions of options begin."""
    return min(COLUMN, max(len(_usage(option)) for option in options) + 4)


def _usage(option: Option) -> str:
    """Return the names and the metavar of an option, indented so that long names align."""
    return option.usage if len(option.names[0]) == 2 else f"    {option.usage}"


def _short_examples(command: Command) -> Iterator[str]:
    """Yield the first single-line examples, with aligned comments where they fit."""
    examples = [(comment, line) for comment, line in command.examples if "\n" not in line][:EXAMPLES]
    column = max((len(line) for comment, line in examples if len(line) + len(comment) <= COMMENTED), default=0)
    for comment, line in examples:
        fits = max(column, len(line)) + len(comment) <= COMMENTED
        yield f"  {line:<{column}}  # {comment}" if fits else f"  {line}"


def _rows(content: list[tuple[str, str]], width: int, column: int | None = None) -> str:
    """Return names and texts in two columns. A name that is too long has its own line."""
    column = column or min(COLUMN, max(len(name) for name, _ in content) + 4)
    return "\n".join(line for name, text in content for line in _row(name, text, width, column))


def _row(name: str, text: str, width: int, column: int) -> Iterator[str]:
    room = max(20, width - column)
    about, bracket, default = text.partition(" [default: ")
    if len(default) + len("[default: ") <= room:  # keep it on one line
        text = f"{about} {(bracket + default).strip().replace(' ', NO_BREAK)}"
    lines = wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]
    lines = [line.replace(NO_BREAK, " ") for line in lines]
    if len(name) + 4 > column:
        yield f"  {name}"
    else:
        yield f"  {name:<{column - 2}}{lines.pop(0)}".rstrip()
    for line in lines:
        yield " " * column + line


# --- topics -----------------------------------------------------------------------------------------------------------


@frozen
class Topic:
    """A topic of `flux help`. text: returns the page for a width in columns."""

    summary: str
    text: Callable[[int], str]


def _templates(width: int) -> str:
    names = _rows([(f"{{{name}}}", about) for name, about in PLACEHOLDERS.items()], width)
    return f"""\
File names (-o, --output, and the output column of a row)

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
    operations = join_or([name for name in PARAMETERS if name != "gen"])
    return f"""\
Files with prompts (--from FILE): one prompt per line. Blank lines, and lines
that begin with # or //, are skipped. To begin a prompt with these characters,
write \\# or \\//.

Files with rows (flux batch FILE): each row is a task.

  prompt      required by most operations
  op          gen (default), {operations}
  output      file name or template (flux help templates)
  id          your ID for the row, {{id}} in file names
  all others  options of that command by their long names: seed, steps, mask-box

JSON, one object per line or one array:

  {{"prompt": "a cup on marble", "op": "edit", "image": "cup.jpg", "seed": 7}}

CSV with a header; the separator is a comma, a semicolon or a tab. Several
values of a repeatable option are separated by ; in their cell:

  id,op,image,prompt,output
  cup,edit,cup.jpg,on marble,{{id}}-marble.png
  hero,,,"a lighthouse, at dawn",{{id}}.png

TOML:

  [[row]]
  prompt = "a lighthouse at dawn"
  seed = 7

An empty cell is ignored. Options of flux batch apply to rows that do not set
their own. All errors are reported with their lines before anything is sent. Run
the same command again to pay only for missing images.
"""


def _exit_codes(width: int) -> str:
    codes = _rows([(f"{code.value:>3}", code.meaning) for code in ExitCode], width)
    return f"""\
{codes}

If the tasks of a command end differently, the code is 7 if an outcome is
unknown, and 3 otherwise.

After 9 or 10, flux resume downloads the images for free. After 7, flux resolve
shows your options; the request is never resent automatically. If a signal stops
flux, it exits by that signal, so that shell loops stop too.
"""


def _environment(width: int) -> str:
    return f"""\
{_rows(list(VARIABLES.items()), width)}

An option takes precedence over its variable, and a variable over the config
file. All values and their sources: flux config list
"""


def _json(width: int) -> str:
    kinds = _rows(
        [
            ("outcome", "a task: state, entry, task_id, op, model, prompt, seed, files, urls, cost_usd, "
             "possibly_charged_usd, paid_now_usd, seconds, error; also index and id"),
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
decimal strings in USD; paths are absolute. Fields may be added, but are never
removed or renamed. As JSON Schema: flux help json-schema

  flux gen --from prompts.txt --json | jq -r 'select(.files) | .files[]'
  flux history --state unknown --json | jq -r .entry
"""


STATES = {
    State.PLANNED: "checked and priced; nothing was sent; not charged",
    State.SENDING: "the request is being sent; possibly charged",
    State.ACCEPTED: "PiAPI accepted the task and charges it; it is running",
    State.READY: "finished and charged, but the images are not downloaded yet",
    State.SAVED: "finished and charged; the images are on disk",
    State.REJECTED: "PiAPI refused the request; not charged",
    State.UNKNOWN: "PiAPI sent no usable response; possibly charged",
    State.DISMISSED: "was unknown, and you closed it with flux resolve; possibly charged",
    State.FAILED: "PiAPI reported a failure; possibly charged",
    State.EXPIRED: "PiAPI no longer has the task or its images; charged",
}


def _states(width: int) -> str:
    return f"""\
flux records each task as an entry in its journal. flux history lists the
entries, and flux show, flux wait and flux resolve accept their IDs. An entry is
in one of these states:

{_rows([(state.value, about) for state, about in STATES.items()], width)}

  flux resume                     save the images of accepted and ready entries
  flux resolve                    decide what to do about unknown entries
  flux history --state unknown    list the entries in one state
"""


TOPICS = {
    "templates": Topic("file names, and prompts that make several images", _templates),
    "batch-files": Topic("files with prompts or rows", _batch_files),
    "states": Topic("the states of a task, and which ones are charged", _states),
    "exit-codes": Topic("what each exit code means", _exit_codes),
    "environment": Topic("all environment variables", _environment),
    "json": Topic("the objects that --json prints", _json),
}
