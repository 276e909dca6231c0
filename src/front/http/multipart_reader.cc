#include "front/http/multipart_reader.h"

#include <algorithm>

#include "io/http1.h"

namespace holdfast::front {

// The body is read as if a CRLF stood before it, so that its first delimiter is one like the others.
MultipartReader::MultipartReader(std::string boundary) : delimiter_("\r\n--" + std::move(boundary)), held_("\r\n") {
  input_ = held_;
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

void MultipartReader::keep_rest() {
  if (input_.empty() || (input_.data() >= held_.data() && input_.data() <= held_.data() + held_.size())) return;
  held_ = std::string(input_);
  input_ = held_;
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
        if (input_.size() >= 2 && input_.starts_with("--")) {
          state_ = State::finished;
          break;
        }
        const auto end = input_.find('\n');
        if (end == std::string_view::npos) {
          if (input_.size() > 256) state_ = State::bad;  // no padding is that long
          if (state_ == State::bad) break;
          keep_rest();
          return {Kind::need_more, {}};
        }
        const auto padding = input_.substr(0, end);
        if (padding.find_first_not_of(" \t\r") != std::string_view::npos) {
          state_ = State::bad;
          break;
        }
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

// Up to the next delimiter, or as far as surely none begins.
MultipartReader::Event MultipartReader::take_data() {
  const auto found = input_.find(delimiter_);
  if (found == 0) {
    input_.remove_prefix(delimiter_.size());
    return {Kind::part_end, {}};
  }
  auto sure = found;
  if (found == std::string_view::npos) {
    // The tail may be the beginning of a delimiter.
    sure = input_.size();
    const auto longest = std::min(delimiter_.size() - 1, input_.size());
    for (auto n = longest; n > 0; --n) {
      if (input_.substr(input_.size() - n) == std::string_view(delimiter_).substr(0, n)) {
        sure = input_.size() - n;
        break;
      }
    }
    if (sure == 0) {
      keep_rest();
      return {Kind::need_more, {}};
    }
  }
  const auto data = input_.substr(0, sure);
  input_.remove_prefix(sure);
  return {Kind::data, data};
}

MultipartReader::Event MultipartReader::take_headers() {
  // A part without headers begins with its empty line.
  std::size_t end = std::string_view::npos;
  std::size_t next = 0;
  if (input_.starts_with("\r\n")) {
    end = 0;
    next = 2;
  } else if (const auto crlf = input_.find("\r\n\r\n"); crlf != std::string_view::npos) {
    end = crlf + 2;
    next = crlf + 4;
  }
  if (end == std::string_view::npos) {
    if (input_.size() > kHeaderBytesMax) return {Kind::malformed, {}};
    keep_rest();
    return {Kind::need_more, {}};
  }
  if (!parse_header_lines(input_.substr(0, end))) return {Kind::malformed, {}};
  // The CRLF of the empty line may belong to the delimiter of an empty part; it is kept for that.
  input_.remove_prefix(next - 2);
  if (!input_.starts_with(delimiter_)) {
    if (std::string_view(delimiter_).starts_with(input_.substr(0, delimiter_.size()))) {
      // Not enough to tell yet; the headers are parsed again when there is more.
      input_ = std::string_view(input_.data() - (next - 2), input_.size() + next - 2);
      if (input_.size() > kHeaderBytesMax + delimiter_.size()) return {Kind::malformed, {}};
      keep_rest();
      return {Kind::need_more, {}};
    }
    input_.remove_prefix(2);
  }
  state_ = State::data;
  return {Kind::part, {}};
}

bool MultipartReader::parse_header_lines(std::string_view lines) {
  headers_.clear();
  while (!lines.empty()) {
    const auto end = lines.find("\r\n");
    const auto line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    auto value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    headers_.emplace_back(line.substr(0, colon), value);
  }
  return true;
}

}  // namespace holdfast::front
