// Files and formats that nobody means: nothing may break, and the pieces in which a file comes must not matter.
#include <cstdlib>
#include <string>

#include "core/query/query.h"

// Sources: csv_records.cc json_records.cc runner.cc value.cc

using namespace holdfast::query;

namespace {

std::string run(const Query& query, std::string_view file, std::size_t piece) {
  std::string out;
  auto runner = Runner::make(query, [&](std::string_view stripe) {
    out += stripe;
    return holdfast::Status();
  });
  if (!runner) return "no";
  holdfast::Status status;
  while (status.ok() && !file.empty()) {
    status = (*runner)->add(file.substr(0, piece));
    file.remove_prefix(std::min(piece, file.size()));
  }
  if (status.ok()) status = (*runner)->end_file();
  if (status.ok()) status = (*runner)->finish();
  return status ? out : "error";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 6) return 0;
  Query query;
  if ((data[0] & 1) != 0) query.selections = {"a", "_1", "a.b.0", ""};
  if ((data[0] & 2) != 0) query.filter = Filter{.field = "a", .op = static_cast<Filter::Operator>(data[1] % 7), .value = "1"};
  if ((data[0] & 4) != 0) {
    query.input = JsonInput{.is_document = (data[0] & 8) != 0};
  } else {
    query.input = CsvInput{.format = {.field_delimiter = std::string(1, static_cast<char>(data[2])),
                                      .record_delimiter = (data[0] & 16) != 0 ? "\n" : std::string(1, static_cast<char>(data[3])) + "\n",
                                      .escape = static_cast<char>(data[4])},
                           .header = static_cast<CsvInput::Header>(data[1] % 3),
                           .allow_quoted_record_delimiter = (data[0] & 8) != 0};
  }
  if ((data[0] & 32) != 0) {
    query.output = CsvOutput{};
  } else {
    query.output = JsonOutput{};
  }
  const std::string_view file(reinterpret_cast<const char*>(data) + 6, size - 6);
  if (run(query, file, SIZE_MAX) != run(query, file, 1 + data[5] % 8)) std::abort();
  return 0;
}
