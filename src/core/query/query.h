// Query: which records of a file are wanted, and what of them (volume_server_pb.Query, spec/weed-grpc 7). docs/query.md is
// the manual for callers.
//
// A file is a sequence of records: lines of CSV, or values of JSON. A Runner takes its plain bytes piece by piece, holds at
// most one record of them, and gives out the chosen records as stripes of text. A document of JSON is one piece, and held as a
// whole.
//
// Pure. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace holdfast::query {

inline constexpr std::size_t kRecordBytesMax = 4_MiB;
inline constexpr std::size_t kDocumentBytesMax = 32_MiB;
inline constexpr std::size_t kStripeBytes = 256_KiB;  // a stripe is given out once it has as many
inline constexpr std::size_t kSelectionsMax = 256;

struct CsvFormat {
  std::string field_delimiter = ",";
  std::string record_delimiter = "\n";  // when reading by "\n" a "\r" before it goes with it
  char quote = '"';
  char escape = '"';  // before a quote within quotes
};

struct CsvInput {
  enum class Header { none, use, ignore };  // the first record is one like others, the names of the columns, or nothing
  CsvFormat format;
  Header header = Header::none;
  std::optional<char> comments;  // a record that begins so is left out
  bool allow_quoted_record_delimiter = false;
};

struct JsonInput {
  bool is_document = false;  // the file is one value, each element of an array a record; else each line is one
};

struct CsvOutput {
  CsvFormat format;
  bool quotes_all = false;
};

struct JsonOutput {
  std::string record_delimiter = "\n";
};

struct Filter {
  enum class Operator { exists, equal, not_equal, less, less_or_equal, greater, greater_or_equal };
  std::string field;
  Operator op = Operator::exists;
  std::string value;
};

struct Query {
  std::vector<std::string> selections;  // empty: the whole record
  std::optional<Filter> filter;
  std::variant<JsonInput, CsvInput> input;
  std::variant<JsonOutput, CsvOutput> output;
};

// "=", "==", "!=", "<>", "<", "<=", ">", ">="; "" asks whether there is such a field.
Result<Filter::Operator> operator_of(std::string_view text);

class Runner {
 public:
  // `emit` gets a stripe; its error ends the run. Code::invalid for a query that cannot be.
  using Emit = std::function<Status(std::string_view stripe)>;
  static Result<std::unique_ptr<Runner>> make(Query query, Emit emit);
  virtual ~Runner() = default;

  // The next bytes of the present file. Code::invalid names the record that is not what it should be.
  virtual Status add(std::string_view bytes) = 0;
  // The present file ends here; the next one begins with the next bytes.
  virtual Status end_file() = 0;
  // No more files: what is left is given out.
  virtual Status finish() = 0;
};

}  // namespace holdfast::query
