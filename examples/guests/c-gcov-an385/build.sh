#!/bin/sh
# Builds the C guest with GCC's own coverage and nothing of gcov in it:
#
#     ./build.sh VARIANT OUT
#
#   plain    not instrumented
#   covered  arc counters, no gcov library, no constructors
#   spin     covered, and steps follow each other as fast as they can
#   storm    a function of many branches that never returns, and another that it calls as fast as it can
#
# OUT gets the image, and OUT.d the objects and their .gcno files.
set -eu

variant=$1
case $2 in /*) out=$2 ;; *) out=$PWD/$2 ;; esac
cd "$(dirname "$0")"

board_flags=
workload='c-an385/command c-an385/valve c-an385/main'
# Counters must be in memory while a loop runs: GCC's loop optimiser would keep them in registers. Recorded options tell
# covtap that they are.
workload_flags='--coverage -fprofile-info-section -fno-tree-loop-im -fprofile-dir=/covtap -frecord-gcc-switches'
case $variant in
plain) workload_flags= ;;
covered) ;;
spin) board_flags=-DFLAT_OUT ;;
storm) board_flags=-DFLAT_OUT workload=c-gcov-an385/storm ;;
*) echo "no such variant: $variant" >&2; exit 2 ;;
esac

# Paths of sources begin at the repository's root, wherever that lies, and names of .gcda files with /covtap.
root=$(cd ../../.. && pwd)
cpu='-mcpu=cortex-m3 -mthumb -mfloat-abi=soft'

compile() {
    source=$1
    object=${1##*/}.o
    shift
    # shellcheck disable=SC2086 # flags are words
    arm-none-eabi-gcc $cpu -std=c17 -Os -ffreestanding -ffunction-sections -fdata-sections -Wall -Wextra -Werror \
        "-ffile-prefix-map=$root=." "-fprofile-prefix-path=$out.d" "$@" \
        -c "$root/examples/guests/$source.c" -o "$object"
    objects="$objects $object"
}

mkdir -p "$out.d"
cd "$out.d"
scripts=$root/examples/guests
objects=
# shellcheck disable=SC2086
compile c-an385/board $board_flags
for source in $workload; do
    # shellcheck disable=SC2086
    compile $source $workload_flags
done
# shellcheck disable=SC2086
arm-none-eabi-gcc $cpu -nostdlib -Wl,--gc-sections,--build-id=sha1,--nmagic \
    -T "$scripts/coverage.x" -T "$scripts/c-an385/an385.x" $objects -o "$out"
