// What the settings of mfsmaster.cfg and mfschunkserver.cfg mean: the same plans that `weed master` and `weed volume`
// start from (cmd/plan.h). Nothing behind this knows where a setting came from.
//
// Ports (docs/decisions/mfs-ports.md): MASTER_PORT is the gRPC port, where masters and chunkservers call;
// MATOCL_LISTEN_PORT is the HTTP port. MATOML_LISTEN_PORT, and MATOCS_LISTEN_PORT where it differs, are further gRPC
// ports, GUISERV_LISTEN_PORT a further HTTP port.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/mfs/config.h"
#include "cmd/plan.h"

namespace holdfast::mfs {

// Asks the resolver for MASTER_HOST, for a second at most, to find out by which of its addresses this master is known.
// `remarks` get what an operator should know and what keeps nothing from starting.
Result<cmd::MasterPlan> plan_of_master(const Config& config, const std::string& data_path,
                                       std::vector<std::string>* remarks);

// `disks_text`: mfshdd.cfg, or null when there is no such file. Looks at the disks for limits in percent.
Result<cmd::VolumePlan> plan_of_chunkserver(const Config& config, const std::string& data_path,
                                            const std::string* disks_text, std::vector<std::string>* remarks);

Result<metalogger::Options> plan_of_metalogger(const Config& config, const std::string& data_path,
                                               std::vector<std::string>* remarks);

// The addresses of MASTER_HOST as dialled: host, `http_port`, and MASTER_PORT for gRPC.
Result<std::vector<Address>> masters_of(const Config& config, std::uint16_t http_port);

}  // namespace holdfast::mfs
