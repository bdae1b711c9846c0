# PowerShell completion of flux. If it offers nothing, PowerShell completes files.
# In $PROFILE: flux completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName flux, flux-cli -ScriptBlock {
    param($current, $line, $cursor)

    $before = $line.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { "$_" }
    $words = @($before) + "$current"
    # Each word in single quotes: double quotes and empty words would be lost on the way to the program.
    $typed = ($words | ForEach-Object { "'{0}'" -f ($_ -replace '["'']') }) -join ' '
    $files, $prefix, $beginning, $found = & $words[0] --complete $typed 2>$null
    foreach ($row in $found) {
        $word, $about = $row -split "`t", 2
        if ($word.StartsWith($beginning, [StringComparison]::OrdinalIgnoreCase)) {
            [System.Management.Automation.CompletionResult]::new("$prefix$word", $word, 'ParameterValue', "$word $about".Trim())
        }
    }
}
