#include "cmd/toml_samples.h"

#include <fmt/format.h>

#include "service/master/master.h"

namespace holdfast::cmd {

namespace {

std::string master_sample() {
  const master::Options defaults;
  return fmt::format(
      R"(# Settings of masters beside their flags. Put this file as master.toml into one of
#   -config_dir, ., $HOME/.seaweedfs, /usr/local/etc/seaweedfs, /etc/seaweedfs
# (the first that is found is read, at the start). The environment wins over it:
#   WEED_MASTER_VOLUME_GROWTH_COPY_1=1

[master]
# Where the master keeps its state; wins over -mdir.
# mdir = "/var/lib/holdfast"
# How long a request at any master waits for a leader before it is refused; at most 60s.
leader_wait = "{}ms"

[master.volume_growth]
# How many volumes are made at once when none takes writes, by number of copies.
copy_1 = {}
copy_2 = {}
copy_3 = {}
copy_other = {}
# From this part of its size limit on a volume counts as crowded; when all of a kind are, the leader makes new ones ahead.
threshold = {}
# No volume is made but by `volume.grow` and /vol/grow.
disable = {}

[master.replication]
# A volume with more copies than its replication asks for takes writes too.
treat_replication_as_minimums = {}

[master.sequencer]
# Accepted, and without effect: file keys always come from blocks that the masters have agreed on.
# type = "raft"

[master.maintenance]
# Commands of `weed shell` that the leader runs every so many minutes, one on each line, under the admin lock. None unless
# written here: lost copies are made again and deleted files taken out of volumes without them.
# scripts = """
#   ec.encode -fullPercent=95 -quietFor=1h
#   ec.rebuild -apply
#   ec.balance -apply
#   volume.balance -apply
# """
# sleep_minutes = 17

# Stores that volumes may be sent to with `volume.tier.upload -dest=s3.<id>` (s3.default is s3). The masters tell the volume
# servers of them, keys and all, over gRPC: protect it (grpc.* in security.toml). SIGHUP reads them again.
[storage.backend.s3.default]
enabled = false
# aws_access_key_id = ""
# aws_secret_access_key = ""
# region = "us-east-1"
# bucket = "volumes"
# http:// or https://, "" for AWS
# endpoint = ""
# storage_class = "STANDARD_IA"
)",
      milliseconds(defaults.leader_wait), defaults.copy_1, defaults.copy_2, defaults.copy_3, defaults.copy_other,
      defaults.crowded_threshold, defaults.growth_disabled, defaults.replication_as_minimum);
}

}  // namespace

std::string toml_sample(std::string_view name) { return name == "master" ? master_sample() : ""; }

}  // namespace holdfast::cmd
