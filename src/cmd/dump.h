// Images and changes as JSON lines, for `metarestore -dump`: what the masters agreed on, for people and scripts.
#pragma once

#include <string>

#include "storage/backup/change_log.h"
#include "storage/backup/image.h"

namespace holdfast::cmd {

// One line for the head and what is in the registry, one for each key of the key-value space.
std::string dump_of(const backup::Image& image);

// One line, with each request of the entry taken apart.
std::string dump_of(const std::string& log_name, const backup::Change& change);

}  // namespace holdfast::cmd
