// TierBackend: a store outside the cluster in which the .dat files of volumes may lie, as master.toml describes it and
// as masters tell it to volume servers (master_pb.StorageBackend).
#pragma once

#include <map>
#include <string>

namespace holdfast {

struct TierBackend {
  std::string type;  // "s3"
  std::string id;
  std::map<std::string, std::string> properties;  // named as in master.toml; secrets are among them: never logged

  // What commands and a volume's .vif call it: "type.id", or the type alone for the id "default".
  std::string name() const { return id == "default" ? type : type + "." + id; }

  friend bool operator==(const TierBackend&, const TierBackend&) = default;
};

}  // namespace holdfast
