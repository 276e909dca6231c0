// MultipartReader: cuts a multipart body into parts while it streams by (RFC 2046 5.1).
//
// As upstream's reader (Go's) it takes bare line feeds for line ends throughout when the first delimiter's line ends in
// one, and folded header lines; what merely begins like a delimiter is data.
//
// Feed it what arrives; it answers with one event at a time. The data of a part comes in as many pieces as it likes;
// nothing but a possible beginning of a delimiter is ever held back, so memory stays below the header limit.
//
//   reader.feed(bytes);
//   for (;;) switch (auto event = reader.next(); event.kind) {
//     case need_more: ... feed again, or at the body's end reader.finish()
//     case part:      event.headers hold until the next call
//     case data: case part_end: case end: case malformed: ...
//   }
//
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::front {

class MultipartReader {
 public:
  static constexpr std::size_t kHeaderBytesMax = 16 << 10;  // of one part

  enum class Kind {
    need_more,
    part,       // a part begins
    data,       // a piece of it
    part_end,   // it was whole
    end,        // the last delimiter has been seen
    malformed,
  };
  struct Event {
    Kind kind;
    std::string_view data;  // valid until the next feed()
  };

  explicit MultipartReader(std::string boundary);

  // Only after next() said need_more. `bytes` must stay until it says so again.
  void feed(std::string_view bytes);
  Event next();

  // Of the present part: "" when absent. Any case.
  std::string_view header(std::string_view name) const;

 private:
  enum class State { preamble, after_delimiter, headers, data_begin, data, finished, bad };
  enum class Follows { nothing_yet, delimiter, other };
  Follows what_follows(std::string_view bytes) const;
  Event take_data();
  Event take_headers();
  bool parse_header_lines(std::string_view lines);
  Event need_more();
  std::string_view bare_delimiter() const;  // without its line end: --boundary

  std::string delimiter_;  // line end and --boundary; the line end is LF until the first one tells, then that
  bool seen_delimiter_ = false;
  State state_ = State::preamble;
  std::string held_;       // carried over from the piece before; input_ points into it when not empty
  std::string_view input_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

}  // namespace holdfast::front
