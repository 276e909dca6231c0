// What the files of the master's page share. Internal: master_page.cc has the frame, the verdict, volume servers and
// collections; master_page_masters.cc the masters and who may vote; master_page_watch.cc alarms, who reaches whom, and the
// chart.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "front/http/master_page.h"

namespace holdfast::front::page {

enum class Health { well, weak, broken };
const char* css(Health health);

std::string html(std::string_view text);

template <typename... Args>
void put(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

std::string plural(std::uint64_t n, const char* one, const char* many);
std::string joined(const std::vector<std::string>& parts);

// Who votes. A witness is no master, though it has a vote.
struct Count {
  std::uint64_t masters = 0;
  std::uint64_t heard = 0;  // of these
  bool witness = false;
  bool witness_heard = false;
  std::vector<std::string> unheard;  // addresses, of a witness with that word

  std::uint64_t voters() const { return masters + (witness ? 1 : 0); }
  std::uint64_t majority() const { return voters() / 2 + 1; }
};
Count count_voters(const master::View& view);

std::string address_of(const master::MemberView& member);
std::string name_of(const master::View& view, NodeId id);
std::vector<master::MemberView> by_address(const master::View& view);

void put_alarms(std::string& out, const MasterPage& page);
void put_masters(std::string& out, const MasterPage& page);
void put_reach(std::string& out, const MasterPage& page);
void put_history(std::string& out, const MasterPage& page);
void put_healing(std::string& out, const MasterPage& page);

}  // namespace holdfast::front::page
