# For the other scripts, which source this with their arguments. Goes to the folder of the repository, answers --help
# with the comment at the head of the script, and offers `refuse` for arguments that a script does not know.
script=$(realpath "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The comment at the head of the script.
head_comment() {
    awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$script"
}

# Says that the arguments are wrong and what they may be, and ends the script with status 2.
refuse() {
    echo "$(basename "$script"): $1" >&2
    head_comment | sed -n 's|.*\(scripts/'"$(basename "$script")"'.*\)|usage: \1|p' | head -n 1 >&2
    exit 2
}

# Refuses more arguments than this number.
at_most() {
    local number=$1
    shift
    (($# <= number)) || refuse "there is an argument too many: ${*:number + 1:1}"
}

if [[ ${1:-} == --help ]]; then
    head_comment
    exit
fi
