#include "core/query/query.h"

#include <gtest/gtest.h>

#include "core/query/json_records.h"
#include "core/query/value.h"

namespace holdfast::query {
namespace {

using Operator = Filter::Operator;

// All that comes of `file`, given in pieces of `piece` bytes, and behind it the error, if there is one.
std::string run(Query query, std::string_view file, std::size_t piece = SIZE_MAX) {
  std::string out;
  auto runner = Runner::make(std::move(query), [&](std::string_view stripe) {
    out += stripe;
    return Status();
  });
  if (!runner) return "error: " + runner.error().what();
  Status status;
  while (status.ok() && !file.empty()) {
    status = (*runner)->add(file.substr(0, piece));
    file.remove_prefix(std::min(piece, file.size()));
  }
  if (status.ok()) status = (*runner)->end_file();
  if (status.ok()) status = (*runner)->finish();
  return status ? out : out + "error: " + status.error().what();
}

// The same whatever pieces it comes in.
std::string run_in_pieces(const Query& query, std::string_view file) {
  const auto whole = run(query, file);
  for (std::size_t piece : {1, 2, 3, 7}) EXPECT_EQ(run(query, file, piece), whole) << piece;
  return whole;
}

Query json(std::vector<std::string> selections = {}) { return {.selections = std::move(selections), .input = JsonInput{}, .output = JsonOutput{}}; }
Query csv(std::vector<std::string> selections = {}, CsvInput input = {}) {
  return {.selections = std::move(selections), .input = std::move(input), .output = CsvOutput{}};
}
Query where(Query query, std::string field, std::string_view op, std::string value) {
  query.filter = Filter{.field = std::move(field), .op = *operator_of(op), .value = std::move(value)};
  return query;
}

constexpr std::string_view kPeople =
    "{\"name\":\"Ann\",\"age\":41,\"home\":{\"town\":\"Ulm\",\"rooms\":[{\"m2\":12.50},{\"m2\":9}]}}\n"
    "\n"
    " {\"name\":\"B\\u00e4r\", \"age\":7,\"home\":null,\"x\":true} \r\n"
    "{\"name\":\"Cy\",\"age\":1.0e2,\"id\":123456789012345678901234567890}";

TEST(JsonQuery, GivesWholeRecordsAsTheyAre) {
  EXPECT_EQ(run_in_pieces(json(), "{\"a\": 1.10}\n\n[1, 2]\n\"x\""), "{\"a\": 1.10}\n[1, 2]\n\"x\"\n");
  EXPECT_EQ(run(json({"*"}), "{\"a\":1}"), "{\"a\":1}\n");
}

TEST(JsonQuery, SelectsFieldsByTheirPaths) {
  EXPECT_EQ(run_in_pieces(json({"name", "home.town", "home.rooms.1.m2"}), kPeople),
            "{\"name\":\"Ann\",\"home.town\":\"Ulm\",\"home.rooms.1.m2\":9}\n"
            "{\"name\":\"Bär\"}\n"
            "{\"name\":\"Cy\"}\n");
  EXPECT_EQ(run(json({"home", "home.rooms", "x"}), kPeople),
            "{\"home\":{\"town\":\"Ulm\",\"rooms\":[{\"m2\":12.50},{\"m2\":9}]},\"home.rooms\":[{\"m2\":12.50},{\"m2\":9}]}\n"
            "{\"home\":null,\"x\":true}\n"
            "{}\n");
  EXPECT_EQ(run(json({"id"}), kPeople), "{}\n{}\n{\"id\":123456789012345678901234567890}\n");  // to the last digit
  EXPECT_EQ(run(json({"a\\.b", "a.b"}), "{\"a.b\":1,\"a\":{\"b\":2}}"), "{\"a\\\\.b\":1,\"a.b\":2}\n");
  EXPECT_EQ(run(json({"b.b"}), "{\"a\":{\"b\":1},\"b\":{\"a\":{\"b\":2},\"b\":3}}"), "{\"b.b\":3}\n");
}

TEST(JsonQuery, FiltersByTypeAndValue) {
  const auto names = [](std::string field, std::string_view op, std::string value) {
    std::string out;
    Query query = where(json({"name"}), std::move(field), op, std::move(value));
    query.output = CsvOutput{};
    for (const char c : run(query, kPeople)) out += c == '\n' ? ' ' : c;
    return out;
  };
  EXPECT_EQ(names("age", ">", "7"), "Ann Cy ");
  EXPECT_EQ(names("age", ">=", "7.0"), "Ann Bär Cy ");
  EXPECT_EQ(names("age", "=", "100"), "Cy ");
  EXPECT_EQ(names("age", "<", "41"), "Bär ");
  EXPECT_EQ(names("age", "<=", "41"), "Ann Bär ");
  EXPECT_EQ(names("age", "!=", "41"), "Bär Cy ");
  EXPECT_EQ(names("age", "=", "old"), "");
  EXPECT_EQ(names("age", "<>", "old"), "Ann Bär Cy ");
  EXPECT_EQ(names("name", "==", "Bär"), "Bär ");
  EXPECT_EQ(names("name", "<", "B"), "Ann ");
  EXPECT_EQ(names("home.rooms.0.m2", "=", "12.5"), "Ann ");
  EXPECT_EQ(names("x", "=", "true"), "Bär ");
  EXPECT_EQ(names("x", "<", "zzz"), "");  // true and false have no order
  EXPECT_EQ(names("home", "=", "null"), "Bär ");
  EXPECT_EQ(names("home", "", ""), "Ann ");  // is there, and not null
  EXPECT_EQ(names("nowhere", "!=", "1"), "");
  EXPECT_EQ(names("id", ">", "123456789012345678901234567889"), "");  // beyond 64 bits as good as a double knows
}

TEST(JsonQuery, WholeNumbersAreComparedToTheLastDigit) {
  EXPECT_EQ(run(where(json(), "n", ">", "9007199254740992"), "{\"n\":9007199254740993}\n{\"n\":9007199254740992}"), "{\"n\":9007199254740993}\n");
}

TEST(JsonQuery, ReadsADocumentsElements) {
  Query query = json({"a"});
  query.input = JsonInput{.is_document = true};
  EXPECT_EQ(run_in_pieces(query, " [ {\"a\":1} ,\n{\"a\":\n[2]} ] "), "{\"a\":1}\n{\"a\":[2]}\n");
  EXPECT_EQ(run(query, "{\"a\":\n3}"), "{\"a\":3}\n");
  EXPECT_EQ(run(query, "[]"), "");
  EXPECT_EQ(run(query, ""), "");
  EXPECT_EQ(run(query, "[{\"a\":1}"), "error: record 2: a comma or ] is missing before it");
  EXPECT_EQ(run(query, "[{\"a\":1}] x"), "error: something stands behind the document's value");
  EXPECT_EQ(run(query, std::string(kDocumentBytesMax + 1, ' ')), "error: a document of more than 32 MiB: type LINES reads files of any length");
}

TEST(JsonQuery, BadLinesAreNamed) {
  EXPECT_EQ(run_in_pieces(json(), "{}\n\n{\"a\":}\n"), "error: record 3: no JSON, at its byte 5: Invalid value.");
  EXPECT_EQ(run(json(), "{} {}"), "error: record 1: more than one value stands on the line");
  EXPECT_EQ(run(json(), "\"\xff\""), "error: record 1: no JSON, at its byte 1: Invalid encoding in string.");
  EXPECT_EQ(run(json(), std::string(600, '[') + std::string(600, ']')), "error: record 1: no JSON, at its byte 512: nested more than 512 deep");
  EXPECT_EQ(run(json(), std::string(500, '[') + std::string(500, ']')), std::string(500, '[') + std::string(500, ']') + "\n");
  EXPECT_EQ(run(json(), "\"" + std::string(kRecordBytesMax, 'x') + "\""), "error: record 1: longer than 4 MiB");
}

TEST(JsonQuery, BecomesCsv) {
  Query query = json();
  query.output = CsvOutput{};
  EXPECT_EQ(run(query, "{\"a\":\"x,y\",\"b\":[1,\"z\"],\"c\":null,\"d\":1.50}\n[1,{\"e\":2}]\n7\n{}"),
            "\"x,y\",\"[1,\"\"z\"\"]\",,1.50\n1,\"{\"\"e\"\":2}\"\n7\n\n");
}

TEST(CsvQuery, SelectsColumnsByNameAndPlace) {
  const std::string_view file = "name,age\nAnn,41\r\n\"Bo, \"\"jr\"\"\",7\n,\nCy";
  EXPECT_EQ(run_in_pieces(csv({"_2", "_1"}), file), "age,name\n41,Ann\n7,\"Bo, \"\"jr\"\"\"\n,\n,Cy\n");
  EXPECT_EQ(run_in_pieces(csv({"age", "nobody"}, {.header = CsvInput::Header::use}), file), "41,\n7,\n,\n,\n");
  EXPECT_EQ(run(csv({"_1", "age"}, {.header = CsvInput::Header::ignore}), file), "Ann,\n\"Bo, \"\"jr\"\"\",\n,\nCy,\n");
  Query query = csv({}, {.header = CsvInput::Header::use});
  query.output = JsonOutput{.record_delimiter = ";"};
  EXPECT_EQ(run(query, file), "{\"name\":\"Ann\",\"age\":\"41\"};{\"name\":\"Bo, \\\"jr\\\"\",\"age\":\"7\"};{\"name\":\"\",\"age\":\"\"};{\"name\":\"Cy\"};");
}

TEST(CsvQuery, TakesForNumbersWhatLooksLikeThem) {
  const std::string_view file = "n\n7\n10\n9.5\nx\n";
  EXPECT_EQ(run(where(csv({}, {.header = CsvInput::Header::use}), "n", ">", "8"), file), "10\n9.5\nx\n");  // "x" > "8" as texts
  EXPECT_EQ(run(where(csv({}, {.header = CsvInput::Header::use}), "n", "=", "7.0"), file), "7\n");
  EXPECT_EQ(run(where(csv(), "_2", "!=", "1"), "a\nb,2\n"), "b,2\n");
  EXPECT_EQ(run(where(csv(), "_0", "", ""), "a\n"), "");
}

TEST(CsvQuery, KnowsOtherDelimitersQuotesAndComments) {
  CsvInput input{.format = {.field_delimiter = "|", .record_delimiter = "\r\n", .quote = '\'', .escape = '\\'}, .comments = '#'};
  EXPECT_EQ(run_in_pieces(csv({}, input), "a|'b|\\'c'\r\n# x|y\r\n\r\nd\r|e\n\r\r\n"), "a,b|'c\n\"d\r\",\"e\n\r\"\n");
  Query query = csv();
  query.output = CsvOutput{.format = {.field_delimiter = ";", .record_delimiter = "\r\n", .quote = '\'', .escape = '\\'}, .quotes_all = true};
  EXPECT_EQ(run(query, "a,it's,\\\n"), "'a';'it\\'s';'\\\\'\r\n");
}

TEST(CsvQuery, QuotedFieldsMayHaveSeveralLinesWhenThatIsSaid) {
  const std::string_view file = "a,\"b\nc\"\nd,e\n";
  EXPECT_EQ(run_in_pieces(csv({"_2"}, {.allow_quoted_record_delimiter = true}), file), "\"b\nc\"\ne\n");
  EXPECT_EQ(run_in_pieces(csv(), file),
            "error: record 1: ends within quotes; allow_quoted_record_delimiter lets quoted fields have several lines");
}

TEST(CsvQuery, BadRecordsAreNamed) {
  EXPECT_EQ(run(csv(), "a\n\"b\"c\n"), "error: record 2: something stands behind a closing quote");
  EXPECT_EQ(run(csv({}, {.allow_quoted_record_delimiter = true}), "a\n\"b"), "error: record 2: the file ends within quotes");
  EXPECT_EQ(run(csv(), std::string(kRecordBytesMax + 1, 'x')), "error: record 1: longer than 4 MiB: is record_delimiter what ends the file's records?");
}

TEST(Query, FormatsThatCannotBeAreRefused) {
  EXPECT_EQ(run(csv({}, {.format = {.field_delimiter = "ab"}}), ""), "error: csv_input.field_delimiter must be one character");
  EXPECT_EQ(run(csv({}, {.format = {.record_delimiter = ""}}), ""), "error: csv_input.record_delimiter must be one or two characters");
  EXPECT_EQ(run(csv({}, {.format = {.field_delimiter = "\""}}), ""), "error: csv_input: delimiters and quote must differ");
  EXPECT_EQ(run(json(std::vector<std::string>(257, "a")), ""), "error: more than 256 selections");
  EXPECT_FALSE(operator_of("like").ok());
}

TEST(Query, ComesInStripesAndFileByFile) {
  std::vector<std::size_t> stripes;
  std::string all;
  auto runner = *Runner::make(csv({"n"}, {.header = CsvInput::Header::use}), [&](std::string_view stripe) {
    stripes.push_back(stripe.size());
    all += stripe;
    return Status();
  });
  std::string file = "m,n\n";
  for (int i = 0; i < 20'000; ++i) file += "1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
  ASSERT_TRUE(runner->add(file).ok());
  ASSERT_TRUE(runner->end_file().ok());
  ASSERT_TRUE(runner->add("n,m\nfirst,second").ok());  // has names of its own
  ASSERT_TRUE(runner->end_file().ok());
  ASSERT_TRUE(runner->finish().ok());
  EXPECT_EQ(stripes.size(), 3u);
  for (const auto bytes : stripes) EXPECT_LT(bytes, kStripeBytes + 100);
  EXPECT_TRUE(all.ends_with("aaa\nfirst\n"));
  EXPECT_EQ(all.size(), 20'000u * 31 + 6);
}

TEST(Query, EndsWhenNobodyTakesIt) {
  auto runner = *Runner::make(csv(), [](std::string_view) { return Status(Error(Code::unavailable, "gone")); });
  ASSERT_TRUE(runner->add("a\n").ok());
  EXPECT_EQ(runner->finish().error().code(), Code::unavailable);
}

}  // namespace
}  // namespace holdfast::query
