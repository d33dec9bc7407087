#!/bin/sh
# Builds the thermostat as any firmware is built: with -g, and with nothing for coverage.
#
#     ./build.sh OUT [FLAG]...
#
# OUT gets the image, and OUT.d the objects; FLAGs go to the compiler, after -Os.
set -eu

case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
shift
cd "$(dirname "$0")"

mkdir -p "$out.d"
for source in startup.S crc16.S thermostat.c; do
    clang-19 --target=thumbv7m-none-eabi -mcpu=cortex-m3 -mfloat-abi=soft -std=c17 -Os -g -ffreestanding \
        -Wall -Wextra "$@" -c "$PWD/$source" -o "$out.d/${source%.*}.o"
done
ld.lld-19 --gc-sections --build-id=sha1 --nmagic -T an385.x \
    "$out.d/startup.o" "$out.d/crc16.o" "$out.d/thermostat.o" -o "$out"
