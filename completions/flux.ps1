# PowerShell completion of flux, written by flux.
# In $PROFILE: flux completions powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName flux, flux-cli -ScriptBlock {
    param($current, $line, $cursor)

    # What may follow a command: commands, options with the kinds of their values, the kinds of arguments.
    $tree = @{
        '' = @('gen', 'lora', 'controlnet', 'redux', 'edit', 'inpaint', 'outpaint', 'batch', 'status', 'wait', 'resume', 'resolve', 'history', 'show', 'rerun', 'gallery', 'models', 'cost', 'balance', 'login', 'logout', 'doctor', 'completions', 'sandbox', 'listen', 'config'), @('--version', '--json', '-h', '--help'), @()
        'gen' = @(), @('-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('text')
        'lora' = @(), @('--lora=lora', '--image=image', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('text')
        'controlnet' = @(), @('--control=control', '--lora=lora', '--keep-control', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('text')
        'redux' = @(), @('--strength=text', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('image', 'text')
        'edit' = @(), @('--kontext', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('image', 'text')
        'inpaint' = @(), @('--mask=image', '--mask-box=text', '--mask-color=text', '--mask-alpha', '--feather=text', '--invert', '--show-mask=file', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('image', 'text')
        'outpaint' = @(), @('--left=text', '--right=text', '--top=text', '--bottom=text', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--from=file', '--vary=text', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('image', 'text')
        'batch' = @(), @('-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '--no-fit', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('file')
        'status' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('id...')
        'wait' = @(), @('--any', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('id...')
        'resume' = @(), @('--expiring', '--timeout=text', '-j=text', '--concurrency=text', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'resolve' = @(), @('--task=id', '--force', '--dismiss', '--resubmit', '--max-cost=text', '-y', '--yes', '--timeout=text', '-j=text', '--concurrency=text', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('id...')
        'history' = @(), @('--state=state', '--limit=text', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'show' = @(), @('--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('picture')
        'rerun' = @(), @('--prompt=text', '-m=model', '--model=model', '--commercial', '--negative=text', '--guidance=text', '--denoise=text', '--steps=text', '--seed=text', '-b=text', '--batch-size=text', '--service-mode=public|private', '--webhook=text', '--webhook-secret-file=file', '--set=text', '--input=file', '--size=text', '--aspect=text', '--width=text', '--height=text', '--preset=preset', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--timeout=text', '-j=text', '--concurrency=text', '--no-wait', '--dry-run', '--fail-fast', '--retry-failed', '--no-cache', '--cache', '--shard=text', '--report=file', '--max-cost=text', '-y', '--yes', '--preview', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('picture')
        'gallery' = @(), @('--batch=file', '-o=file', '--output=file', '--sheet=file', '--since=text', '--overwrite', '--open', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('folder')
        'models' = @(), @('--for=purpose', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'cost' = @(), @('--since=text', '--by=model|day|op|profile', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('command...')
        'balance' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'login' = @(), @('--no-check', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'logout' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'doctor' = @(), @('--offline', '--fix', '--bundle=file', '--with-prompts', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'completions' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('bash|zsh|fish|powershell')
        'sandbox' = @(), @('--port=text', '--host=text', '--fault=text', '--list-faults', '--seed=text', '--replies=sop|live', '--plan=free|creator|pro', '--credits=text', '--speed=text', '--expire=text', '--key=text', '--webhook-host=text', '--state=file', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'listen' = @(), @('--port=text', '--host=text', '--webhook-secret-file=file', '--forward=text', '--exec=text', '--count=text', '-o=file', '--output=file', '-d=folder', '--output-dir=folder', '--overwrite', '--no-metadata', '--skip-existing', '--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'config' = @('get', 'set', 'list', 'path'), @('-h', '--help'), @()
        'config get' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('setting')
        'config set' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @('setting', 'text')
        'config list' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
        'config path' = @(), @('--profile=profile', '--sandbox', '--json', '-q', '--quiet', '-v', '--verbose', '--debug', '-h', '--help'), @()
    }
    $words = @{
        command = @('gen', 'lora', 'controlnet', 'redux', 'edit', 'inpaint', 'outpaint', 'batch', 'rerun')
        control = @('pose', 'openpose', 'depth', 'canny', 'soft-edge', 'soft_edge', 'hed')
        lora = @('anime', 'art', 'disney', 'furry', 'mjv6', 'realism', 'scenery', 'collage-artstyle', 'creepcute', 'cyberpunk-anime-style', 'deco-pulse', 'deep-sea-particle-enhencer', 'faetastic-details', 'fractal-geometry', 'galactixy-illustrations-style', 'geometric-woman', 'graphic-portrait', 'mat-miller-art', 'moebius-style', 'ob3d-isometric-3d-room', 'paper-quilling-and-layering-style', 'mystic-realism', 'remes-abstract-poster-style')
        model = @('schnell', 'dev', 'pro', 'dev-advanced', 'auto')
        preset = @('portrait', 'landscape', 'square')
        purpose = @('commercial', 'fast', 'quality', 'controlnet', 'edit', 'gen', 'inpaint', 'kontext', 'lora', 'outpaint', 'redux')
        setting = @('model', 'output_dir', 'timeout', 'plan', 'concurrency', 'confirm_above', 'budget.day', 'budget.month', 'cache_hours', 'service_mode', 'webhook', 'webhook_secret_file', 'dialect', 'base_url', 'upload_url', 'sandbox', 'time_scale')
        state = @('planned', 'sending', 'accepted', 'ready', 'saved', 'rejected', 'unknown', 'forgotten', 'failed', 'expired')
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
