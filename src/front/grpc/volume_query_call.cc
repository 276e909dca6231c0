#include "front/grpc/volume_query_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "api/convert.h"
#include "front/grpc/status.h"

namespace holdfast::front {
namespace {

namespace pb = volume_server_pb;
using Input = pb::QueryRequest::InputSerialization;
using Output = pb::QueryRequest::OutputSerialization;

constexpr int kFilesMax = 10'000;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

Error bad(const std::string& field, const std::string& value, const std::string& may_be) {
  return Error(Code::invalid, field + " \"" + value + "\": it is " + may_be);
}

// One character, or `otherwise` when nothing is said.
Result<char> character(const std::string& field, const std::string& text, char otherwise) {
  if (text.empty()) return otherwise;
  if (text.size() > 1) return bad(field, text, "one character");
  return text[0];
}

// CSVInput and CSVOutput have these in common.
template <typename Message>
Status fill_format(const std::string& whose, const Message& message, query::CsvFormat& format) {
  if (!message.field_delimiter().empty()) format.field_delimiter = message.field_delimiter();
  if (!message.record_delimiter().empty()) format.record_delimiter = message.record_delimiter();
  const auto quote = character(whose + ".quote_character", message.quote_character(), '"');
  if (!quote) return quote.error();
  format.quote = *quote;
  const auto escape = character(whose + ".quote_escape_character", message.quote_escape_character(), format.quote);
  if (!escape) return escape.error();
  format.escape = *escape;
  return {};
}

Status read_input(const Input& input, volume::FileQuery& out) {
  const auto packed = upper(input.compression_type());
  if (!packed.empty() && packed != "NONE" && packed != "GZIP") {
    return bad("input_serialization.compression_type", input.compression_type(), "NONE, GZIP or empty");
  }
  out.is_gzip = packed == "GZIP";
  if (input.has_parquet_input()) return Error(Code::unsupported, "Parquet is not read here: CSV and JSON are");
  if (input.has_csv_input() == input.has_json_input()) {
    return Error(Code::invalid, "input_serialization must have csv_input or json_input, and not both");
  }
  if (input.has_json_input()) {
    const auto type = upper(input.json_input().type());
    if (!type.empty() && type != "LINES" && type != "DOCUMENT") {
      return bad("json_input.type", input.json_input().type(), "LINES, DOCUMENT or empty");
    }
    out.query.input = query::JsonInput{.is_document = type == "DOCUMENT"};
    out.query.output = query::JsonOutput{};
    return {};
  }
  const auto& csv = input.csv_input();
  query::CsvInput in;
  if (auto filled = fill_format("csv_input", csv, in.format); !filled) return filled;
  const auto header = upper(csv.file_header_info());
  if (!header.empty() && header != "NONE" && header != "USE" && header != "IGNORE") {
    return bad("csv_input.file_header_info", csv.file_header_info(), "NONE, USE, IGNORE or empty");
  }
  if (header == "USE") in.header = query::CsvInput::Header::use;
  if (header == "IGNORE") in.header = query::CsvInput::Header::ignore;
  if (csv.comments().size() > 1) return bad("csv_input.comments", csv.comments(), "one character");
  if (!csv.comments().empty()) in.comments = csv.comments()[0];
  in.allow_quoted_record_delimiter = csv.allow_quoted_record_delimiter();
  out.query.input = std::move(in);
  out.query.output = query::CsvOutput{};
  return {};
}

// Without one, what comes out is of the form of what goes in.
Status read_output(const Output& output, volume::FileQuery& out) {
  if (output.has_csv_output() && output.has_json_output()) {
    return Error(Code::invalid, "output_serialization must have csv_output or json_output, and not both");
  }
  if (output.has_json_output()) {
    query::JsonOutput json;
    if (!output.json_output().record_delimiter().empty()) json.record_delimiter = output.json_output().record_delimiter();
    out.query.output = std::move(json);
  } else if (output.has_csv_output()) {
    query::CsvOutput csv;
    if (auto filled = fill_format("csv_output", output.csv_output(), csv.format); !filled) return filled;
    const auto quotes = upper(output.csv_output().quote_fields());
    if (!quotes.empty() && quotes != "ASNEEDED" && quotes != "ALWAYS") {
      return bad("csv_output.quote_fields", output.csv_output().quote_fields(), "ASNEEDED, ALWAYS or empty");
    }
    csv.quotes_all = quotes == "ALWAYS";
    out.query.output = std::move(csv);
  }
  return {};
}

grpc::Status status_of(const Error& error) {
  const auto text = api::utf8(error.what());
  switch (error.code()) {
    case Code::invalid: return {grpc::StatusCode::INVALID_ARGUMENT, text};
    case Code::not_found: return {grpc::StatusCode::NOT_FOUND, text};
    case Code::unsupported: return {grpc::StatusCode::UNIMPLEMENTED, text};
    default: return {grpc::StatusCode::UNKNOWN, text};  // clients drop a connection over UNAVAILABLE and its like
  }
}

}  // namespace

Result<volume::FileQuery> read(const pb::QueryRequest& request) {
  volume::FileQuery out;
  if (request.from_file_ids_size() == 0) return Error(Code::invalid, "from_file_ids names no file");
  if (request.from_file_ids_size() > kFilesMax) return Error(Code::invalid, "from_file_ids names more than 10000 files");
  for (const auto& text : request.from_file_ids()) {
    const auto id = parse_file_id(text);
    if (!id) return id.error().at("from_file_ids \"" + text + "\"");
    out.files.push_back(*id);
  }
  out.query.selections.assign(request.selections().begin(), request.selections().end());
  if (!request.filter().field().empty()) {
    const auto op = query::operator_of(request.filter().operand());
    if (!op) return op.error().at("filter");
    out.query.filter = query::Filter{.field = request.filter().field(), .op = *op, .value = request.filter().value()};
  }
  if (auto filled = read_input(request.input_serialization(), out); !filled) return filled.error();
  if (auto filled = read_output(request.output_serialization(), out); !filled) return filled.error();
  return out;
}

grpc::ServerWriteReactor<pb::QueriedStripe>* VolumeQueryCall::Query(grpc::CallbackServerContext*, const pb::QueryRequest* request) {
  using Writer = BlockingWriter<pb::QueriedStripe>;
  auto wish = read(*request);
  if (!wish) return Writer::refused(status_of(wish.error()));
  return Writer::run(threads_, [this, wish = *std::move(wish)](Writer& call) {
    const auto emit = [&](std::string_view records) -> Status {
      pb::QueriedStripe stripe;
      stripe.set_records(records.data(), records.size());
      return call.write(stripe) ? Status() : Error(Code::unavailable, "the caller is gone");
    };
    const auto done = volume::run(service_, wish, emit, *call.cancel());
    return done ? grpc::Status::OK : status_of(done.error());
  });
}

}  // namespace holdfast::front
