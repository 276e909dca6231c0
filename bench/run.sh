#!/bin/sh
# All benchmarks of docs/benchmarks.md, in one run. N=100 leader deaths each by default; ROUNDS=5.
set -eu
cd "$(dirname "$0")/.."
n=${N:-100}
rounds=${ROUNDS:-5}
cmake --build --preset release --target bare_loop bare_beats load_servers fill_volumes volume_bench ec_bench >/dev/null
echo "== (b) reads, (c) writes, (e) assigns"
bench/throughput.py --rounds "$rounds"
echo "== (d) memory per million needles, opening a volume of a million needles"
for b in build/release/bin/*_bench; do [ -x "$b" ] && "$b" --benchmark_min_time=0.2; done
echo "== above: (k) ec_encode, ec_rebuild beside bare_isal; (l) vacuum beside bare_cp"
echo "== (f) start, memory, idle"
bench/start.py --rounds "$rounds"
echo "== (g) leases and guardians, beside etcd"
bench/leases.py --rounds "$rounds"
echo "== (h) the virtual IP, and a cut of 25 s under load"
bench/vip.py -n "$((n / 5 > 0 ? n / 5 : 1))" || [ $? -eq 77 ]
echo "== (i) changes lost by a restore from a metalogger"
bench/restore.py -n "$rounds"
echo "== (j) assigns by gRPC, beside empty calls"
bench/grpc.py --rounds "$rounds" || [ $? -eq 77 ]
echo "== (m) 1,000 servers with 1,000 volumes each; 10 million needles in one server"
bench/load.py
echo "== (n) beside thousands of idle and slow connections"
bench/crowd.py --rounds "$rounds"
echo "== (a) failover beside etcd"
bench/failover.py -n "$n"
