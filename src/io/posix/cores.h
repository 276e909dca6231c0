// How many cores this process may use at a time.
#pragma once

#include <string_view>

namespace holdfast::io::posix {

// The cores that its affinity allows (taskset, cpusets of containers), and no more than its control group's quota of
// CPU time, rounded up (docker run --cpus, systemd's CPUQuota). At least 1. Threads beyond that would only take turns.
// Asked of the kernel at each call; any thread.
unsigned usable_cores();

// The quota in a `cpu.max` file of control groups ("max 100000", "150000 100000"), in whole cores, rounded up; 0 if
// there is none or the text is of another shape.
unsigned quota_cores(std::string_view cpu_max);

}  // namespace holdfast::io::posix
