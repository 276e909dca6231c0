// The text of HTTP/1.1: heads of requests and responses, and chunked bodies. Pure; nothing is allocated.
//
// Server and client share it, so both refuse the same things: what two parsers might read differently (a
// Content-Length beside chunked, two different lengths, blanks before a colon, folded lines, control characters in
// values) is an error, never guessed at. RFC 9112.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace holdfast::io::http1 {

enum class Method : std::uint8_t { get, head, post, put, delete_, options, patch, other };

Method method_of(std::string_view text);

struct Header {
  std::string_view name;   // as sent
  std::string_view value;  // blanks around it cut off
};

// Whether two header names are the same but for ASCII case.
bool same_name(std::string_view a, std::string_view b);

// What both kinds of head have in common. `headers` is filled into storage that the caller gives.
struct Message {
  std::span<const Header> headers;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  std::size_t head_bytes = 0;  // up to and with the empty line
};

struct RequestHead : Message {
  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;
  std::string_view path;   // escapes checked
  std::string_view query;  // as sent
  std::string_view host;
  bool expects_continue = false;
  int version_minor = 1;
};

struct ResponseHead : Message {
  int status = 0;
  std::string_view reason;
};

enum class Parsed {
  complete,
  incomplete,       // more bytes are needed
  malformed,        // 400
  too_many,         // more header lines than there is storage for: 431
  not_implemented,  // a transfer coding other than chunked: 501
  bad_version,      // HTTP/2.0 and the like: 505
  bad_expectation,  // an Expect other than 100-continue: 417
};

// Parses `bytes` from its first one. `scanned` (0 at first) keeps between calls how far the end of the head has been
// looked for, so that a head arriving byte by byte costs no more than its length. Empty lines before a request are
// skipped, as RFC 9112 2.2 asks.
Parsed parse_request(std::string_view bytes, std::size_t& scanned, std::span<Header> storage, RequestHead& out);
Parsed parse_response(std::string_view bytes, std::size_t& scanned, std::span<Header> storage, ResponseHead& out);

// Decodes a chunked body piece by piece. Feed it what arrived; it points at data inside it.
class ChunkedBody {
 public:
  struct Step {
    std::size_t consumed = 0;  // bytes of the input that are done with
    std::string_view data;     // payload within them; may be empty
    bool finished = false;     // the last chunk and its trailer have been read
    bool malformed = false;
  };
  // Consumes up to the end of one piece of payload. Call again while the input lasts.
  Step feed(std::string_view input);

 private:
  enum class State : std::uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailer, trailer_lf, done, bad };
  State state_ = State::size;
  std::uint64_t left_ = 0;
  std::uint8_t digits_ = 0;
  std::uint32_t line_bytes_ = 0;  // of an extension or trailer line: bounded
  bool trailer_line_empty_ = true;
};

}  // namespace holdfast::io::http1
