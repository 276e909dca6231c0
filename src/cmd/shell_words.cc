#include "cmd/shell_words.h"

namespace holdfast::cmd {

Result<std::vector<std::vector<std::string>>> shell_words(std::string_view line) {
  std::vector<std::vector<std::string>> commands(1);
  std::string word;
  bool in_word = false;
  char quote = 0;
  const auto end_word = [&] {
    if (in_word) commands.back().push_back(std::move(word));
    word.clear();
    in_word = false;
  };
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'') {
      if (++i == line.size()) return Error(Code::invalid, "a backslash at the end of the line");
      word += line[i];
      in_word = true;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
      else word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;  // an empty one counts
    } else if (c == ' ' || c == '\t' || c == '\r') {
      end_word();
    } else if (c == ';') {
      end_word();
      if (!commands.back().empty()) commands.emplace_back();
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return Error(Code::invalid, std::string("a quote is not closed: ") + quote);
  end_word();
  if (commands.back().empty()) commands.pop_back();
  return commands;
}

}  // namespace holdfast::cmd
