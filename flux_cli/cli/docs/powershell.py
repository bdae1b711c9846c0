"""Completion for PowerShell. Where it offers nothing, PowerShell itself completes files."""

from collections.abc import Iterable

from .kinds import follows, word_lists
from .tree import Command

SCRIPT = r"""# PowerShell completion of flux, written by flux.
# In $PROFILE: flux completions powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName flux, flux-cli -ScriptBlock {
    param($current, $line, $cursor)

    # What may follow a command: commands, options with the kinds of their values, the kinds of arguments.
    $tree = @{
@COMMANDS@
    }
    $words = @{
@WORDS@
    }

    $typed = @($line.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { "$_" })
    $program, $before = $typed
    $command = ''
    $kind = ''
    $place = 0
    foreach ($word in $before) {
        $commands, $options, $arguments = $tree[$command]
        if ($kind) {
            $kind = ''
        } elseif ($word -like '-*') {
            $kind = "$($options | Where-Object { $_ -clike "$word=*" })" -replace '^.*?=', ''
        } elseif ($commands -ccontains $word) {
            $command = "$command $word".Trim()
        } elseif ($arguments -eq 'command...' -and $tree.ContainsKey($word)) {
            $command = $word
        } else {
            $place++
        }
    }
    $commands, $options, $arguments = $tree[$command]
    if (-not $kind -and $current -like '-*') {
        $found = $options -replace '=.*', ''
    } elseif (-not $kind -and $commands) {
        $found = $commands
    } else {
        if (-not $kind -and $arguments) {
            $kind = $arguments[[Math]::Min($place, $arguments.Count - 1)] -replace '\.\.\.$', ''
        }
        $found = switch ($kind) {
            { $_ -in 'id', 'profile' } { & $program --complete $kind @before 2>$null }
            'picture' { & $program --complete id @before 2>$null }
            'control' { $words['control'] | ForEach-Object { "$_=" } }
            { $_ -like '*|*' } { $kind -split '\|' }
            default { $words[$kind] }
        }
    }
    $found | Where-Object { $_ -like "$current*" } | ForEach-Object {
        $text, $about = $_ -split "`t", 2
        [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', "$text $about".Trim())
    }
}
"""


def script(program: Command) -> str:
    """The script for the whole program."""
    commands = [
        f"        '{command.name}' = {', '.join(map(_list, follows(command).values()))}" for command in program.walk()
    ]
    words = [f"        {kind} = {_list(words)}" for kind, words in word_lists(program).items() if "|" not in kind]
    return SCRIPT.replace("@COMMANDS@", "\n".join(commands)).replace("@WORDS@", "\n".join(words))


def _list(words: Iterable[str]) -> str:
    items = ", ".join(f"'{word}'" for word in words)
    return f"@({items})"
