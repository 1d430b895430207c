#!/usr/bin/env bash
# From the London photographs, with the names that people give files, to a published and audited
# release, by three commands; then the commands that begin with nothing, which stop with a line.
#
#   bash tests/journeys/photographs.sh LONDON400.TAR FOLDER
#
# About 45 minutes on two cores. BUDGET (30m), MIN_AUC (.95), MIN_KEPT (.60) and SETTINGS (further
# section.key=value of the pipeline, in words) are taken from the environment, to try it in small.
set -euo pipefail
tar=$(realpath "$1") folder=$(realpath -m "$2")
root=$(realpath "$(dirname "$0")/../..")
budget=${BUDGET:-30m}
read -ra further <<<"${SETTINGS:-}"
mkdir -p "$folder"
cd "$folder"
ln -sfn "$root/configs" configs

python "$root/tests/journeys/as_on_disk.py" "$tar" people

source=(source.path=people source.license=CC-BY-4.0)
source+=("source.attribution=Face Research Lab London Set, Lisa DeBruine and Benedict Jones, 2017")
python -m jobs inspect people
python -m jobs pipeline configs/photographs.yaml "${source[@]}" release.license=CC-BY-4.0 \
  --budget "$budget" "${further[@]}"
release=runs/releases/photographs/releases/0.1.0
python -m jobs verify "$release"

python "$root/tests/journeys/figures.py" "$release" "${MIN_AUC:-0.95}" "${MIN_KEPT:-0.60}"

# Recipes that begin with nothing: of so few photographs comes noise, and they say so.
mini=("${source[@]}" store.url=runs/old)
stopped=""
for step in train_recognizer:recognizer train_autoencoder:autoencoder train_generator:generator \
  release:releases; do
  if ! python -m jobs "${step%%:*}" "configs/${step##*:}/mini.yaml" "${mini[@]}" \
    >old.out 2>old.err; then
    stopped=${step%%:*}
    break
  fi
done
line=$(grep -v '^\[ *WARN' old.err || true)
[ -n "$stopped" ] || { echo "the four commands were not stopped"; exit 1; }
[ "$(wc -l <<<"$line")" = 1 ] || { echo "more than a line: $line"; exit 1; }
grep -q acceptance <<<"$line" || { echo "stopped for another reason: $line"; exit 1; }
[ ! -e runs/old/mini/latest.json ] || { echo "noise was published"; exit 1; }
echo "$stopped stopped: $line"
