#include "client/chunk_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace holdfast::client {

namespace {

namespace json = boost::json;

// A file of more is nobody's; and two such numbers add up without running over.
constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 62;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool is_key(json::string_view given, std::string_view key) {
  return given.size() == key.size() &&
         std::equal(given.begin(), given.end(), key.begin(), [](char a, char b) { return lower(a) == b; });
}

Error not_one(std::string_view key) { return Error(Code::invalid, fmt::format("{} of a manifest is of another type", key)); }

// Both leave `out` alone for null.
Status take_text(const json::value& value, std::string_view key, std::string& out) {
  if (value.is_null()) return {};
  if (!value.is_string()) return not_one(key);
  out.assign(value.get_string().begin(), value.get_string().end());
  return {};
}

Status take_number(const json::value& value, std::string_view key, std::uint64_t& out) {
  if (value.is_null()) return {};
  std::uint64_t number = 0;
  if (value.is_int64()) {
    if (value.get_int64() < 0) return Error(Code::corrupt, fmt::format("{} of a manifest is negative", key));
    number = static_cast<std::uint64_t>(value.get_int64());
  } else if (value.is_uint64()) {
    number = value.get_uint64();
  } else {
    return not_one(key);
  }
  if (number > kSizeMax) return Error(Code::corrupt, fmt::format("{} of a manifest is {}", key, number));
  out = number;
  return {};
}

Result<Chunk> chunk_of(const json::value& value) {
  Chunk chunk;
  if (!value.is_object()) return not_one("chunk");
  std::string fid;
  for (const auto& [key, member] : value.get_object()) {
    Status status;
    if (is_key(key, "fid")) status = take_text(member, "fid", fid);
    if (is_key(key, "offset")) status = take_number(member, "offset", chunk.offset);
    if (is_key(key, "size")) status = take_number(member, "size", chunk.size);
    if (!status) return status.error();
  }
  const auto id = parse_file_id(fid);
  if (!id) return Error(Code::corrupt, fmt::format("a chunk's id: {}", id.error().what()));
  chunk.id = *id;
  return chunk;
}

Status take_chunks(const json::value& value, std::vector<Chunk>& out) {
  if (value.is_null()) return {};
  if (!value.is_array()) return not_one("chunks");
  out.clear();
  out.reserve(value.get_array().size());
  for (const auto& item : value.get_array()) {
    auto chunk = chunk_of(item);
    if (!chunk) return chunk.error();
    out.push_back(*chunk);
  }
  return {};
}

void append_text(std::string& out, std::string_view key, const std::string& text) {
  if (text.empty()) return;
  out += fmt::format("{}\"{}\":{}", out.size() == 1 ? "" : ",", key, json::serialize(json::string(text)));
}

}  // namespace

Result<ChunkManifest> parse_manifest(BytesView bytes) {
  if (bytes.size() > kManifestBytesMax) {
    return Error(Code::corrupt, fmt::format("a manifest of {} bytes, above the {} that are read", bytes.size(), kManifestBytesMax));
  }
  json::parse_options options;
  options.allow_invalid_utf8 = true;  // a name is bytes to us
  json::error_code fault;
  json::monotonic_resource memory;
  const auto parsed = json::parse(json::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), fault, &memory, options);
  if (fault) return Error(Code::invalid, "no JSON: " + fault.message());
  if (!parsed.is_object()) return Error(Code::invalid, "no JSON object");
  ChunkManifest manifest;
  for (const auto& [key, member] : parsed.get_object()) {
    Status status;
    if (is_key(key, "name")) status = take_text(member, "name", manifest.name);
    if (is_key(key, "mime")) status = take_text(member, "mime", manifest.mime);
    if (is_key(key, "size")) status = take_number(member, "size", manifest.size);
    if (is_key(key, "chunks")) status = take_chunks(member, manifest.chunks);
    if (!status) return status.error();
  }
  auto& chunks = manifest.chunks;
  std::stable_sort(chunks.begin(), chunks.end(), [](const Chunk& a, const Chunk& b) { return a.offset < b.offset; });
  if (manifest.size == 0 && !chunks.empty()) manifest.size = chunks.back().end();
  return manifest;
}

std::string manifest_json(const ChunkManifest& manifest) {
  std::string out = "{";
  append_text(out, "name", manifest.name);
  append_text(out, "mime", manifest.mime);
  if (manifest.size != 0) out += fmt::format("{}\"size\":{}", out.size() == 1 ? "" : ",", manifest.size);
  if (!manifest.chunks.empty()) {
    out += out.size() == 1 ? "\"chunks\":[" : ",\"chunks\":[";
    for (std::size_t i = 0; i < manifest.chunks.size(); ++i) {
      const auto& chunk = manifest.chunks[i];
      out += fmt::format("{}{{\"fid\":\"{}\",\"offset\":{},\"size\":{}}}", i == 0 ? "" : ",", text(chunk.id), chunk.offset, chunk.size);
    }
    out += "]";
  }
  return out + "}";
}

Status check_whole(const ChunkManifest& manifest) {
  std::uint64_t at = 0;
  for (const auto& chunk : manifest.chunks) {
    if (chunk.size == 0) continue;
    if (chunk.offset != at) {
      return Error(Code::corrupt, fmt::format("the chunk {} begins at {}, {} {}", text(chunk.id), chunk.offset,
                                              chunk.offset > at ? "behind a hole from" : "within the one up to", at));
    }
    at = chunk.end();
  }
  if (at != manifest.size) return Error(Code::corrupt, fmt::format("the chunks hold {} of {} bytes", at, manifest.size));
  return {};
}

}  // namespace holdfast::client
