// Splits CSV into records and fields, piece by piece, as RFC 4180 says and CsvFormat sets it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/query/query.h"

namespace holdfast::query {

class CsvRecords {
 public:
  using Take = std::function<Status(const std::vector<std::string>& fields)>;

  CsvRecords(const CsvInput& input, Take take) : input_(input), take_(std::move(take)) {}

  // Calls `take` for each record that is complete; an empty line is none.
  Status add(std::string_view bytes);
  Status end();  // the last one may lack its delimiter

 private:
  enum class At { record_begin, field_begin, plain, quoted, after_quote, comment };

  Status take_byte(char c);
  Status end_record();
  void end_field();
  Status bad(const char* what) const;

  const CsvInput& input_;
  const Take take_;
  At at_ = At::record_begin;
  bool is_escaped_ = false;  // by an escape that is not the quote itself
  std::vector<std::string> fields_;
  std::string field_;
  std::size_t bytes_ = 0;    // of the record so far
  std::size_t records_ = 0;  // that are complete
  std::size_t matched_ = 0;  // of the record's delimiter, at the end of what was taken
};

}  // namespace holdfast::query
