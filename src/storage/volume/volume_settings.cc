#include "storage/volume/volume_settings.h"

#include <boost/json.hpp>

#include "base/strconv.h"
#include "model/tier_backend.h"

namespace holdfast::volume {
namespace {

namespace json = boost::json;

Error corrupt(std::string what) { return Error(Code::corrupt, ".vif: " + std::move(what)); }

// One `"key":  value` line; upstream's build puts two blanks behind the colon.
std::string line(const std::string& indent, const char* key, const std::string& value) {
  return indent + "\"" + key + "\":  " + value;
}
std::string quoted(const std::string& text) { return json::serialize(json::value(text)); }
template <typename T>
std::string quoted_number(T n) {
  return "\"" + std::to_string(n) + "\"";
}
std::string truth(bool b) { return b ? "true" : "false"; }

std::string object(const std::string& indent, const std::vector<std::string>& lines) {
  std::string out = "{\n";
  for (std::size_t i = 0; i < lines.size(); i++) out += lines[i] + (i + 1 < lines.size() ? ",\n" : "\n");
  return out + indent + "}";
}

std::string files_json(const std::vector<RemoteFile>& files) {
  if (files.empty()) return "[]";
  const std::string in = "      ";
  std::string out = "[\n";
  for (std::size_t i = 0; i < files.size(); i++) {
    const auto& f = files[i];
    out += "    " + object("    ", {line(in, "backendType", quoted(f.backend_type)),
                                    line(in, "backendId", quoted(f.backend_id)), line(in, "key", quoted(f.key)),
                                    line(in, "offset", quoted_number(f.offset)),
                                    line(in, "fileSize", quoted_number(f.file_size)),
                                    line(in, "modifiedTime", quoted_number(f.modified_time)),
                                    line(in, "extension", quoted(f.extension))});
    out += i + 1 < files.size() ? ",\n" : "\n";
  }
  return out + "  ]";
}

std::string ec_json(const std::optional<EcShardConfig>& ec) {
  if (!ec) return "null";
  const std::string in = "    ";
  return object("  ", {line(in, "dataShards", std::to_string(ec->data_shards)),
                       line(in, "parityShards", std::to_string(ec->parity_shards)),
                       line(in, "encodeTsNs", quoted_number(ec->encode_ts_ns))});
}

// "bytes_offset" and "bytesOffset" are one key; names are compared in lowerCamel.
std::string camel(std::string_view key) {
  std::string out;
  bool raise = false;
  for (const char c : key) {
    if (c == '_') {
      raise = true;
    } else {
      out.push_back(raise && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
      raise = false;
    }
  }
  return out;
}

template <typename T>
bool take(const json::value& v, T& out) {
  if (v.is_null()) return true;
  if constexpr (std::is_same_v<T, bool>) {
    if (!v.is_bool()) return false;
    out = v.get_bool();
    return true;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!v.is_string()) return false;
    out = std::string(v.get_string());
    return true;
  } else {
    std::int64_t number = 0;
    if (v.is_string()) {
      const auto parsed = strconv::parse_int(std::string_view(v.get_string()), 10, 64);
      if (!parsed) return false;
      number = *parsed;
    } else if (v.is_int64()) {
      number = v.get_int64();
    } else if (v.is_uint64() && v.get_uint64() <= INT64_MAX) {
      number = static_cast<std::int64_t>(v.get_uint64());
    } else {
      return false;
    }
    out = static_cast<T>(number);
    return static_cast<std::int64_t>(out) == number;
  }
}

// Calls member(key, value) for each; false, or a value that is no object, is an error.
template <typename Member>
Status for_members(const json::value& v, Member member) {
  if (!v.is_object()) return corrupt("not an object");
  for (const auto& [key, value] : v.get_object()) {
    if (!member(camel(key), value)) return corrupt("key \"" + std::string(key) + "\" is unknown or has a bad value");
  }
  return {};
}

Status parse_remote(const json::value& v, RemoteFile& out) {
  return for_members(v, [&](const std::string& key, const json::value& value) {
    if (key == "backendType") return take(value, out.backend_type);
    if (key == "backendId") return take(value, out.backend_id);
    if (key == "key") return take(value, out.key);
    if (key == "offset") return take(value, out.offset);
    if (key == "fileSize") return take(value, out.file_size);
    if (key == "modifiedTime") return take(value, out.modified_time);
    if (key == "extension") return take(value, out.extension);
    return false;
  });
}

bool parse_files(const json::value& v, std::vector<RemoteFile>& out) {
  if (v.is_null()) return true;
  if (!v.is_array()) return false;
  for (const auto& item : v.get_array()) {
    if (!parse_remote(item, out.emplace_back())) return false;
  }
  return true;
}

bool parse_ec(const json::value& v, std::optional<EcShardConfig>& out) {
  if (v.is_null()) return true;
  EcShardConfig ec;
  const auto parsed = for_members(v, [&](const std::string& key, const json::value& value) {
    if (key == "dataShards") return take(value, ec.data_shards);
    if (key == "parityShards") return take(value, ec.parity_shards);
    if (key == "encodeTsNs") return take(value, ec.encode_ts_ns);
    return false;
  });
  out = ec;
  return parsed.ok();
}

}  // namespace

std::string RemoteFile::backend_name() const { return TierBackend{.type = backend_type, .id = backend_id, .properties = {}}.name(); }

std::string VolumeSettings::json() const {
  const std::string in = "  ";
  return object("", {line(in, "files", files_json(files)), line(in, "version", std::to_string(version)),
                     line(in, "replication", quoted(replication)),
                     line(in, "bytesOffset", std::to_string(bytes_offset)),
                     line(in, "datFileSize", quoted_number(dat_file_size)),
                     line(in, "expireAtSec", quoted_number(expire_at_sec)), line(in, "readOnly", truth(read_only)),
                     line(in, "ecShardConfig", ec_json(ec_shard_config)),
                     line(in, "readOnlyCanDelete", truth(read_only_can_delete))});
}

Result<VolumeSettings> VolumeSettings::parse(std::string_view content) {
  json::error_code error;
  const auto value = json::parse(content, error);
  if (error) return corrupt(error.message());
  VolumeSettings out;
  out.version = 0;
  out.bytes_offset = 0;
  const auto parsed = for_members(value, [&](const std::string& key, const json::value& v) {
    if (key == "files") return parse_files(v, out.files);
    if (key == "version") return take(v, out.version);
    if (key == "replication") return take(v, out.replication);
    if (key == "bytesOffset" || key == "BytesOffset") return take(v, out.bytes_offset);
    if (key == "datFileSize") return take(v, out.dat_file_size);
    if (key == "expireAtSec" || key == "DestroyTime") return take(v, out.expire_at_sec);
    if (key == "readOnly") return take(v, out.read_only);
    if (key == "ecShardConfig") return parse_ec(v, out.ec_shard_config);
    if (key == "readOnlyCanDelete") return take(v, out.read_only_can_delete);
    return false;
  });
  if (!parsed) return parsed.error();
  return out;
}

}  // namespace holdfast::volume
