#include "core/query/json_records.h"

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <list>

namespace holdfast::query {
namespace {

using Kind = Value::Kind;
// Not by recursion: how deep a file nests is not for it to say. Numbers as they are written.
constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag |
                            rapidjson::kParseValidateEncodingFlag | rapidjson::kParseStopWhenDoneFlag;

// Follows the reader through a value, and tells of each value within it where it stands and what it is.
class Walker {
 public:
  using Size = rapidjson::SizeType;

  virtual ~Walker() = default;

  bool Null() { return scalar(Kind::null, "null"); }
  bool Bool(bool b) { return scalar(Kind::boolean, b ? "true" : "false"); }
  bool RawNumber(const char* text, Size size, bool) { return scalar(Kind::number, {text, size}); }
  bool String(const char* text, Size size, bool) { return scalar(Kind::text, {text, size}); }
  bool Int(int) { return false; }  // numbers come raw
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }

  bool StartObject() { return open(false); }
  bool StartArray() { return open(true); }
  bool EndObject(Size) { return close(false); }
  bool EndArray(Size) { return close(true); }
  bool Key(const char* text, Size size, bool) {
    for (auto& copy : copies_) copy.writer.Key(text, size);
    enter({text, size});
    return true;
  }

 protected:
  // The value that begins now stands so deep, under this name in what is around it.
  virtual void enter(std::string_view name) = 0;
  virtual void leave(std::size_t depth) = 0;
  // Where the value that begins now is wanted; may be several places.
  virtual void wanted(std::vector<Value*>& into) = 0;

  std::size_t depth() const { return open_.size(); }

 private:
  // A compound that is being written down.
  struct Copy {
    explicit Copy(Value* v, std::size_t d) : value(v), depth(d) {}
    Value* value;
    std::size_t depth;
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};
  };
  struct Open {
    bool is_array;
    std::size_t next = 0;
  };

  void begin_element() {
    if (!open_.empty() && open_.back().is_array) enter(std::to_string(open_.back().next++));
  }

  bool scalar(Kind kind, std::string_view text) {
    begin_element();
    for (auto& copy : copies_) {
      if (kind == Kind::text) {
        copy.writer.String(text.data(), static_cast<Size>(text.size()));
      } else {
        copy.writer.RawValue(text.data(), text.size(), rapidjson::kNumberType);
      }
    }
    into_.clear();
    wanted(into_);
    for (Value* value : into_) *value = {kind, std::string(text)};
    return true;
  }

  bool open(bool is_array) {
    if (open_.size() >= kJsonDepthMax) return false;
    begin_element();
    into_.clear();
    wanted(into_);
    for (Value* value : into_) copies_.emplace_back(value, open_.size());
    for (auto& copy : copies_) is_array ? copy.writer.StartArray() : copy.writer.StartObject();
    open_.push_back({is_array});
    return true;
  }

  bool close(bool is_array) {
    open_.pop_back();
    for (auto copy = copies_.begin(); copy != copies_.end();) {
      is_array ? copy->writer.EndArray() : copy->writer.EndObject();
      if (copy->depth < open_.size()) {
        ++copy;
        continue;
      }
      *copy->value = {Kind::compound, std::string(copy->buffer.GetString(), copy->buffer.GetSize())};
      copy = copies_.erase(copy);
    }
    leave(open_.size());
    return true;
  }

  std::vector<Open> open_;
  std::list<Copy> copies_;  // a writer stays where it is
  std::vector<Value*> into_;
};

class PathWalker final : public Walker {
 public:
  explicit PathWalker(const std::vector<std::vector<std::string>>& paths)
      : paths_(paths), matched_(paths.size()), found_(paths.size()) {}
  std::vector<Value> take() { return std::move(found_); }

 private:
  void enter(std::string_view name) override {
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      matched_[i] = std::min(matched_[i], depth() - 1);
      if (matched_[i] == depth() - 1 && paths_[i].size() >= depth() && paths_[i][depth() - 1] == name) matched_[i] = depth();
    }
  }
  void leave(std::size_t depth) override {
    for (auto& matched : matched_) matched = std::min(matched, depth);
  }
  void wanted(std::vector<Value*>& into) override {
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      if (paths_[i].size() == depth() && matched_[i] == depth()) into.push_back(&found_[i]);
    }
  }

  const std::vector<std::vector<std::string>>& paths_;
  std::vector<std::size_t> matched_;  // how many names of each lead to where the reader is
  std::vector<Value> found_;
};

class MemberWalker final : public Walker {
 public:
  std::vector<Column> take() { return {std::make_move_iterator(members_.begin()), std::make_move_iterator(members_.end())}; }

 private:
  void enter(std::string_view name) override {
    if (depth() == 1) members_.push_back({std::string(name), {}});
  }
  void leave(std::size_t) override {}
  void wanted(std::vector<Value*>& into) override {
    if (depth() == 0) members_.push_back({"_1", {}});  // goes again when it turns out to have members
    if (depth() <= 1) into.push_back(&members_.back().value);
  }

  std::list<Column> members_;  // each stays where it is
};

Status walk(std::string_view json, Walker& walker, std::size_t* used) {
  rapidjson::MemoryStream stream(json.data(), json.size());
  rapidjson::Reader reader;
  const auto result = reader.Parse<kFlags>(stream, walker);
  if (result.IsError()) {
    const bool is_deep = result.Code() == rapidjson::kParseErrorTermination;
    const std::string why = is_deep ? "nested more than " + std::to_string(kJsonDepthMax) + " deep" : rapidjson::GetParseError_En(result.Code());
    return Error(Code::invalid, "no JSON, at its byte " + std::to_string(result.Offset()) + ": " + why);
  }
  auto end = stream.Tell();
  while (end < json.size() && std::string_view(" \t\r\n").find(json[end]) != std::string_view::npos) ++end;
  *used = end;
  return {};
}

}  // namespace

std::vector<std::string> parse_path(std::string_view text) {
  std::vector<std::string> path;
  if (text.empty()) return path;
  path.emplace_back();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '.') {
      path.back() += text[++i];
    } else if (text[i] == '.') {
      path.emplace_back();
    } else {
      path.back() += text[i];
    }
  }
  return path;
}

Result<std::vector<Value>> JsonFields::read(std::string_view json, std::size_t* used) const {
  PathWalker walker(paths_);
  if (auto walked = walk(json, walker, used); !walked) return walked.error();
  return walker.take();
}

Result<std::vector<Column>> JsonFields::members(std::string_view json, std::size_t* used) {
  MemberWalker walker;
  if (auto walked = walk(json, walker, used); !walked) return walked.error();
  auto all = walker.take();
  if (all.front().value.kind == Kind::compound) all.erase(all.begin());
  return all;
}

}  // namespace holdfast::query
