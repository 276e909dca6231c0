#include "core/query/csv_records.h"

namespace holdfast::query {

Status CsvRecords::bad(const char* what) const {
  return Error(Code::invalid, "record " + std::to_string(records_ + 1) + ": " + what);
}

Status CsvRecords::add(std::string_view bytes) {
  for (const char c : bytes) {
    if (auto taken = take_byte(c); !taken) return taken;
  }
  return {};
}

void CsvRecords::end_field() {
  fields_.push_back(std::move(field_));
  field_.clear();
}

Status CsvRecords::end_record() {
  const bool is_comment = at_ == At::comment;
  const bool is_empty = at_ == At::record_begin;
  at_ = At::record_begin;
  bytes_ = 0;
  records_++;
  if (is_comment || is_empty) {
    field_.clear();
    return {};
  }
  end_field();
  auto taken = take_(fields_);
  fields_.clear();
  return taken;
}

Status CsvRecords::take_byte(char c) {
  const auto& format = input_.format;
  const auto& delimiter = format.record_delimiter;
  if (++bytes_ > kRecordBytesMax) return bad("longer than 4 MiB: is record_delimiter what ends the file's records?");
  // The delimiter, byte by byte; a part of it that is none after all belongs to the field.
  if (!(at_ == At::quoted && input_.allow_quoted_record_delimiter)) {
    if (c == delimiter[matched_]) {
      if (++matched_ < delimiter.size()) return {};
      matched_ = 0;
      if (at_ == At::quoted) return bad("ends within quotes; allow_quoted_record_delimiter lets quoted fields have several lines");
      if (delimiter == "\n" && field_.ends_with('\r') && at_ != At::after_quote) {
        field_.pop_back();
        if (field_.empty() && fields_.empty() && at_ == At::plain) at_ = At::record_begin;  // a line of "\r\n" alone
      }
      return end_record();
    }
    if (matched_ > 0) {
      field_ += delimiter.substr(0, matched_);
      matched_ = 0;
      if (at_ == At::record_begin || at_ == At::field_begin) at_ = At::plain;
      if (c == delimiter[0]) {
        matched_ = 1;
        return {};
      }
    }
  }
  switch (at_) {
    case At::comment: return {};
    case At::record_begin:
      if (input_.comments && c == *input_.comments) {
        at_ = At::comment;
        return {};
      }
      [[fallthrough]];
    case At::field_begin:
      if (c == format.quote) {
        at_ = At::quoted;
        return {};
      }
      at_ = At::plain;
      [[fallthrough]];
    case At::plain:
      if (c == format.field_delimiter[0]) {
        end_field();
        at_ = At::field_begin;
      } else {
        field_ += c;
      }
      return {};
    case At::quoted:
      if (is_escaped_) {
        is_escaped_ = false;
        field_ += c;
      } else if (c == format.escape && format.escape != format.quote) {
        is_escaped_ = true;
      } else if (c == format.quote) {
        at_ = At::after_quote;
      } else {
        field_ += c;
      }
      return {};
    case At::after_quote:
      if (c == format.quote && format.escape == format.quote) {
        field_ += c;
        at_ = At::quoted;
      } else if (c == format.field_delimiter[0]) {
        end_field();
        at_ = At::field_begin;
      } else if (c != '\r' || delimiter != "\n") {
        return bad("something stands behind a closing quote");
      }
      return {};
  }
  return {};
}

Status CsvRecords::end() {
  if (matched_ > 0) {
    field_ += input_.format.record_delimiter.substr(0, matched_);
    matched_ = 0;
    if (at_ == At::record_begin || at_ == At::field_begin) at_ = At::plain;
  }
  if (at_ == At::quoted) return bad("the file ends within quotes");
  Status ended;
  if (at_ != At::record_begin) ended = end_record();
  records_ = 0;
  return ended;
}

}  // namespace holdfast::query
