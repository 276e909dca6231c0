#include <algorithm>
#include <utility>

#include "core/query/csv_records.h"
#include "core/query/json_records.h"
#include "core/query/query.h"
#include "core/query/value.h"

namespace holdfast::query {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// What both formats do with a record once its fields are known.
class Chosen {
 public:
  Chosen(const Query& query, Runner::Emit emit) : query_(query), emit_(std::move(emit)) {}

  Status write(const std::vector<Column>& columns) {
    if (const auto* json = std::get_if<JsonOutput>(&query_.output)) {
      write_json(columns, *json, stripe_);
    } else {
      write_csv(columns, std::get<CsvOutput>(query_.output), stripe_);
    }
    return stripe_.size() < kStripeBytes ? Status() : flush();
  }
  Status write_as_it_is(std::string_view json) {
    stripe_ += json;
    stripe_ += std::get<JsonOutput>(query_.output).record_delimiter;
    return stripe_.size() < kStripeBytes ? Status() : flush();
  }
  Status flush() {
    if (stripe_.empty()) return {};
    auto given = emit_(stripe_);
    stripe_.clear();
    return given;
  }

 private:
  const Query& query_;
  const Runner::Emit emit_;
  std::string stripe_;
};

class JsonRunner final : public Runner {
 public:
  JsonRunner(Query query, Emit emit)
      : query_(std::move(query)), fields_(paths_of(query_)), chosen_(query_, std::move(emit)), input_(std::get<JsonInput>(query_.input)) {}

  Status add(std::string_view bytes) override {
    if (input_.is_document) {
      if (pending_.size() + bytes.size() > kDocumentBytesMax) {
        return Error(Code::invalid, "a document of more than 32 MiB: type LINES reads files of any length");
      }
      pending_ += bytes;
      return {};
    }
    while (!bytes.empty()) {
      const auto end = bytes.find('\n');
      const auto part = bytes.substr(0, end);
      if (pending_.size() + part.size() > kRecordBytesMax) return bad("longer than 4 MiB");
      if (end == bytes.npos) {
        pending_ += part;
        return {};
      }
      auto taken = pending_.empty() ? line(part) : line(pending_ += part);
      pending_.clear();
      if (!taken) return taken;
      bytes.remove_prefix(end + 1);
    }
    return {};
  }

  Status end_file() override {
    auto ended = input_.is_document ? document(pending_) : line(pending_);
    pending_.clear();
    records_ = 0;
    return ended;
  }

  Status finish() override { return chosen_.flush(); }

 private:
  static std::vector<std::vector<std::string>> paths_of(const Query& query) {
    std::vector<std::vector<std::string>> paths;
    for (const auto& selection : query.selections) paths.push_back(parse_path(selection));
    if (query.filter) paths.push_back(parse_path(query.filter->field));
    return paths;
  }

  Status bad(const std::string& what) const { return Error(Code::invalid, "record " + std::to_string(records_ + 1) + ": " + what); }

  Status line(std::string_view text) {
    const auto begin = text.find_first_not_of(kBlanks);
    if (begin == text.npos) {
      records_++;
      return {};
    }
    std::size_t used = 0;
    text.remove_prefix(begin);
    if (auto taken = record(text, &used); !taken) return taken;
    if (used < text.size()) {
      --records_;
      return bad("more than one value stands on the line");
    }
    return {};
  }

  // An array's elements are its records; any other value is one.
  Status document(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) return {};
    std::size_t used = 0;
    if (text.front() != '[') {
      if (auto taken = record(text, &used); !taken) return taken;
      return used == text.size() ? Status() : Error(Code::invalid, "something stands behind the document's value");
    }
    const auto skip = [&](std::size_t bytes) {
      text.remove_prefix(bytes);
      text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    };
    skip(1);
    if (text.starts_with(']')) {
      skip(1);
      return text.empty() ? Status() : Error(Code::invalid, "something stands behind the document's value");
    }
    for (;;) {
      if (auto taken = record(text, &used); !taken) return taken;
      skip(used);
      const char next = text.empty() ? '\0' : text.front();
      if (next != ',' && next != ']') return bad("a comma or ] is missing before it");
      skip(1);
      if (next == ']') return text.empty() ? Status() : Error(Code::invalid, "something stands behind the document's value");
    }
  }

  // One value at the beginning of `text`.
  Status record(std::string_view text, std::size_t* used) {
    auto values = fields_.read(text, used);
    if (!values) return bad(values.error().what());
    records_++;
    if (query_.filter) {
      if (!fulfils(values->back(), *query_.filter)) return {};
      values->pop_back();
    }
    if (query_.selections.empty()) {
      if (std::holds_alternative<CsvOutput>(query_.output)) {
        std::size_t again = 0;
        const auto all = JsonFields::members(text, &again);
        return all ? chosen_.write(*all) : Status(all.error());
      }
      auto raw = text.substr(0, *used);
      raw = raw.substr(0, raw.find_last_not_of(kBlanks) + 1);
      return chosen_.write_as_it_is(raw);
    }
    std::vector<Column> columns;
    for (std::size_t i = 0; i < values->size(); ++i) columns.push_back({query_.selections[i], std::move((*values)[i])});
    return chosen_.write(columns);
  }

