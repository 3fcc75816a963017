#!/bin/sh
# Plays the story that README.md tells, in a copy of the example, and stops where something is not as it is told.
#
# usage: story.sh [DIRECTORY]
#
# The copy is made in DIRECTORY and stays there, or in a temporary one and goes. dpb is the one in PATH, or what $DPB names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(command -v "${DPB:-dpb}") || { echo "there is no ${DPB:-dpb}: make install, or DPB=path/to/dpb $0" >&2; exit 1; }
case $program in /*) ;; *) program=$PWD/$program ;; esac
if [ $# -gt 0 ]; then
  mkdir "$1"
  cd "$1"
  work=$(pwd)
else
  work=$(mktemp -d)
  cd "$work"
  trap 'cd / && rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
fi
(cd "$here" && cp -R dpb.hcl plays spam reports charts story "$work")
out=$work/.output

dpb() { "$program" "$@"; }

say() {
  echo
  printf '# %s\n' "$@"
}

# run prints a command, runs it, prints what it says, shortened, and stops if its exit code is not $1.
run() {
  printf '$ %s\n' "$2"
  code=0
  (eval "$2") >"$out" 2>&1 || code=$?
  shorten <"$out"
  [ "$code" -eq "$1" ] || wrong "the exit code is $code, and was to be $1"
}

# shorten counts the jobs of each target instead of listing them, and leaves out where outputs lie, and what the end of a build says again.
shorten() {
  awk '
    /^(ran|judged) \/\// { split($2, at, "@"); if (!n[at[1]]++) order[++k] = at[1]; next }
    /^ran [0-9]/ { for (i = 1; i <= k; i++) printf "%s%s %d%s", i == 1 ? "… " : ", ", order[i], n[order[i]], i == k ? "\n" : "" }
    /^held .*( in [0-9.]+ m?s \(|no job runs\))/ || /^  \/\// { next }
    { print }'
}

# told stops unless the last command printed a line that matches.
told() {
  grep -Eq -- "$1" "$out" || wrong "no line matches $1"
}

wrong() {
  printf '\nthe story goes otherwise: %s. All that the last command printed:\n' "$1" >&2
  cat "$out" >&2
  exit 1
}

# version sets $version to the one version of a day that is held.
version() {
  version=$(dpb log "//spam:classified@day=$1" | sed -n 's/.*\(\/\/[^ ]*#[0-9a-f]*\).* held by .*/\1/p')
}

june=dpb-out/reports/royalties/month=2017-06/royalties.csv

say "Fourteen days of plays, classified, for charts and royalties. Rules are held to on the way."
run 0 "dpb build //..."
told '^ran 90 jobs'
run 0 "grep Cassette $june"
paid=$(cat "$out")

say "It is the tenth of June: two more days have come. Both are held: all jobs went well, and what they gave is not like other days."
run 0 "sed -i.bak 's/2017-06-07/2017-06-09/' dpb.hcl"
run 3 "dpb build //..."
told '^held //spam:classified@day=2017-06-08: countries: .* 6 actions wait for it; owner trust-and-safety'
told '^held //spam:classified@day=2017-06-09: blind: .* owner trust-and-safety'

say "Nobody has got any of it. Charts and royalties are where they were, and say for whom they wait."
run 0 "ls dpb-out/charts/top_tracks | tail -n 1"
told '^day=2017-06-07$'
run 0 "grep Cassette $june"
told "^$paid\$"
run 3 "dpb status --check //reports:royalties"
told 'month=2017-06  blocked: //spam:classified@day=2017-06-08 is held'

say "What the rules looked at, and what a person reads instead of the data: however many plays there are, a fingerprint has about this size."
version 2017-06-08; star=$version
version 2017-06-09; attack=$version
run 0 "for day in 01 02 03 04 05 06 07 '08#${star#*#}' '09#${attack#*#}'; do dpb show \"//spam:classified@day=2017-06-\$day\" --json; done | python3 story/days.py"
told '^2017-06-08 .* held$'

say "The eighth: 250 new listeners, most from one country, and one track. So what is track 141?"
run 0 "dpb diff //spam:classified@day=2017-06-07 '$star' --no-rows | grep -E '^  (rows|column.(user_id.dist|country.ent|track_id: new))'"
told 'track_id: new "141"'
run 0 "grep 141 plays/tracks.csv"

say "A star has released a track. A person says so, with a reason that is kept, and all that waited for this day goes on."
run 0 "dpb accept '$star' --reason 'Fjordlys released Midnight Sun, and Sweden listens'"
told '^accepted //spam:classified@day=2017-06-08#'
run 3 "dpb build //..."
told '^ran 3 jobs'

say "The ninth: 500 new accounts, from everywhere, and half of all plays stop at 31 seconds, which is just enough to be paid. This is no release."
run 0 "dpb diff //spam:classified@day=2017-06-07 '$attack' --no-rows | grep -E '^  (rows|column.(user_id.dist|country.ent|seconds.quantile.0.5))'"
told 'seconds.quantile\[0.5\] .* 31 '

say "So the classifier gets better. What would it change, on a day like others and on that of the attack? Nothing moves for anybody yet."
run 0 "diff spam/classify.py story/classify.py | grep '^> .'"
run 0 "cp story/classify.py spam/classify.py"
run 0 "dpb diff //spam:classified@day=2017-06-07 --rebuild | grep -E '^(same|  metric|rows)'"
told '^same content'
run 0 "dpb diff '$attack' --rebuild | grep -E '^(same|  metric|rows)'"
told 'metric.spam_rate'

say "Then the build: the new code for all sixteen days. Where nothing changed the wave stops; the rest goes on by itself, up to June's statement."
run 0 "dpb build //..."
told '^warning //spam:classified@day=2017-06-09: attack: '
told '^ran 28 jobs, .* 13 with the same result'

say "The fifth changed too: somebody had tried it with 40 accounts, too few for a rule, and was paid by June's statement. Now it is not, and the ninth never was." \
  "The star's day is accepted as before: the new code says the same of it."
run 0 "dpb diff //spam:classified@day=2017-06-05 | grep -E '^(  metric|rows|  is_spam)'"
told 'is_spam: 201 rows'
run 0 "grep Cassette $june"
run 0 "dpb accept --list"
told 'Fjordlys released Midnight Sun'

say "All is fresh, and there is nothing to do."
run 0 "dpb build //..."
told '^nothing to do: 102 actions'
run 0 "dpb status --check //reports/..."
