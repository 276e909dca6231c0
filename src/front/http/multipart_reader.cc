#include "front/http/multipart_reader.h"

#include <algorithm>
#include <utility>

#include "io/http1.h"

namespace holdfast::front {

// The body is read as if a line feed stood before it, so that its first delimiter is one like the others.
MultipartReader::MultipartReader(std::string boundary) : delimiter_("\n--" + std::move(boundary)), held_("\n") {
  input_ = held_;
}

std::string_view MultipartReader::bare_delimiter() const {
  return std::string_view(delimiter_).substr(delimiter_.find('-'));
}

void MultipartReader::feed(std::string_view bytes) {
  if (input_.empty()) {
    held_.clear();
    input_ = bytes;
    return;
  }
  // What was held back is short: a possible delimiter or a part's headers.
  std::string joined(input_);
  joined.append(bytes);
  held_ = std::move(joined);
  input_ = held_;
}

// Keeps what has not been used, for more to be put behind it.
MultipartReader::Event MultipartReader::need_more() {
  const bool is_held = input_.data() >= held_.data() && input_.data() <= held_.data() + held_.size();
  if (!input_.empty() && !is_held) {
    held_ = std::string(input_);
    input_ = held_;
  }
  return {Kind::need_more, {}};
}

std::string_view MultipartReader::header(std::string_view name) const {
  for (const auto& [key, value] : headers_) {
    if (io::http1::same_name(key, name)) return value;
  }
  return {};
}

MultipartReader::Event MultipartReader::next() {
  while (true) {
    switch (state_) {
      case State::preamble: {
        // What stands before the first delimiter is nobody's.
        const auto event = take_data();
        if (event.kind == Kind::need_more) return event;
        if (event.kind == Kind::part_end) state_ = State::after_delimiter;
        break;
      }
      case State::after_delimiter: {
        // "--" ends it all; else blanks and the line's end.
        if (input_.starts_with("--")) {
          state_ = State::finished;
          break;
        }
        const auto end = input_.find('\n');
        if (end == std::string_view::npos) {
          if (input_.size() > 256) state_ = State::bad;  // no padding is that long
          if (state_ == State::bad) break;
          return need_more();
        }
        const auto padding = input_.substr(0, end);
        if (padding.find_first_not_of(" \t\r") != std::string_view::npos) {
          state_ = State::bad;
          break;
        }
        if (!std::exchange(seen_delimiter_, true) && padding.ends_with('\r')) delimiter_.insert(0, 1, '\r');
        input_.remove_prefix(end + 1);
        state_ = State::headers;
        break;
      }
      case State::headers: {
        const auto event = take_headers();
        if (event.kind != Kind::malformed) return event;
        state_ = State::bad;
        break;
      }
      case State::data_begin: {
        // An empty part may end where it begins: the line end of its headers is its delimiter's.
        const auto bare = bare_delimiter();
        const auto front = input_.substr(0, bare.size());
        if (front == bare) {
          const auto follows = what_follows(input_.substr(bare.size()));
          if (follows == Follows::nothing_yet) return need_more();
          if (follows == Follows::delimiter) {
            input_.remove_prefix(bare.size());
            state_ = State::after_delimiter;
            return {Kind::part_end, {}};
          }
        } else if (bare.starts_with(front)) {
          return need_more();
        }
        state_ = State::data;
        break;
      }
      case State::data: {
        const auto event = take_data();
        if (event.kind == Kind::part_end) state_ = State::after_delimiter;
        return event;
      }
      case State::finished:
        input_ = {};
        return {Kind::end, {}};
      case State::bad:
        return {Kind::malformed, {}};
    }
  }
}

// What a delimiter is, by the bytes behind its boundary.
MultipartReader::Follows MultipartReader::what_follows(std::string_view bytes) const {
  if (bytes.empty() || bytes == "-") return Follows::nothing_yet;
  const bool ends = std::string_view(" \t\r\n").find(bytes.front()) != std::string_view::npos || bytes.starts_with("--");
  return ends ? Follows::delimiter : Follows::other;
}

// Up to the next delimiter, or as far as surely none begins.
MultipartReader::Event MultipartReader::take_data() {
  auto sure = input_.size();
  for (auto at = input_.find(delimiter_); at != std::string_view::npos; at = input_.find(delimiter_, at + 1)) {
    const auto follows = what_follows(input_.substr(at + delimiter_.size()));
    if (follows == Follows::other) continue;
    if (follows == Follows::delimiter && at == 0) {
      input_.remove_prefix(delimiter_.size());
      return {Kind::part_end, {}};
    }
    sure = at;
    break;
  }
  if (sure == input_.size()) {
    // The tail may be the beginning of a delimiter.
    for (auto n = std::min(delimiter_.size() - 1, input_.size()); n > 0; --n) {
      if (input_.substr(input_.size() - n) == std::string_view(delimiter_).substr(0, n)) {
        sure = input_.size() - n;
        break;
      }
    }
  }
  if (sure == 0) return need_more();
  const auto data = input_.substr(0, sure);
  input_.remove_prefix(sure);
  return {Kind::data, data};
}

MultipartReader::Event MultipartReader::take_headers() {
  // They end with an empty line, which may be the first.
  std::size_t lines = 0;
  while (true) {
    const auto end = input_.find('\n', lines);
    if (std::min(end, input_.size()) > kHeaderBytesMax) return {Kind::malformed, {}};
    if (end == std::string_view::npos) return need_more();
    const auto line = input_.substr(lines, end - lines);
    if (line.empty() || line == "\r") {
      if (!parse_header_lines(input_.substr(0, lines))) return {Kind::malformed, {}};
      input_.remove_prefix(end + 1);
      state_ = State::data_begin;
      return {Kind::part, {}};
    }
    lines = end + 1;
  }
}

bool MultipartReader::parse_header_lines(std::string_view lines) {
  constexpr std::string_view kBlanks = " \t\r";
  headers_.clear();
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    auto line = lines.substr(0, end);
    lines.remove_prefix(end + 1);
    const bool is_folded = line.front() == ' ' || line.front() == '\t';
    const auto colon = line.find(':');
    if (is_folded ? headers_.empty() : colon == std::string_view::npos || colon == 0) return false;
    auto value = is_folded ? line : line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(kBlanks), value.size()));
    value = value.substr(0, value.find_last_not_of(kBlanks) + 1);
    if (!is_folded) {
      headers_.emplace_back(line.substr(0, colon), value);
      continue;
    }
    auto& whole = headers_.back().second;
    if (!whole.empty() && !value.empty()) whole += ' ';
    whole += value;
  }
  return true;
}

}  // namespace holdfast::front