  const Query query_;
  const JsonFields fields_;
  Chosen chosen_;
  const JsonInput input_;
  std::string pending_;
  std::size_t records_ = 0;  // of this file
};

class CsvRunner final : public Runner {
 public:
  CsvRunner(Query query, Emit emit)
      : query_(std::move(query)),
        chosen_(query_, std::move(emit)),
        input_(std::get<CsvInput>(query_.input)),
        records_(input_, [this](const auto& fields) { return record(fields); }) {}

  Status add(std::string_view bytes) override { return records_.add(bytes); }
  Status end_file() override {
    auto ended = records_.end();
    has_header_ = false;
    names_.clear();
    return ended;
  }
  Status finish() override { return chosen_.flush(); }

 private:
  std::string name_of(std::size_t column) const {
    return column < names_.size() ? names_[column] : "_" + std::to_string(column + 1);
  }

  // Its place, or that of no column.
  std::size_t column_of(const std::string& name) const {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found != names_.end()) return static_cast<std::size_t>(found - names_.begin());
    if (name.size() < 2 || name.size() > 7 || name[0] != '_' || name.find_first_not_of("0123456789", 1) != name.npos) return SIZE_MAX;
    return static_cast<std::size_t>(std::stoul(name.substr(1))) - 1;  // "_0" is none either
  }

  static Value value_at(const std::vector<std::string>& fields, std::size_t column) {
    if (column >= fields.size()) return {};
    return {Value::Kind::untyped, fields[column]};
  }

  Status record(const std::vector<std::string>& fields) {
    if (input_.header != CsvInput::Header::none && !std::exchange(has_header_, true)) {
      if (input_.header == CsvInput::Header::use) names_ = fields;
      return {};
    }
    if (query_.filter && !fulfils(value_at(fields, column_of(query_.filter->field)), *query_.filter)) return {};
    std::vector<Column> columns;
    if (query_.selections.empty()) {
      for (std::size_t i = 0; i < fields.size(); ++i) columns.push_back({name_of(i), value_at(fields, i)});
    } else {
      for (const auto& name : query_.selections) columns.push_back({name, value_at(fields, column_of(name))});
    }
    return chosen_.write(columns);
  }

  const Query query_;
  Chosen chosen_;
  const CsvInput input_;
  CsvRecords records_;
  bool has_header_ = false;  // of this file
  std::vector<std::string> names_;
};

Status check(const CsvFormat& format, const char* whose) {
  if (format.field_delimiter.size() != 1) return Error(Code::invalid, std::string(whose) + ".field_delimiter must be one character");
  if (format.record_delimiter.empty() || format.record_delimiter.size() > 2) {
    return Error(Code::invalid, std::string(whose) + ".record_delimiter must be one or two characters");
  }
  if (format.field_delimiter[0] == format.quote || format.record_delimiter.find(format.quote) != std::string::npos ||
      format.record_delimiter.find(format.field_delimiter) != std::string::npos) {
    return Error(Code::invalid, std::string(whose) + ": delimiters and quote must differ");
  }
  return {};
}

}  // namespace

Result<Filter::Operator> operator_of(std::string_view text) {
  using Operator = Filter::Operator;
  if (text.empty()) return Operator::exists;
  if (text == "=" || text == "==") return Operator::equal;
  if (text == "!=" || text == "<>") return Operator::not_equal;
  if (text == "<") return Operator::less;
  if (text == "<=") return Operator::less_or_equal;
  if (text == ">") return Operator::greater;
  if (text == ">=") return Operator::greater_or_equal;
  return Error(Code::invalid, "there is no operand \"" + std::string(text) + "\": it is one of = != < <= > >=, or empty");
}

Result<std::unique_ptr<Runner>> Runner::make(Query query, Emit emit) {
  if (query.selections.size() > kSelectionsMax) return Error(Code::invalid, "more than 256 selections");
  if (const auto* csv = std::get_if<CsvInput>(&query.input)) {
    if (auto good = check(csv->format, "csv_input"); !good) return good.error();
  }
  if (const auto* csv = std::get_if<CsvOutput>(&query.output)) {
    if (auto good = check(csv->format, "csv_output"); !good) return good.error();
  }
  // "*" as S3 Select has it.
  if (query.selections == std::vector<std::string>{"*"}) query.selections.clear();
  if (std::holds_alternative<CsvInput>(query.input)) return std::unique_ptr<Runner>(std::make_unique<CsvRunner>(std::move(query), std::move(emit)));
  return std::unique_ptr<Runner>(std::make_unique<JsonRunner>(std::move(query), std::move(emit)));
}

}  // namespace holdfast::query
