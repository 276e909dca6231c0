#include "core/query/value.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <charconv>
#include <compare>
#include <optional>
#include <utility>

namespace holdfast::query {
namespace {

using Operator = Filter::Operator;

template <typename T>
std::optional<T> parsed(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Of two numbers; nothing when one of them is none. Whole numbers are compared to the last digit.
std::optional<std::partial_ordering> order_of_numbers(std::string_view a, std::string_view b) {
  const auto whole_a = parsed<std::int64_t>(a), whole_b = parsed<std::int64_t>(b);
  if (whole_a && whole_b) return *whole_a <=> *whole_b;
  const auto real_a = parsed<double>(a), real_b = parsed<double>(b);
  if (!real_a || !real_b) return std::nullopt;
  return *real_a <=> *real_b;
}

bool holds(Operator op, std::partial_ordering order) {
  switch (op) {
    case Operator::exists: return true;
    case Operator::equal: return order == 0;
    case Operator::not_equal: return order != 0;
    case Operator::less: return order < 0;
    case Operator::less_or_equal: return order <= 0;
    case Operator::greater: return order > 0;
    case Operator::greater_or_equal: return order >= 0;
  }
  return false;
}

void append_quoted(std::string_view text, const CsvOutput& format, std::string& out) {
  const auto& csv = format.format;
  const bool needs_quotes = format.quotes_all || text.find(csv.quote) != text.npos || text.find_first_of("\r\n") != text.npos ||
                            text.find(csv.field_delimiter) != text.npos || text.find(csv.record_delimiter) != text.npos;
  if (!needs_quotes) {
    out += text;
    return;
  }
  out += csv.quote;
  for (const char c : text) {
    if (c == csv.quote || (c == csv.escape && csv.escape != csv.quote)) out += csv.escape;
    out += c;
  }
  out += csv.quote;
}

}  // namespace

bool fulfils(const Value& value, const Filter& filter) {
  using Kind = Value::Kind;
  const auto op = filter.op;
  const bool asks_for_same = op == Operator::equal || op == Operator::not_equal;
  switch (value.kind) {
    case Kind::missing: return false;
    case Kind::null: return asks_for_same && filter.value == "null" && op == Operator::equal;
    case Kind::boolean:
    case Kind::compound:
      if (op == Operator::exists) return true;
      return asks_for_same && holds(op, value.text.compare(filter.value) <=> 0);
    case Kind::number:
      if (op == Operator::exists) return true;
      if (const auto order = order_of_numbers(value.text, filter.value)) return holds(op, *order);
      return op == Operator::not_equal;
    case Kind::untyped:
      if (op == Operator::exists) return true;
      if (const auto order = order_of_numbers(value.text, filter.value)) return holds(op, *order);
      return holds(op, value.text.compare(filter.value) <=> 0);
    case Kind::text:
      return op == Operator::exists || holds(op, value.text.compare(filter.value) <=> 0);
  }
  return false;
}

void write_json(const std::vector<Column>& columns, const JsonOutput& format, std::string& out) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.StartObject();
  for (const auto& [name, value] : columns) {
    if (value.kind == Value::Kind::missing) continue;
    writer.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    if (value.kind == Value::Kind::text || value.kind == Value::Kind::untyped) {
      writer.String(value.text.data(), static_cast<rapidjson::SizeType>(value.text.size()));
    } else {
      writer.RawValue(value.text.data(), value.text.size(), rapidjson::kNumberType);  // as it stood there
    }
  }
  writer.EndObject();
  out.append(buffer.GetString(), buffer.GetSize());
  out += format.record_delimiter;
}

void write_csv(const std::vector<Column>& columns, const CsvOutput& format, std::string& out) {
  bool is_first = true;
  for (const auto& [name, value] : columns) {
    if (!std::exchange(is_first, false)) out += format.format.field_delimiter;
    if (value.kind != Value::Kind::missing && value.kind != Value::Kind::null) append_quoted(value.text, format, out);
  }
  out += format.format.record_delimiter;
}

}  // namespace holdfast::query
