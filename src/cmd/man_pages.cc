#include "cmd/man_pages.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "cmd/command.h"
#include "cmd/mfs/command_line.h"
#include "cmd/mfs/config.h"
#include "cmd/paths.h"
#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

constexpr std::string_view kProgram = "holdfast";
const mfs::Role* const kRoles[] = {&mfs::kMasterRole, &mfs::kChunkserverRole, &mfs::kMetaloggerRole};

// Text for a line of its own: nothing in it is an order to roff, and a dash stays one that can be copied.
std::string roff(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    at_start = c == '\n';
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return text;
}

std::string head(const std::string& name, int section, std::string_view summary) {
  return fmt::format(".TH {} {} \"\" \"{} {}\" \"Holdfast\"\n.SH NAME\n{} \\- {}\n", upper(roff(name)), section, kProgram,
                     release_text(), roff(name), roff(summary));
}

std::string as_it_stands(std::string_view text) { return fmt::format(".nf\n{}{}.fi\n", roff(text), text.ends_with('\n') ? "" : "\n"); }

// A description, whose lines are indented by two blanks but for the first. What is indented further stays as it is.
std::string prose(std::string_view text) {
  std::string out, kept;
  const auto flush = [&] {
    if (!kept.empty()) out += as_it_stands(kept);
    kept.clear();
  };
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with("  ")) line.remove_prefix(2);
    if (line.starts_with("  ")) {
      kept += std::string(line) + "\n";
    } else {
      flush();
      out += roff(line) + "\n";
    }
  }
  flush();
  return out;
}

std::string list_of(const FlagSet& flags) {
  std::string out;
  for (const auto& flag : flags.descriptions()) {
    out += ".TP\n.B \\-" + roff(flag.name);
    if (!flag.word.empty()) out += " \\fI" + roff(flag.word) + "\\fR";
    out += "\n" + roff(flag.help) + (flag.fallback.empty() ? "" : roff(" (default " + flag.fallback + ")")) + "\n";
  }
  return out;
}

std::string see_also(const std::vector<std::pair<std::string, int>>& pages) {
  std::string out = ".SH SEE ALSO\n";
  for (std::size_t i = 0; i < pages.size(); ++i) {
    out += fmt::format(".BR {} ({}){}\n", roff(pages[i].first), pages[i].second, i + 1 < pages.size() ? "," : "");
  }
  return out;
}

// ---- the pages -----------------------------------------------------------------------------------------------------

ManPage page_of_program() {
  const std::string name(kProgram);
  std::string text = head(name, 1, "a distributed file store without a single point of failure");
  text += ".SH SYNOPSIS\n.B holdfast\n[global flags] \\fIcommand\\fR [flags] [arguments]\n";
  text +=
      ".SH DESCRIPTION\n"
      "One program plays every role: masters, which agree among themselves by Raft and know where files are, volume servers,\n"
      "which store them, and the tools. Its other name\n.B weed\n"
      "is for those who know it by that.\n"
      ".SH COMMANDS\n";
  for (const auto& command : commands()) {
    text += fmt::format(".TP\n.B {}\n{}\n", roff(command.name), roff(command.summary));
  }
  FlagSet globals("WEED_");
  declare_global(globals);
  text += ".SH GLOBAL FLAGS\nThey stand before the command.\n" + list_of(globals);
  text +=
      ".SH ENVIRONMENT\n"
      "A flag that was not given is taken from the environment: of a command under its name in upper case, with dots and\n"
      "dashes as underscores\n.RB ( IP_BIND ),\n"
      "a global one with\n.B WEED_\nbefore it. Each key of a settings file likewise:\n.BR WEED_JWT_SIGNING_KEY .\n"
      ".SH FILES\n"
      ".IR security.toml ,\n.IR master.toml\nand\n.I volume.toml\n"
      "are searched in \\-config_dir, the working folder, $HOME/.seaweedfs, /usr/local/etc/seaweedfs and /etc/seaweedfs.\n"
      ".SH EXIT STATUS\n"
      "0: done, or a server that was stopped. 2: the command line is wrong, or the command failed. 130: interrupted. 255: a\n"
      "server cannot start or go on. Some commands say more on their own pages.\n";
  std::vector<std::pair<std::string, int>> others;
  for (const auto& command : commands()) others.emplace_back(name + "-" + std::string(command.name), 1);
  for (const auto* role : kRoles) others.emplace_back(std::string(role->name), 8);
  return {name, 1, text + see_also(others)};
}

