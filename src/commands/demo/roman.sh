#!/bin/sh
# Usage: roman.sh NUMBER
# Prints a number from 1 to 3999 in Roman numerals.

number=$1
result=

# take VALUE LETTERS: adds LETTERS for as long as VALUE goes into what is left.
take() {
    while [ "$number" -ge "$1" ]; do
        result=$result$2
        number=$((number - $1))
    done
}

take 1000 M
take 500 D
take 100 C
take 50 L
take 10 X
take 5 V
take 1 I

echo "$result"
