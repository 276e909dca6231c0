// Values of fields as queries see them, whatever format they come from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/query/query.h"

namespace holdfast::query {

struct Value {
  // `untyped`: of CSV, where nothing says whether "7" is a number.
  enum class Kind : std::uint8_t { missing, null, boolean, number, text, untyped, compound };
  Kind kind = Kind::missing;
  std::string text;  // a number's digits and a compound's JSON as they are, a text without quotes and escapes
};

struct Column {
  std::string name;
  Value value;
};

// A field that is missing fulfils nothing, and null only what compares it with "null".
bool fulfils(const Value& value, const Filter& filter);

// Writes one record behind `out`; a value that is missing is left out in JSON and empty in CSV.
void write_json(const std::vector<Column>& columns, const JsonOutput& format, std::string& out);
void write_csv(const std::vector<Column>& columns, const CsvOutput& format, std::string& out);

}  // namespace holdfast::query
