# Functions of tests/run, to be sourced by bash: they run suites, read what the runner prints, and count.

# The folder for logs and for results that other tools read.
results=${results:-$PWD/TestResults}

passed=0
failed=0
skipped=0
explicit=0
failures=()

step() { printf '\n== %s\n' "$*"; }

# Counts one failure that no test has reported.
fail() {
    failed=$((failed + 1))
    failures+=("$*")
    printf 'FAILED: %s\n' "$*"
}

# Ends the script with a list of what failed and the true counts.
finish() {
    [ "${#failures[@]}" -gt 0 ] && printf '\nfailed:\n' && printf '  %s\n' "${failures[@]}"
    [ "$explicit" -gt 0 ] && printf '\n%d explicit tests were left for tests/run --full\n' "$explicit"
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
    exit
}

# Shows the output of a runner as it comes: one line for each skipped test, none for explicit tests that were left out, and no summary.
# Writes how many tests passed, failed, were skipped and were left out into the file $1, and after that the name of each failed test. Writes
# nothing when the runner has printed no summary, or one that does not add up.
report() {
    local line name='' left=0 names=()
    local -A counts=()
    while IFS= read -r line || [ -n "$line" ]; do
        if [ -n "$name" ]; then
            # The line after the name of a skipped test has the reason.
            if [[ $line == *'due to explicit test filtering'* ]]; then
                left=$((left + 1))
            else
                printf 'skipped %s: %s\n' "$name" "${line#"${line%%[! ]*}"}"
            fi
            name=''
            continue
        fi
        case $line in
            'skipped '*\))
                name=${line#skipped }
                name=${name% (*} # the duration
                ;;
            'failed '*\))
                names+=("${line#failed }")
                names[-1]=${names[-1]% (*}
                printf '%s\n' "$line"
                ;;
            'Test run summary:'*) counts=([has]=1) ;;
            '  In process file artifacts produced:' | "    - "*.trx) ;;
            *)
                if [ -n "${counts[has]-}" ] && [[ $line =~ ^\ +(total|failed|succeeded|skipped):\ ([0-9]+)$ ]]; then
                    counts[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
                elif [ -z "${counts[has]-}" ] && [ -n "$line" ]; then
                    printf '%s\n' "$line"
                fi
                ;;
        esac
    done
    if [ -n "${counts[total]-}" ] && [ "${counts[total]}" -eq $((counts[succeeded] + counts[failed] + counts[skipped])) ]; then
        printf '%d %d %d %d\n' "${counts[succeeded]}" "${counts[failed]}" $((counts[skipped] - left)) "$left" > "$1"
        [ "${#names[@]}" -eq 0 ] || printf '%s\n' "${names[@]}" >> "$1"
    fi
}

# What a suite that did not end was doing: where its threads wait, and what it had started.
describe_hang() {
    local thread
    echo "$1 has not ended; its threads (name, state, where in the kernel), then its processes:"
    for thread in "/proc/$2/task"/*; do
        printf '  %s %s %s\n' "$(cat "$thread/comm")" "$(sed -n 's/^State:\t\(.\).*/\1/p' "$thread/status")" "$(cat "$thread/wchan")"
    done 2> /dev/null | sort | uniq -c
    ps --ppid "$2" -o pid=,stat=,etime=,args= | cut -c 1-160
}

# run_suite NAME PROGRAM SECONDS [OPTION...] runs a suite for at most so many seconds and adds its tests to the counts. What it prints is
# kept in NAME.log, and its results for other tools in NAME.trx. Sets ran to the number of tests that it ran or skipped. Returns 1 if the
# suite has no counts, which is one failure.
run_suite() {
    local name=$1 program=$2 seconds=$3 log=$results/$1.log counts=$results/$1.counts code=0 pid lines suite
    shift 3
    ran=0
    step "$name"
    mkdir -p "$results"
    rm -f "$counts" "$results/$name.trx"
    : > "$log"
    # A shell has its children in the background ignore SIGINT, and nohup has them ignore SIGHUP; the tests send both.
    DOTNET_CLI_UI_LANGUAGE=en env --default-signal=HUP,INT,QUIT,TERM "$program" "$@" --results-directory "$results" --report-xunit-trx \
        --report-xunit-trx-filename "$name.trx" --no-ansi --progress off --show-test-results failed,skipped >> "$log" 2>&1 &
    pid=$!
    timeout "$seconds" tail --pid="$pid" --sleep-interval=0.2 --lines=+1 --follow "$log" | report "$counts"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        describe_hang "$name" "$pid"
        kill -KILL "$pid"
    fi
    wait "$pid" || code=$?
    if [ ! -s "$counts" ]; then
        fail "$name ended with code $code and without a summary: it crashed, hung or was never built"
        return 1
    fi

    mapfile -t lines < "$counts"
    rm "$counts"
    read -r -a suite <<< "${lines[0]}"
    ran=$((suite[0] + suite[1] + suite[2]))
    passed=$((passed + suite[0]))
    failed=$((failed + suite[1]))
    skipped=$((skipped + suite[2]))
    explicit=$((explicit + suite[3]))
    failures+=("${lines[@]:1}")
    # The runner ends with code 8 when it has found no test.
    if [ "$code" -ne 0 ] && [ "${suite[1]}" -eq 0 ] && ! { [ "$code" -eq 8 ] && [ "$ran" -eq 0 ]; }; then
        fail "$name ended with code $code though none of its tests failed"
    fi
    return 0
}

# Prints those of the suites $2... in whose source a test may be that has $1 in its name: each word of the name before its first argument is
# somewhere in the source, or the name has no such word.
suites_with() {
    local suite word name=${1%%[\(\"]*}
    shift
    for suite in "$@"; do
        for word in ${name//[^A-Za-z0-9_]/ }; do
            grep -rqF --include='*.cs' -- "$word" "tests/$suite" || continue 2
        done
        echo "$suite"
    done
}