ManPage page_of(const Command& command) {
  const std::string name = fmt::format("{}-{}", kProgram, command.name);
  std::string text = head(name, 1, command.summary) + ".SH SYNOPSIS\n.nf\n";
  std::string_view usage = command.usage;
  while (!usage.empty()) {  // further lines stand under the first, as in the usage text
    const auto end = usage.find('\n');
    auto line = usage.substr(0, end);
    usage.remove_prefix(end == std::string_view::npos ? usage.size() : end + 1);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    text += fmt::format("{} {}\n", kProgram, roff(line));
  }
  text += ".fi\n.SH DESCRIPTION\n" + prose(command.long_text);
  FlagSet flags;
  command.declare(flags);
  text += ".SH FLAGS\n" + list_of(flags);
  if (command.name == "kv") {
    for (const auto action : kv_actions()) {
      FlagSet of_action;
      CHECK(declare_kv_action(action, of_action));
      text += fmt::format(".SH FLAGS OF KV {}\n", upper(std::string(action))) + list_of(of_action);
    }
  }
  return {name, 1, text + see_also({{std::string(kProgram), 1}})};
}

ManPage page_of_daemon(const mfs::Role& role) {
  const std::string name(role.name);
  std::string text = head(name, 8, role.summary);
  text += ".SH SYNOPSIS\n" + as_it_stands(mfs::usage_of(role));
  return {name, 8, text + see_also({{name + ".cfg", 5}, {std::string(kProgram), 1}})};
}

ManPage page_of_settings(const mfs::Role& role) {
  const std::string name = std::string(role.name) + ".cfg";
  std::string text = head(name, 5, fmt::format("settings of {}", role.name));
  text += fmt::format(".SH DESCRIPTION\nLines NAME = VALUE. {}(8) reads them from {}; a sample is printed by\n"
                      "`holdfast scaffold \\-config={}`:\n.PP\n",
                      roff(role.name), roff(mfs::default_config_path(role)), roff(role.name));
  return {name, 5, text + as_it_stands(mfs::sample_of(role)) + see_also({{std::string(role.name), 8}})};
}

// False when it was not written; that has been told.
bool write_page(const std::string& folder, const ManPage& page) {
  const std::string path = folder + "/" + page.file();
  std::FILE* file = std::fopen(path.c_str(), "w");
  bool is_written = file != nullptr && std::fwrite(page.text.data(), 1, page.text.size(), file) == page.text.size();
  const int error = errno;
  if (file != nullptr) is_written = std::fclose(file) == 0 && is_written;
  if (!is_written) std::fprintf(stderr, "write %s: %s\n", path.c_str(), errno_words(error).c_str());
  return is_written;
}

}  // namespace

std::vector<ManPage> man_pages() {
  std::vector<ManPage> out{page_of_program()};
  for (const auto& command : commands()) out.push_back(page_of(command));
  for (const auto* role : kRoles) {
    out.push_back(page_of_daemon(*role));
    out.push_back(page_of_settings(*role));
  }
  return out;
}

int run_man(const Call& call) {
  const auto folder = expand_home(call.flags.string("output"));
  const auto pages = man_pages();
  if (!folder.empty()) {
    for (const auto& page : pages) {
      if (!write_page(folder, page)) return 2;
    }
    return 0;
  }
  const std::string wanted = call.arguments.empty() ? std::string(kProgram) : call.arguments[0];
  for (const auto& page : pages) {
    if (page.name != wanted && page.name != fmt::format("{}-{}", kProgram, wanted)) continue;
    std::fwrite(page.text.data(), 1, page.text.size(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 2;
  }
  std::fprintf(stderr, "there is no page of \"%s\"; `help` lists the commands\n", wanted.c_str());
  return kFailed;
}

}  // namespace holdfast::cmd
