#!/bin/sh
# What takes too long for `make test`: leader deaths by the hundred, long simulation, the simulator's runs against
# the model, an upgrade from the first release, the thread sanitizer.
# DEATHS=200 CRASHES=500 CATCH_UPS=100 SIM_SEEDS=20000 LARGE_GIB=3 tools/soak.sh
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
echo "== ${DEATHS:-200} leader deaths (kill -9, SIGTERM, SIGSTOP in turn)"
test/cluster/chaos_test.py --deaths "${DEATHS:-200}"
echo "== the same with a copy on each of three servers"
test/cluster/chaos_test.py --deaths 30 --replication 002
echo "== 25 s of a cut network under load, through the virtual IP"
test/cluster/vip_partition_test.py --seconds 25 || [ $? -eq 77 ]
echo "== ${CRASHES:-500} deaths of volume servers in the middle of vacuum, erasure coding, copies and uploads"
test/cluster/crash_rounds_test.py --rounds "${CRASHES:-500}" nothing_acknowledged_is_lost
echo "== ${CATCH_UPS:-100} deaths while a copy gets the rest of another one, twice"
test/cluster/crash_rounds_test.py --catch-up-rounds "${CATCH_UPS:-100}" a_copy_that_gets_the_rest_stays_a_beginning \
  and_with_its_index_on_disk
echo "== a volume of ${LARGE_GIB:-3} GiB made again and copied, under writes"
test/cluster/large_copy_test.py "${LARGE_GIB:-3}"
echo "== long simulation"
SEEDS=${SIM_SEEDS:-20000} tools/sim.sh
echo "== runs of the simulator, replayed against the model's actions"
make trace JOBS="$jobs"
echo "== upgrade from the first release"
make upgrade JOBS="$jobs"
echo "== thread sanitizer"
make tsan JOBS="$jobs"
