// Manual pages in roff, made from the tables that commands, flags and settings are declared in (`man`).
#pragma once

#include <string>
#include <vector>

namespace holdfast::cmd {

struct ManPage {
  std::string name;  // "holdfast-master"
  int section = 1;
  std::string text;

  std::string file() const { return name + "." + std::to_string(section); }
};

// holdfast(1), a page for each command, and for each daemon of MooseFS's kind a page and one of its settings.
std::vector<ManPage> man_pages();

}  // namespace holdfast::cmd
