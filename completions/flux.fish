# fish completion of flux, written by flux. In ~/.config/fish/config.fish: flux completions fish | source

# Whether the command that is typed is one of these.
function __flux_at
    set -l words
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; or set -a words $word
    end
    set -l command "$words[1]"
    if contains -- "$words[1] $words[2]" 'config get' 'config set' 'config list' 'config path'
        set command "$words[1] $words[2]"
    else if contains -- "$words[1] $words[2]" 'cost gen' 'cost lora' 'cost controlnet' 'cost redux' 'cost edit' 'cost inpaint' 'cost outpaint' 'cost batch' 'cost rerun'
        set command $words[2]
    end
    contains -- $command $argv
end

# Whether an argument of one of these commands may be what is typed: fish asks also when it is an option.
function __flux_argument_of
    __flux_at $argv; and not string match -q -- '-*' (commandline -ct)
end

# What only the program knows: ids or profiles, each with $argv[2] before it.
function __flux_ask
    set -l words (commandline -opc)
    for line in ($words[1] --complete $argv[1] $words[2..] 2>/dev/null)
        echo "$argv[2]$line"
    end
end

# An image is a file, or @ and the id of a task. $argv: what is typed of it.
function __flux_image
    if string match -q -- '@*' $argv[1]
        echo @last
        __flux_ask id @
    else
        __fish_complete_suffix --complete=$argv[1] .png .jpg .jpeg .webp
    end
end

function __flux_picture
    set -l ids (__flux_ask id) # before fish looks for files: it forgets the command line then
    __flux_image $argv[1]
    string match -q -- '@*' $argv[1]; or printf '%s\n' $ids
end

function __flux_control
    set -l parts (string split -m 1 = -- (commandline -ct))
    if set -q parts[2]
        for image in (__flux_image $parts[2])
            echo "$parts[1]=$image"
        end
    else
        printf '%s=\n' pose openpose depth canny soft-edge soft_edge hed
    end
end

