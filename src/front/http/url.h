// What Go does with the path and the query of a request target; upstream's replies follow from it
// (spec/weed-cluster 2.1: path clean-up, pairs dropped silently, a body's value wins over the query's).
#pragma once

#include <array>
#include <cstddef>
#include <forward_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::front {

// "/a%2Cb" -> "/a,b". Nothing when a percent sign is not followed by two hex digits. `+` stays.
std::optional<std::string> decode_path(std::string_view raw);

// The path as Go's cleaning leaves it: begins with "/", no empty, "." or ".." segments; a slash at the end stays.
std::string clean_path(std::string_view decoded);

// True when cleaning would change nothing and nothing is percent-encoded: the common case, without allocation.
bool is_plain_path(std::string_view raw);

// Percent-encodes what may not stand in the path of a URL (upper-case hex; letters, digits and -_.~$&+,/:;=@ stay).
std::string escape_path(std::string_view decoded);

// Percent-encodes a value for a query: all but letters, digits and -_.~
std::string escape_query(std::string_view value);

// The parameters of a request: pairs of a query or of a url-encoded body, in order. A pair that cannot be decoded, or
// that holds a semicolon, is dropped silently, as upstream does. Allocates only for pairs that need decoding and
// beyond the first kInline. Views point into the texts given to add(), which must outlive this.
class Params {
 public:
  static constexpr std::size_t kInline = 12;

  Params() = default;
  explicit Params(std::string_view encoded) { add(encoded); }
  Params(const Params&) = delete;
  Params& operator=(const Params&) = delete;

  // Appends the pairs of "a=1&b=2". What is added first wins, so add a form body before the query.
  void add(std::string_view encoded);

  // Appends one pair that is decoded already; both are copied (a field of a multipart form).
  void add_pair(std::string_view name, std::string_view value);

  // The first value of `name`; nothing when it was not given. get() makes that "".
  std::optional<std::string_view> find(std::string_view name) const;
  std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view()); }
  bool has(std::string_view name) const { return find(name).has_value(); }

  std::size_t size() const { return count_; }
  std::string_view name(std::size_t i) const { return at(i).name; }  // of the i-th pair

 private:
  struct Pair {
    std::string_view name;
    std::string_view value;
  };
  const Pair& at(std::size_t i) const { return i < kInline ? inline_[i] : more_[i - kInline]; }
  void push(Pair pair);
  // `text` with + and %xx decoded; nothing when an escape is bad.
  std::optional<std::string_view> decoded(std::string_view text);

  std::array<Pair, kInline> inline_;
  std::vector<Pair> more_;
  std::size_t count_ = 0;
  std::forward_list<std::string> owned_;  // what had to be decoded
};

// Whether `query` asks for indented JSON: pretty=<non-empty>. Only the query counts (spec/weed-cluster 2.1).
bool wants_pretty(std::string_view query);

}  // namespace holdfast::front
