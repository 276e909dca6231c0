// The parameters of the master's routes (spec/weed-cluster 2.3), from a query or a form into what the Master takes. What
// is wrong in itself is found here, in upstream's order and words, before any leader is asked.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "front/http/url.h"
#include "service/master/master.h"

namespace holdfast::front {

// The texts of `out` are views into `params`.
std::optional<master::Refusal> parse_assign(const Params& params, master::AssignRequest& out);

std::optional<master::Refusal> parse_grow(const Params& params, master::GrowRequest& out);

// Upstream takes a missing name for the collection without a name and deletes all of it at once. Here that one must be
// asked for.
std::optional<master::Refusal> parse_delete(const Params& params, std::string& collection);

// A decimal number and nothing else; `fallback` for any other text.
template <typename T>
T number_or(std::string_view text, T fallback) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() ? value : fallback;
}

}  // namespace holdfast::front
