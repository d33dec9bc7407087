#!/bin/sh
# Builds the C guest:
#
#     ./build.sh VARIANT OUT
#
#   plain    not instrumented
#   covered  coverage counters, no profiling runtime
#   spin     covered, and steps follow each other as fast as they can
#
# OUT gets the image, and OUT.d the objects.
set -eu

variant=$1
case $2 in /*) out=$2 ;; *) out=$PWD/$2 ;; esac
cd "$(dirname "$0")"

board_flags=
workload_flags='-fprofile-instr-generate -fcoverage-mapping'
case $variant in
plain) workload_flags= ;;
covered) ;;
spin) board_flags=-DFLAT_OUT ;;
*) echo "no such variant: $variant" >&2; exit 2 ;;
esac

# Paths in the coverage mapping begin at the repository's root, wherever that lies.
root=$(cd ../../.. && pwd)

compile() {
    source=$1
    shift
    clang-19 --target=thumbv7m-none-eabi -mcpu=cortex-m3 -mfloat-abi=soft -std=c17 -Os -ffreestanding \
        -ffunction-sections -fdata-sections -Wall -Wextra -Werror "-ffile-prefix-map=$root=." \
        "$@" -c "$source.c" -o "$out.d/$source.o"
}

mkdir -p "$out.d"
# shellcheck disable=SC2086 # flags are words
compile board $board_flags
for source in command valve main; do
    # shellcheck disable=SC2086
    compile $source $workload_flags
done
ld.lld-19 --gc-sections --build-id=sha1 --nmagic -T an385.x -T ../coverage.x \
    "$out.d/board.o" "$out.d/command.o" "$out.d/valve.o" "$out.d/main.o" -o "$out"
