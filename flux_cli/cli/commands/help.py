"""`flux help`: the help of a command, or a topic."""

from typing import Annotated

from ...errors import ExitCode, UsageError
from ...operations.parameters import Argument
from ...text import guess, quoted
from ..output.output import Items, Record
from ..registry import COMMANDS, find_synonym, help_page
from ..session import Session

Words = Annotated[list[str] | None, Argument("[COMMAND|TOPIC]", help="A command, or one of the topics above.")]


@help_page(
    ("Show everything about a command", "flux help gen"),
    ("Show the placeholders of file names", "flux help templates"),
    hides=("sandbox", "profile", "quiet", "verbose", "debug"),
)
def help(session: Session, words: Words = None) -> Items:
    """Show help for a command or a topic.

    Topics: templates, batch-files, states, exit-codes, environment, json, json-schema.
    """
    from ..docs import tree
    from ..docs.help_text import TOPICS, full_help

    width = min(session.output.columns, 100)
    name = " ".join(words or [])
    known = [*COMMANDS, *TOPICS]
    if name == "json-schema":
        from ..docs.json_schema import schema

        yield Record("json_schema", {"json_schema": schema()}, document=schema())
    elif name in TOPICS:
        text = TOPICS[name].text(width)
        yield Record("topic", {"name": name, "text": text}, text.rstrip("\n"))
    elif not name or (words or [""])[0] in COMMANDS:
        program = tree.read_program()
        command = next((one for one in program.walk() if one.name == name), None)
        if command is None:
            raise UsageError(f"no such command {quoted(name, 60)}", command=("help", (words or [""])[0]))
        content = tree.help_of(program, list(words or []))
        yield Record("help", content, full_help(command, width).rstrip("\n"))
    else:
        synonym = find_synonym(name)
        hint = f"Did you mean {synonym}?" if synonym else guess(name, known)
        raise UsageError(f"no command or topic {quoted(name, 60)}", hint=hint, command=("help",))
    return ExitCode.OK
