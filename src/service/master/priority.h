// What threads that answer beats ask of the kernel.
#pragma once

namespace holdfast::master {

// Beats take next to no time but must not queue behind bulk work. Needs a privilege that many services do not have (CAP_SYS_NICE);
// without it the adaptive silence timeout has to do. Acts on the calling thread.
void go_before_bulk_work();

}  // namespace holdfast::master
