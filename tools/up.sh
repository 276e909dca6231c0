#!/bin/bash
# Starts three masters and three volume servers in the background, uploads a file, kills the leading master, uploads
# again, reads both back and restarts the master; tells how long uploads were away and where the page is.
#
# Everything lies under .run/: data in 1, 2, 3, a log and a pid file for each process, the ports chosen in `ports`.
# Run again it starts what is missing and shows the failover again. tools/down.sh stops all of it.
set -eu
cd "$(dirname "$0")/.."
weed=$PWD/${BIN:-build/release/bin}/weed
run=.run

die() { echo "up: $*" >&2; exit 1; }
[ -x "$weed" ] || die "$weed is missing: run 'make build' first"
mkdir -p $run

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# The process of a pid file, if it still runs and is ours.
pid_of() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  # By its command line: the program file may have been rebuilt meanwhile, and its old one has lost its name then.
  [ "$(tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | head -n 1)" = "$weed" ] || return 1
  echo "$pid"
}

# Whether nothing answers on a port (7: connection refused).
is_free() {
  local status=0
  curl -s -o /dev/null --max-time 2 "http://localhost:$1/" || status=$?
  [ $status = 7 ]
}

all_free() {
  local port
  for port in "$@"; do
    is_free "$port" && is_free $((port + 10000)) || return 1
  done
}

any_running() {
  local name
  for name in master-1 master-2 master-3 volume-1 volume-2 volume-3; do
    pid_of $name >/dev/null && return 0
  done
  return 1
}

# A restart keeps its ports, since other processes and the stored members know them.
choose_ports() {
  [ -s $run/ports ] && any_running && return
  local shift_by
  for shift_by in 0 100 200 300 400 500 600 700 800 900; do
    local m=$((9333 + shift_by)) v=$((8080 + shift_by))
    if all_free $m $((m + 1)) $((m + 2)) $v $((v + 1)) $((v + 2)); then
      [ $shift_by = 0 ] || echo "ports 9333-9335 or 8080-8082 are taken; using $m-$((m + 2)) and $v-$((v + 2))"
      echo "$m $v" >$run/ports
      return
    fi
  done
  die "found no six free ports from 9333 and 8080 on"
}

start_master() { # number
  pid_of "master-$1" >/dev/null && return
  mkdir -p $run/$1
  (exec "$weed" -logtostderr master -ip=localhost -port=$((m + $1 - 1)) -mdir=$run/$1 -peers="$peers" \
    >>"$run/master-$1.log" 2>&1 </dev/null & echo $! >"$run/master-$1.pid")
}

start_volume() { # number
  pid_of "volume-$1" >/dev/null && return
  mkdir -p $run/$1
  (exec "$weed" -logtostderr volume -ip=localhost -port=$((v + $1 - 1)) -dir=$run/$1 -mserver="$peers" \
    -preStopSeconds=1 >>"$run/volume-$1.log" 2>&1 </dev/null & echo $! >"$run/volume-$1.pid")
}

# The last lines of a log whose process is gone, when it should not be.
check_alive() {
  local name
  for name in "$@"; do
    kill -0 "$(cat "$run/$name.pid")" 2>/dev/null || { tail -n 5 "$run/$name.log" >&2; die "$name ended; its log is $run/$name.log"; }
  done
}

# upload <file> <master port>: prints the file id. Assign and POST as any client does it.
upload() {
  local answer fid url
  answer=$(curl -s -f --max-time 5 "http://localhost:$2/dir/assign") || return 1
  fid=$(printf %s "$answer" | sed -n 's/.*"fid":"\([^"]*\)".*/\1/p')
  url=$(printf %s "$answer" | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
  [ -n "$fid" ] && [ -n "$url" ] || return 1
  curl -s -f --max-time 5 -o /dev/null -F "file=@$1" "http://$url/$fid" || return 1
  echo "$fid"
}

# read_back <fid> <master port> <file>: through any master, which sends on to the volume server.
read_back() {
  curl -s -f -L --max-time 5 "http://localhost:$2/$1" | cmp -s - "$3"
}

leader_port() { # asks the master on this port
  curl -s -f --max-time 2 "http://localhost:$1/cluster/status" | sed -n 's/.*"Leader":"[^"]*:\([0-9]*\)[."].*/\1/p'
}

choose_ports
read -r m v <$run/ports
peers=localhost:$m,localhost:$((m + 1)),localhost:$((m + 2))

any_running && already=" (some ran already)" || already=""
begun=$(now_ms)
for n in 1 2 3; do start_master $n; start_volume $n; done
sample=$run/sample.txt
printf 'Holdfast says hello at %s\n' "$(date)" >$sample
fid=""
until fid=$(upload $sample $m); do
  [ $(($(now_ms) - begun)) -lt 30000 ] || die "no upload succeeded within 30 s; the logs are $run/*.log"
  check_alive master-1 master-2 master-3 volume-1 volume-2 volume-3
  sleep 0.05
done
echo "six processes are up$already; the first upload was done after $(($(now_ms) - begun)) ms: file id $fid"

# How long an upload takes here anyway; the shell and curl are most of it.
before=$(now_ms)
upload $sample $m >/dev/null || die "a second upload failed; the logs are $run/*.log"
usual=$(($(now_ms) - before))

leading=$(leader_port $m)
[ -n "$leading" ] || die "no master says who leads; the logs are $run/*.log"
number=$((leading - m + 1))
victim=$(pid_of "master-$number") || die "the leader on port $leading is not one of ours"
other=$m
[ "$other" = "$leading" ] && other=$((m + 1))

killed=$(now_ms)
kill -9 "$victim"
second=""
until second=$(upload $sample $other); do
  [ $(($(now_ms) - killed)) -lt 30000 ] || die "uploads did not come back within 30 s; the logs are $run/*.log"
done
away=$(($(now_ms) - killed))
echo "killed the leader (port $leading, kill -9); the next upload through port $other was done $away ms later: $second"
if [ $((away - usual)) -lt 10 ]; then
  echo "  (an upload takes this script $usual ms anyway: uploads were away for too short a time to be seen here)"
else
  echo "  (an upload takes this script $usual ms anyway: uploads were away for about $((away - usual)) ms)"
fi

for id in "$fid" "$second"; do
  read_back "$id" $other $sample || die "file $id could not be read back; the logs are $run/*.log"
done
echo "both files were read back; port $(leader_port $other) leads now"

start_master $number
back=$(now_ms)
until curl -s -f -o /dev/null --max-time 2 "http://localhost:$leading/cluster/healthz"; do
  [ $(($(now_ms) - back)) -lt 30000 ] || die "the master did not come back within 30 s; its log is $run/master-$number.log"
  check_alive "master-$number"
  sleep 0.05
done
echo "the killed master is back"
echo
echo "the page:    http://localhost:$other/"
echo "upload:      $weed upload -master=$peers FILE"
echo "stop:        make down"
