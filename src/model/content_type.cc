#include "model/content_type.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace holdfast {
namespace {

struct Row {
  const char* ext;
  const char* type;
};

// spec/weed-cluster 3.3, "type by extension".
constexpr Row kTable[] = {
    {".css", "text/css; charset=utf-8"},
    {".csv", "text/csv; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".htm", "text/html; charset=utf-8"},
    {".shtml", "text/html; charset=utf-8"},
    {".ehtml", "text/html; charset=utf-8"},
    {".ics", "text/calendar; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".text", "text/plain; charset=utf-8"},
    {".vtt", "text/vtt; charset=utf-8"},
    {".xml", "text/xml; charset=utf-8"},
    {".xsl", "text/xml; charset=utf-8"},
    {".xbl", "text/xml; charset=utf-8"},
    {".apng", "image/apng"},
    {".avif", "image/avif"},
    {".bmp", "image/bmp"},
    {".gif", "image/gif"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".jfif", "image/jpeg"},
    {".pjp", "image/jpeg"},
    {".pjpeg", "image/jpeg"},
    {".png", "image/png"},
    {".svg", "image/svg+xml"},
    {".tiff", "image/tiff"},
    {".tif", "image/tiff"},
    {".webp", "image/webp"},
    {".ico", "image/vnd.microsoft.icon"},
    {".xbm", "image/x-xbitmap"},
    {".flac", "audio/flac"},
    {".mp3", "audio/mpeg"},
    {".m4a", "audio/mp4"},
    {".ogg", "audio/ogg"},
    {".oga", "audio/ogg"},
    {".opus", "audio/ogg"},
    {".wav", "audio/wav"},
    {".weba", "audio/webm"},
    {".webm", "audio/webm"},
    {".mp4", "video/mp4"},
    {".ogv", "video/ogg"},
    {".json", "application/json"},
    {".pdf", "application/pdf"},
    {".wasm", "application/wasm"},
    {".zip", "application/zip"},
    {".gz", "application/gzip"},
    {".rtf", "application/rtf"},
    {".rdf", "application/rdf+xml"},
    {".xht", "application/xhtml+xml"},
    {".xhtml", "application/xhtml+xml"},
    {".ai", "application/postscript"},
    {".eps", "application/postscript"},
    {".ps", "application/postscript"},
    {".doc", "application/msword"},
    {".xls", "application/vnd.ms-excel"},
    {".ppt", "application/vnd.ms-powerpoint"},
    {".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {".bin", "application/octet-stream"},
    {".com", "application/octet-stream"},
    {".exe", "application/octet-stream"},
    {".apk", "application/vnd.android.package-archive"},
    {".eml", "message/rfc822"},
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

template <typename Take>
void for_each_line(std::string_view content, Take take) {
  while (!content.empty()) {
    const auto end = content.find('\n');
    auto line = content.substr(0, end);
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty() && line[0] != '#') take(line);
  }
}

// --- sniffing: https://mimesniff.spec.whatwg.org, in the order and with the signatures of Go's net/http ---

constexpr std::size_t kSniffBytes = 512;

bool is_white(std::uint8_t c) { return c == '\t' || c == '\n' || c == '\x0c' || c == '\r' || c == ' '; }

std::size_t first_non_white(BytesView data) {
  std::size_t i = 0;
  while (i < data.size() && is_white(data[i])) i++;
  return i;
}

bool begins(BytesView data, std::string_view prefix) {
  return data.size() >= prefix.size() && text_of(data.first(prefix.size())) == prefix;
}

// A tag in any case at the first non-blank byte, ended by a blank or '>'.
bool is_html_tag(BytesView data, std::string_view tag) {
  data = data.subspan(first_non_white(data));
  if (data.size() < tag.size() + 1) return false;
  for (std::size_t i = 0; i < tag.size(); i++) {
    const auto c = data[i];
    const auto upper = c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
    if (upper != static_cast<std::uint8_t>(tag[i])) return false;
  }
  return data[tag.size()] == ' ' || data[tag.size()] == '>';
}

// "ftyp" box of an MP4, with a brand that begins with "mp4".
bool is_mp4(BytesView data) {
  if (data.size() < 12) return false;
  const std::size_t box = load_be<std::uint32_t>(data.data());
  if (data.size() < box || box % 4 != 0 || text_of(data.subspan(4, 4)) != "ftyp") return false;
  for (std::size_t at = 8; at < box; at += 4) {
    if (at == 12) continue;  // the version number
    if (at + 3 <= data.size() && text_of(data.subspan(at, 3)) == "mp4") return true;
  }
  return false;
}

struct Signature {
  std::string_view bytes;
  std::string_view type;
};
using namespace std::string_view_literals;

constexpr std::string_view kHtmlTags[] = {"<!DOCTYPE HTML", "<HTML", "<HEAD", "<SCRIPT", "<IFRAME", "<H1",
                                          "<DIV",           "<FONT", "<TABLE", "<A",     "<STYLE",  "<TITLE",
                                          "<B",             "<BODY", "<BR",    "<P",     "<!--"};

constexpr Signature kExactBefore[] = {
    {"%PDF-"sv, "application/pdf"},
    {"%!PS-Adobe-"sv, "application/postscript"},
};
constexpr Signature kByteOrderMarks[] = {
    {"\xFE\xFF"sv, "text/plain; charset=utf-16be"},
    {"\xFF\xFE"sv, "text/plain; charset=utf-16le"},
    {"\xEF\xBB\xBF"sv, "text/plain; charset=utf-8"},
};
constexpr Signature kImages[] = {
    {"\x00\x00\x01\x00"sv, "image/x-icon"}, {"\x00\x00\x02\x00"sv, "image/x-icon"}, {"BM"sv, "image/bmp"},
    {"GIF87a"sv, "image/gif"},              {"GIF89a"sv, "image/gif"},
};
constexpr Signature kAfterImages[] = {
    {"\x89PNG\x0D\x0A\x1A\x0A"sv, "image/png"},
    {"\xFF\xD8\xFF"sv, "image/jpeg"},
};
constexpr Signature kAfterRiff[] = {
    {"\x1A\x45\xDF\xA3"sv, "video/webm"},
};
constexpr Signature kFontsAndArchives[] = {
    {"\x00\x01\x00\x00"sv, "font/ttf"},
    {"OTTO"sv, "font/otf"},
    {"ttcf"sv, "font/collection"},
    {"wOFF"sv, "font/woff"},
    {"wOF2"sv, "font/woff2"},
    {"\x1F\x8B\x08"sv, "application/x-gzip"},
    {"PK\x03\x04"sv, "application/zip"},
    {"Rar!\x1A\x07\x00"sv, "application/x-rar-compressed"},
    {"Rar!\x1A\x07\x01\x00"sv, "application/x-rar-compressed"},
    {"\x00\x61\x73\x6D"sv, "application/wasm"},
};

// The first bytes of all signatures of this file but two: MP4's and EOT's, which begin with anything.
constexpr auto kKnownFirst = [] {
  std::array<bool, 256> known{};
  const auto add = [&known](const auto& table) {
    for (const auto& row : table) known[static_cast<std::uint8_t>(row.bytes[0])] = true;
  };
  add(kExactBefore);
  add(kByteOrderMarks);
  add(kImages);
  add(kAfterImages);
  add(kAfterRiff);
  add(kFontsAndArchives);
  for (const char c : "\t\n\x0c\r <"sv) known[static_cast<std::uint8_t>(c)] = true;  // HTML and XML
  for (const char c : "RFIOM"sv) known[static_cast<std::uint8_t>(c)] = true;             // those of masked()
  return known;
}();

template <std::size_t N>
std::string_view exact(BytesView data, const Signature (&table)[N]) {
  for (const auto& row : table) {
    if (begins(data, row.bytes)) return row.type;
  }
  return {};
}

bool has_at(BytesView data, std::size_t at, std::string_view bytes) {
  return data.size() >= at + bytes.size() && text_of(data.subspan(at, bytes.size())) == bytes;
}

// RIFF and FORM containers and others with a gap in their signature. Their first letters stand in kKnownFirst.
std::string_view masked(BytesView data) {
  if (begins(data, "FORM") && has_at(data, 8, "AIFF")) return "audio/aiff";
  if (begins(data, "ID3")) return "audio/mpeg";
  if (begins(data, "OggS\0"sv)) return "application/ogg";
  if (begins(data, "MThd\0\0\0\x06"sv)) return "audio/midi";
  if (begins(data, "RIFF") && has_at(data, 8, "AVI ")) return "video/avi";
  if (begins(data, "RIFF") && has_at(data, 8, "WAVE")) return "audio/wave";
  return {};
}

constexpr auto kBinaryBytes = [] {
  std::array<bool, 256> is_binary{};
  for (int c = 0; c < 0x20; ++c) is_binary[c] = c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || c >= 0x1c;
  return is_binary;
}();

}  // namespace

ContentTypes::ContentTypes() {
  for (const auto& row : kTable) set(row.ext, row.type);
}

void ContentTypes::set(std::string ext, std::string type) {
  if (type.starts_with("text/") && type.find("charset") == std::string::npos) type += "; charset=utf-8";
  by_lower_ext_[lower(ext)] = type;
  by_ext_[std::move(ext)] = std::move(type);
}

std::string_view ContentTypes::of_extension(std::string_view ext) const {
  if (const auto it = by_ext_.find(ext); it != by_ext_.end()) return it->second;
  if (const auto it = by_lower_ext_.find(lower(ext)); it != by_lower_ext_.end()) return it->second;
  return {};
}

std::string_view ContentTypes::of_name(std::string_view name) const {
  const auto dot = find_last(name, '.');
  return dot == std::string_view::npos ? std::string_view() : of_extension(name.substr(dot));
}

void ContentTypes::add_globs2(std::string_view content) {
  std::set<std::string, std::less<>> seen;
  for_each_line(content, [&](std::string_view line) {
    const auto first = line.find(':');
    if (first == std::string_view::npos) return;
    const auto second = line.find(':', first + 1);
    if (second == std::string_view::npos) return;
    const auto type = line.substr(first + 1, second - first - 1);
    auto glob = line.substr(second + 1);
    glob = glob.substr(0, glob.find(':'));
    if (!glob.starts_with("*.")) return;
    const auto ext = glob.substr(1);
    if (ext.find_first_of("?*[") != std::string_view::npos) return;
    if (seen.insert(std::string(ext)).second) set(std::string(ext), std::string(type));
  });
}

void ContentTypes::add_mime_types(std::string_view content) {
  for_each_line(content, [&](std::string_view line) {
    std::string type;
    while (!line.empty()) {
      const auto begin = line.find_first_not_of(" \t");
      if (begin == std::string_view::npos) return;
      line.remove_prefix(begin);
      const auto word = line.substr(0, line.find_first_of(" \t"));
      line.remove_prefix(word.size());
      if (word[0] == '#') return;
      if (type.empty()) {
        type = word;
      } else {
        set("." + std::string(word), type);
      }
    }
  });
}

std::string_view sniffed_type(BytesView data) {
  data = data.first(std::min(data.size(), kSniffBytes));
  // Most files begin like nothing known: they need not be compared with each.
  const bool may_be_known = !data.empty() && kKnownFirst[data[0]];
  if (may_be_known) {
    for (const auto tag : kHtmlTags) {
      if (is_html_tag(data, tag)) return "text/html; charset=utf-8";
    }
    if (begins(data.subspan(first_non_white(data)), "<?xml")) return "text/xml; charset=utf-8";
    if (const auto type = exact(data, kExactBefore); !type.empty()) return type;
    if (data.size() >= 4) {
      if (const auto type = exact(data, kByteOrderMarks); !type.empty()) return type;
    }
    if (const auto type = exact(data, kImages); !type.empty()) return type;
    if (begins(data, "RIFF") && has_at(data, 8, "WEBPVP")) return "image/webp";
    if (const auto type = exact(data, kAfterImages); !type.empty()) return type;
    if (const auto type = masked(data); !type.empty()) return type;
  }
  if (is_mp4(data)) return "video/mp4";
  if (may_be_known) {
    if (const auto type = exact(data, kAfterRiff); !type.empty()) return type;
  }
  if (has_at(data, 34, "LP")) return "application/vnd.ms-fontobject";
  if (may_be_known) {
    if (const auto type = exact(data, kFontsAndArchives); !type.empty()) return type;
  }
  for (const auto c : data.subspan(first_non_white(data))) {
    if (kBinaryBytes[c]) return "application/octet-stream";
  }
  return "text/plain; charset=utf-8";
}

bool is_surely_compressible(std::string_view name, std::string_view mime) {
  static constexpr std::string_view kNames[] = {".svg", ".bmp",  ".wav", ".pdf", ".txt", ".html", ".htm", ".css", ".js",
                                                ".json", ".php", ".java", ".go", ".rb",  ".c",    ".cpp", ".h",   ".hpp"};
  static constexpr std::string_view kNever[] = {".zip", ".rar", ".gz",  ".bz2", ".xz",
                                                ".zst", ".br",  ".png", ".jpg", ".jpeg"};
  static constexpr std::string_view kAudio[] = {"audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav"};
  const auto is_one_of = [](std::string_view text, const auto& list) {
    return std::find(std::begin(list), std::end(list), text) != std::end(list);
  };
  if (mime.starts_with("text/")) return true;
  if (is_one_of(name, kNames)) return true;
  if (mime.starts_with("image/") || is_one_of(name, kNever)) return false;
  if (mime.starts_with("application/")) return mime.ends_with("xml") || mime.ends_with("script");
  return is_one_of(mime, kAudio);
}

}  // namespace holdfast
