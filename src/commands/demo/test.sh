#!/bin/sh
# Checks roman.sh; exits 1 if one answer is wrong.

failed=0

check() {
    answer=$(sh ./roman.sh "$1")
    if [ "$answer" = "$2" ]; then
        echo "ok   $1 is $2"
    else
        echo "FAIL $1 is $2, not $answer"
        failed=1
    fi
}

check 3 III
check 4 IV
check 9 IX
check 14 XIV
check 40 XL
check 90 XC
check 444 CDXLIV
check 1990 MCMXC
check 2026 MMXXVI
exit $failed
