#!/bin/sh
# check_instructions.sh PROGRAM: in a program that links objects for AVX2 and for AVX-512, only functions of the AVX-512
# namespace use AVX-512's registers.
command -v objdump > /dev/null || { echo "SKIPPED: no objdump"; exit 4; }
objdump -d --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { name = $2; next }
    name ~ /v0_1_avx2/ { avx2++ }
    /%zmm|%k[1-7]|vmovdq[au](8|16|32|64)|vpternlog|%[xy]mm(1[6-9]|2[0-9]|3[01])/ {
        if (name ~ /v0_1_avx512|avx512_/) own++
        else if (!(name in seen)) { seen[name] = 1; print "AVX-512 outside of its namespace: " name ": " $0; bad++ }
    }
    END {
        printf "%d instructions in AVX2 functions, %d with AVX-512 registers in AVX-512 functions\n", avx2, own
        if (avx2 == 0 || own == 0) { print "nothing to compare"; exit 1 }
        exit bad > 0
    }'