complete -c flux -f
complete -c flux-cli -w flux
complete -c flux -n '__flux_at ""' -a gen -d 'Generate an image from a text prompt.'
complete -c flux -n '__flux_at ""' -a lora -d 'Generate or edit an image with LoRA styles.'
complete -c flux -n '__flux_at ""' -a controlnet -d 'Generate an image with the pose, depth or edges of another.'
complete -c flux -n '__flux_at ""' -a redux -d 'Generate a variation of an image.'
complete -c flux -n '__flux_at ""' -a edit -d 'Edit an image with a text prompt.'
complete -c flux -n '__flux_at ""' -a inpaint -d 'Regenerate a region of an image.'
complete -c flux -n '__flux_at ""' -a outpaint -d 'Extend an image beyond its edges.'
complete -c flux -n '__flux_at ""' -a batch -d 'Run one task per row of a file.'
complete -c flux -n '__flux_at ""' -a status -d 'Show the status of tasks, without waiting for them.'
complete -c flux -n '__flux_at ""' -a wait -d 'Wait for tasks and save their images.'
complete -c flux -n '__flux_at ""' -a resume -d 'Save all paid images that are not saved yet, for free.'
complete -c flux -n '__flux_at ""' -a resolve -d 'Resolve submissions that may have been charged.'
complete -c flux -n '__flux_at ""' -a history -d 'List past tasks with their status and cost, newest first.'
complete -c flux -n '__flux_at ""' -a show -d 'Show how an image was generated.'
complete -c flux -n '__flux_at ""' -a rerun -d 'Generate an image again, with the changes in the options.'
complete -c flux -n '__flux_at ""' -a gallery -d 'Show the images of a directory, or of a batch, on one page.'
complete -c flux -n '__flux_at ""' -a models -d 'List the models: price, license, speed and operations.'
complete -c flux -n '__flux_at ""' -a cost -d 'Show the price of a command, or the money spent so far.'
complete -c flux -n '__flux_at ""' -a balance -d 'Show the balance and the plan of your PiAPI account.'
complete -c flux -n '__flux_at ""' -a login -d 'Check your PiAPI key and store it.'
complete -c flux -n '__flux_at ""' -a logout -d 'Remove the stored API key of a profile.'
complete -c flux -n '__flux_at ""' -a doctor -d 'Check the installation, key, PiAPI, journal and images.'
complete -c flux -n '__flux_at ""' -a completions -d 'Print the completion script for a shell.'
complete -c flux -n '__flux_at ""' -a sandbox -d 'Serve a mock of PiAPI on localhost, to test for free.'
complete -c flux -n '__flux_at ""' -a listen -d 'Receive PiAPI\'s webhooks and save the images.'
complete -c flux -n '__flux_at ""' -a config -d 'Show and change settings.'
complete -c flux -n '__flux_at config' -a get -d 'Print the value of a setting, or nothing if it is unset.'
complete -c flux -n '__flux_at config' -a set -d 'Set a setting in the config file.'
complete -c flux -n '__flux_at config' -a list -d 'Show every setting, its value and the source of the value.'
complete -c flux -n '__flux_at config' -a path -d 'Print the path of the config file.'
complete -c flux -n '__flux_at ""' -l version -d 'Print the version.'
complete -c flux -n '__flux_at ""' -l json -d 'With --help: print the help as JSON.'
complete -c flux -n '__flux_at "" gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen config "config get" "config set" "config list" "config path"' -s h -l help -d 'Show this message and exit.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -s m -l model -x -k -a 'schnell dev pro dev-advanced auto' -d 'schnell, dev, pro, dev-advanced, a full ID, or auto; see flux models. [default: dev]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l commercial -d 'Use only a model that is licensed for commercial use.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l negative -x -d 'Negative prompt: what to keep out of the image.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l guidance -x -d 'Guidance scale, 1.5 to 5: higher follows the prompt more closely.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l denoise -x -d 'Denoising strength, above 0 up to 1: lower keeps more of the input image.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l steps -x -d 'Sampling steps: 1 to 10 for schnell, 1 to 40 for other models.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l seed -x -d 'The same seed and options reproduce the image. A range (1..4) or list (1,5) makes one image per seed. [default: random]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -s b -l batch-size -x -d 'Images per task, 1 to 4, schnell only. Each image is charged. [default: 1]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l service-mode -x -k -a 'public private' -d 'Billing: public (pay-as-you-go) or private (host-your-account).'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l webhook -x -d 'URL that PiAPI calls when the task ends.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l webhook-secret-file -r -F -d 'File with the webhook secret. [env: FLUX_WEBHOOK_SECRET]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l set -x -d 'Set one request field, for example input.steps=30; repeatable, not validated.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l input -r -F -d 'Merge a JSON file into the request; not validated.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l no-wait -d 'Submit, print the task ID, and exit.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l dry-run -d 'Print the request and its price; send nothing.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l fail-fast -d 'After the first failure, submit nothing more.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l retry-failed -d 'Submit failed tasks again (and pay for them).'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l no-cache -d 'Generate and pay again, even if an identical image exists.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l cache -d 'Reuse an earlier image of the same request, whatever its seed.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l shard -x -d 'Run only part K of N, to split the work over machines.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l report -r -F -d 'Write a report with the result of each task: .json, .csv or .xml (JUnit).'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l size -x -d 'Size in pixels; at most 1048576 pixels in total.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l aspect -x -d 'Aspect ratio, for example 16:9, at the largest size allowed.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l width -x -d 'Width in pixels.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l height -x -d 'Height in pixels.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l preset -x -k -a 'portrait landscape square' -d 'Preset for size, guidance and denoise: portrait, landscape or square.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -s o -l output -r -F -d 'File name, template such as \'{slug}-{seed}.png\', or - for stdout.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -s d -l output-dir -x -k -a '(__fish_complete_directories)' -d 'Directory for images. [default: .]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -l no-metadata -d 'Do not embed the prompt and settings in the image.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -l skip-existing -d 'Skip images whose file exists (no charge).'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun gallery listen' -l overwrite -d 'Replace existing files.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait resume resolve rerun' -l timeout -x -d 'Stop waiting after SECONDS. The task keeps running and stays charged; flux resume saves its images. [default: 900]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait resume resolve rerun' -s j -l concurrency -x -d 'Maximum number of tasks in parallel. [default: the limit of your plan]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint' -l from -r -F -d 'Read prompts from FILE, one per line; - for stdin.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint' -l vary -x -d 'Values for {NAME} in the prompt, or NAME=@FILE; repeatable.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch resolve rerun' -l max-cost -x -d 'Fail before sending anything if the total price is higher than USD.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch resolve rerun' -s y -l yes -d 'Do not ask for confirmation of the cost.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait show rerun' -l preview -d 'Show the image in the terminal.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait show rerun' -l open -d 'Open the image in the default viewer.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l profile -x -k -a '(__flux_ask profile)' -d 'Profile in the config file.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l sandbox -d 'Use the built-in mock of PiAPI: free, offline, no key.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l json -d 'Print one JSON object per result.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -s q -l quiet -d 'Print only results (paths or IDs) and errors.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -s v -l verbose -d 'Print every status change.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l debug -d 'Log HTTP requests to stderr, with secrets removed.'
complete -c flux -n '__flux_at lora controlnet' -l lora -x -k -a 'anime art disney furry mjv6 realism scenery collage-artstyle creepcute cyberpunk-anime-style deco-pulse deep-sea-particle-enhencer faetastic-details fractal-geometry galactixy-illustrations-style geometric-woman graphic-portrait mat-miller-art moebius-style ob3d-isometric-3d-room paper-quilling-and-layering-style mystic-realism remes-abstract-poster-style' -d 'LoRA, by name or URL; repeatable.'
complete -c flux -n '__flux_at lora' -l image -x -k -a '(__flux_image (commandline -ct))' -d 'Restyle this image instead of generating a new one.'
complete -c flux -n '__flux_at lora controlnet redux edit inpaint outpaint batch' -l no-fit -d 'Refuse an image that is too large, instead of scaling it down.'
complete -c flux -n '__flux_at controlnet' -l control -x -k -a '(__flux_control)' -d 'Follow the pose, depth or edges of an image; repeatable.'
complete -c flux -n '__flux_at controlnet' -l keep-control -d 'Also save the preprocessed control images (pose, depth map, edges).'
complete -c flux -n '__flux_at redux' -l strength -x -d 'Strength of the variation, 0 to 1.'
complete -c flux -n '__flux_at edit' -l kontext -d 'Follow an instruction: \'make the car red\'; dev-advanced only.'
complete -c flux -n '__flux_at inpaint' -l mask -x -k -a '(__flux_image (commandline -ct))' -d 'Mask image of the same size; white areas are regenerated.'
complete -c flux -n '__flux_at inpaint' -l mask-box -x -d 'Regenerate a box, in pixels or percent: 10%,20%,300,50%.'
complete -c flux -n '__flux_at inpaint' -l mask-color -x -d 'Regenerate areas of this color.'
complete -c flux -n '__flux_at inpaint' -l mask-alpha -d 'Regenerate transparent areas.'
complete -c flux -n '__flux_at inpaint' -l feather -x -d 'Soften the edge of the region by PX pixels. [default: 0]'
complete -c flux -n '__flux_at inpaint' -l invert -d 'Regenerate everything outside the region.'
complete -c flux -n '__flux_at inpaint' -l show-mask -r -F -d 'Write an image that shows the region; send nothing.'
complete -c flux -n '__flux_at outpaint' -l left -x -d 'Pixels, or percent of the width, to add on the left. [default: 0]'
complete -c flux -n '__flux_at outpaint' -l right -x -d 'Pixels, or percent of the width, to add on the right. [default: 0]'
complete -c flux -n '__flux_at outpaint' -l top -x -d 'Pixels, or percent of the height, to add at the top. [default: 0]'
complete -c flux -n '__flux_at outpaint' -l bottom -x -d 'Pixels, or percent of the height, to add at the bottom. [default: 0]'
complete -c flux -n '__flux_at wait' -l any -d 'Exit after the first image is saved; the other tasks keep running.'
complete -c flux -n '__flux_at resume' -l expiring -d 'Only images that PiAPI may delete within a day; it keeps them for seven days.'
complete -c flux -n '__flux_at resolve' -l task -x -k -a '(__flux_ask id)' -d 'The task exists: download its image (no extra charge).'
complete -c flux -n '__flux_at resolve' -l force -d 'With --task: link the task even if its prompt, model or seed differs.'
complete -c flux -n '__flux_at resolve' -l dismiss -d 'The task does not exist, or you do not need its image.'
complete -c flux -n '__flux_at resolve' -l resubmit -d 'Submit the request again, and pay for it.'
complete -c flux -n '__flux_at history' -l state -x -k -a 'planned sending accepted ready saved rejected unknown dismissed failed expired' -d 'Only entries in this state: saved, accepted, unknown, ...'
complete -c flux -n '__flux_at history' -l limit -x -d 'Maximum number of entries. [default: 20]'
complete -c flux -n '__flux_at rerun' -l prompt -x -d 'New prompt. [default: the prompt of the image]'
complete -c flux -n '__flux_at gallery' -l batch -r -F -d 'Show the images of a batch; REPORT is its --report FILE.json.'
complete -c flux -n '__flux_at gallery' -s o -l output -r -F -d 'File for the page. [default: gallery.html in DIR]'
complete -c flux -n '__flux_at gallery' -l sheet -r -F -d 'Write a contact sheet instead of a page: .png, .jpg or .webp.'
complete -c flux -n '__flux_at gallery' -l since -x -d 'Only images saved since a day (2026-11-01), or in the last N days (7d).'
complete -c flux -n '__flux_at gallery' -l open -d 'Open the file in the default viewer.'
complete -c flux -n '__flux_at models' -l for -x -k -a 'commercial fast quality controlnet edit gen inpaint kontext lora outpaint redux' -d 'Only the model for PURPOSE: commercial, fast, quality or an operation; combine with commas.'
complete -c flux -n '__flux_at cost' -l since -x -d 'Only tasks since a day (2026-11-01), or of the last N days (30d).'
complete -c flux -n '__flux_at cost' -l by -x -k -a 'model day op profile' -d 'Show one total per model, day, operation or profile.'
complete -c flux -n '__flux_at login' -l no-check -d 'Store the key without checking it with PiAPI.'
complete -c flux -n '__flux_at doctor' -l offline -d 'Do not contact PiAPI.'
complete -c flux -n '__flux_at doctor' -l fix -d 'Repair what can be repaired; print each change before making it.'
complete -c flux -n '__flux_at doctor' -l bundle -r -F -d 'Write a ZIP file for a bug report, without keys and prompts.'
complete -c flux -n '__flux_at doctor' -l with-prompts -d 'Include prompts and API responses in the bundle.'
complete -c flux -n '__flux_at sandbox' -l port -x -d 'Port to listen on; 0 picks a free port. [default: 8517]'
complete -c flux -n '__flux_at sandbox' -l fault -x -d 'Simulate this failure; repeatable.'
complete -c flux -n '__flux_at sandbox' -l list-faults -d 'List the failures that can be simulated, and exit.'
complete -c flux -n '__flux_at sandbox' -l seed -x -d 'Random seed for faults with rate=. [default: 0]'
complete -c flux -n '__flux_at sandbox' -l replies -x -k -a 'spec live' -d 'Respond like PiAPI\'s published specification (spec) or its live API (live). [default: spec]'
complete -c flux -n '__flux_at sandbox' -l plan -x -k -a 'free creator pro' -d 'Plan to simulate; sets the concurrency limit and the allowed operations. [default: pro]'
complete -c flux -n '__flux_at sandbox' -l credits -x -d 'Balance of the simulated account. [default: unlimited]'
complete -c flux -n '__flux_at sandbox' -l speed -x -d 'Run tasks X times faster than documented. [default: 15]'
complete -c flux -n '__flux_at sandbox' -l expire -x -d 'How long image URLs stay valid, for example 30s, 10m or 2h. [default: 7d]'
complete -c flux -n '__flux_at sandbox' -l key -x -d 'Accept only this API key; repeatable. [default: any key]'
complete -c flux -n '__flux_at sandbox' -l webhook-host -x -d 'Also deliver webhooks to HOST; repeatable. [default: localhost only]'
complete -c flux -n '__flux_at sandbox' -l state -r -F -d 'Keep tasks and uploads in FILE. [default: lost on exit]'
complete -c flux -n '__flux_at sandbox listen' -l host -x -d 'Address to listen on. [default: 127.0.0.1]'
complete -c flux -n '__flux_at listen' -l port -x -d 'Port to listen on; 0 picks a free port. [default: 8518]'
complete -c flux -n '__flux_at listen' -l webhook-secret-file -r -F -d 'File with the secret that every webhook must carry. [env: FLUX_WEBHOOK_SECRET]'
complete -c flux -n '__flux_at listen' -l forward -x -d 'Forward each webhook, unchanged, to URL.'
complete -c flux -n '__flux_at listen' -l exec -x -d 'Run CMD for each saved image, with the image\'s path as the last argument. No shell is used.'
complete -c flux -n '__flux_at listen' -l count -x -d 'Exit after N tasks are saved.'
complete -c flux -n '__flux_argument_of redux' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of edit' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of inpaint' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of outpaint' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of batch' -F
complete -c flux -n '__flux_argument_of status' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of wait' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of resolve' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of show' -k -a '(__flux_picture (commandline -ct))'
complete -c flux -n '__flux_argument_of rerun' -k -a '(__flux_picture (commandline -ct))'
complete -c flux -n '__flux_argument_of gallery' -k -a '(__fish_complete_directories)'
complete -c flux -n '__flux_argument_of cost' -k -a 'gen lora controlnet redux edit inpaint outpaint batch rerun'
complete -c flux -n '__flux_argument_of completions' -k -a 'bash zsh fish powershell'
complete -c flux -n '__flux_argument_of "config get"' -k -a 'model output_dir timeout plan concurrency confirm_above budget.day budget.month cache_hours service_mode webhook webhook_secret_file api_key_command dialect base_url upload_url sandbox time_scale'
complete -c flux -n '__flux_argument_of "config set"' -k -a 'model output_dir timeout plan concurrency confirm_above budget.day budget.month cache_hours service_mode webhook webhook_secret_file api_key_command dialect base_url upload_url sandbox time_scale'
