#!/usr/bin/env bash
# Runs the batch. If it fails, downloads what is paid for and not saved yet, which costs nothing, and fails anyway.
set -uo pipefail

command=(flux batch "$FILE" --output-dir "$OUTPUT_DIR" --report "$REPORT")
while IFS= read -r word; do
  if [ -n "$word" ]; then command+=("$word"); fi
done <<< "${ARGS//$'\r'/}"

images="$RUNNER_TEMP/flux-images.txt"
code=0
"${command[@]}" > "$images" || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 4 ]; then # 4: PiAPI does not accept the key, so nothing can be downloaded
  flux resume >> "$images"
fi
cat "$images"

end="end-of-images-$RANDOM$RANDOM"
{
  echo "exit-code=$code"
  echo "report=$REPORT"
  echo "images<<$end"
  cat "$images"
  echo "$end"
} >> "$GITHUB_OUTPUT"
exit "$code"
