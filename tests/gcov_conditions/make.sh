#!/bin/sh
# Makes the notes, the data and what gcov and lcov say of them, in a folder for each release. Wants GCC 14 and 15, and
# for the trace geninfo of lcov 2. The folder in which it compiles is in the notes.
#
#   sh make.sh FOLDER-OF-THE-RESULTS
set -eu

here=$(cd "$(dirname "$0")" && pwd)
to=$(cd "$1" && pwd)
work=/tmp/conditions

make_release() {
    release=$1 compiled_with=$2 shown_with=$3
    rm -rf "$work"
    mkdir -p "$work" "$to/gcc-$release"
    cp "$here"/*.c "$here"/*.h "$work"
    cd "$work"
    for unit in decide one other; do
        "gcc-$release" --coverage -fcondition-coverage $compiled_with -c "$unit.c"
    done
    "gcc-$release" --coverage -static -o decide decide.o
    "gcc-$release" --coverage -static -o other one.o other.o
    ./decide
    ./other
    for unit in decide one other; do
        "gcov-$release" --json-format --stdout --branch-probabilities --conditions $shown_with "$unit.gcda" \
            > "$to/gcc-$release/$unit.json"
    done
    cp ./*.gcno ./*.gcda "$to/gcc-$release"
}

make_release 14 "" ""
geninfo --quiet --branch-coverage --mcdc-coverage --gcov-tool gcov-14 "$work" --output-filename "$to/gcc-14/lcov.info"
make_release 15 -fpath-coverage --prime-paths
