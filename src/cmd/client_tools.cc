#include "cmd/client_tools.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

#include "model/address.h"

namespace holdfast::cmd {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// A name from outside becomes a file here: no folders, no way up, nothing hidden in control characters.
std::string safe_name(std::string name) {
  name = name.substr(name.find_last_of("/\\") + 1);
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "";
  }
  return name == "." || name == ".." ? "" : name;
}

}  // namespace

Result<std::unique_ptr<ClientTools>> ClientTools::make(const std::string& masters, Duration patience,
                                                       std::size_t loops) {
  auto seeds = Address::parse_list(masters);
  if (!seeds) return seeds.error();
  if (seeds->empty()) return Error(Code::invalid, "no master is named");
  return std::unique_ptr<ClientTools>(new ClientTools(std::move(*seeds), patience, loops));
}

ClientTools::ClientTools(std::vector<Address> seeds, Duration patience, std::size_t loop_count)
    : loops(loop_count, "client"),
      http(loops, {.idle_per_server_max = 1024, .calls_per_server_max = 8192}),
      masters({.masters = std::move(seeds), .patience = patience}) {}

ClientTools::~ClientTools() = default;

Progress::Progress() : is_terminal_(::isatty(STDERR_FILENO) == 1), has_colours_(wants_colours(STDERR_FILENO)) {}

void Progress::show(const std::string& line, bool always) {
  if (!is_terminal_) return;
  const Guard guard(mutex_);
  const auto present = now();
  if (!always && present - shown_ < 100ms) return;
  shown_ = present;
  is_dirty_ = true;
  winsize size{};
  const std::size_t columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  const std::string cut = line.substr(0, columns - 1);
  std::fprintf(stderr, has_colours_ ? "\r\033[36m%s\033[0m\033[K" : "\r%s\033[K", cut.c_str());
  std::fflush(stderr);
}

void Progress::clear() {
  const Guard guard(mutex_);
  if (!is_dirty_) return;
  is_dirty_ = false;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

bool wants_colours(int descriptor) {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && (refused == nullptr || *refused == '\0') && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

std::string rpc_text(const Error& error) {
  const char* code = "Unknown";
  switch (error.code()) {
    case Code::unavailable: code = "Unavailable"; break;
    case Code::timed_out: code = "DeadlineExceeded"; break;
    case Code::busy: code = "ResourceExhausted"; break;
    case Code::invalid: code = "InvalidArgument"; break;
    case Code::refused: code = "PermissionDenied"; break;
    case Code::unsupported: code = "Unimplemented"; break;
    default: break;
  }
  return fmt::format("rpc error: code = {} desc = {}", code, error.what());
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double size = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KB", "MB", "GB", "TB"}) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", size, unit);
}

Instant now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

std::string multipart_head(std::string_view boundary, std::string_view name, std::string_view content_type,
                           std::string_view idempotency_key) {
  std::string out = fmt::format("--{}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"", boundary);
  for (const char c : name) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\r' || c == '\n' ? ' ' : c;
  }
  out += "\"\r\n";
  if (!content_type.empty()) out += fmt::format("Content-Type: {}\r\n", content_type);
  if (!idempotency_key.empty()) out += fmt::format("Idempotency-Key: {}\r\n", idempotency_key);
  return out + "\r\n";
}

std::string multipart_tail(std::string_view boundary) { return fmt::format("\r\n--{}--\r\n", boundary); }

std::string query_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                          c == '_' || c == '.' || c == '~';
    out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string disposition_name(std::string_view header) {
  std::string plain;
  for (auto at = header.find("filename"); at != std::string_view::npos; at = header.find("filename", at + 1)) {
    std::string_view rest = header.substr(at + 8);
    const bool is_extended = rest.starts_with("*=");
    if (!is_extended && !rest.starts_with("=")) continue;
    rest.remove_prefix(is_extended ? 2 : 1);
    if (is_extended) {
      // RFC 5987: charset'language'percent-encoded, and better than the plain form where both stand.
      rest = rest.substr(0, rest.find(';'));
      const auto first = rest.find('\'');
      const auto second = first == std::string_view::npos ? first : rest.find('\'', first + 1);
      if (second != std::string_view::npos) return safe_name(percent_decoded(rest.substr(second + 1)));
    } else if (rest.starts_with('"')) {
      plain.clear();
      for (std::size_t i = 1; i < rest.size() && rest[i] != '"'; ++i) {
        if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
        plain += rest[i];
      }
    } else {
      plain = rest.substr(0, rest.find(';'));
      while (!plain.empty() && plain.back() == ' ') plain.pop_back();
    }
  }
  return safe_name(plain);
}

std::string error_of_answer(const client::HttpAnswer& answer) {
  boost::json::error_code fault;
  const auto parsed = boost::json::parse(answer.body, fault);
  if (!fault && parsed.is_object()) {
    if (const auto* text = parsed.as_object().if_contains("error"); text != nullptr && text->is_string()) {
      return std::string(text->as_string());
    }
  }
  if (!answer.body.empty() && answer.body.size() < 1000) return answer.body;
  return fmt::format("status {}", answer.status);
}

}  // namespace holdfast::cmd
