// `recover`: when the majority of the masters is gone for good, a cluster of what one of them holds
// (docs/decisions/recover.md). Says what may be lost, asks, and does it; the master is started afterwards as always.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/plan.h"
#include "cmd/settings.h"
#include "cmd/servers.h"
#include "cmd/signals.h"
#include "cmd/world.h"
#include "service/master/recovery.h"

namespace holdfast::cmd {
namespace {

using master::OtherMember;
using master::RecoveryReport;

constexpr int kRefused = 1;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

std::string of_here(const RecoveryReport& report) {
  std::string out = fmt::format(
      "Master {} ({}), {} of cluster {}\n"
      "  folder           {}\n"
      "  term             {}\n"
      "  last log entry   {}, of term {}; up to {} it is known here to be agreed on\n"
      "  what it knows    generation {}, volume ids up to {}, file keys below {}, {} folders of volume servers\n",
      report.address, text(report.node), report.voter ? "a voter" : "a learner", text(report.cluster), report.folder,
      text(report.term), text(report.last.index), text(report.last.term), text(report.commit), text(report.generation),
      text(report.max_volume_id), report.next_key, report.folders);
  if (report.damage) {
    out += fmt::format("  damaged          entries {} to {} were on this disk and cannot be read\n",
                       text(report.damage->first), text(report.damage->last.index));
  }
  return out;
}

std::string of_others(const std::vector<OtherMember>& others) {
  std::string out;
  for (const auto& other : others) {
    out += fmt::format("  {:<16} {} {}, {}\n", out.empty() ? "other members" : "", other.member.address,
                       other.member.voter ? "votes" : "learns", other.text);
  }
  return out;
}

std::string of_losses(const RecoveryReport& report) {
  return fmt::format(
      "\n"
      "What may be lost: whatever the others agreed on after entry {}. How far they were cannot be known without them.\n"
      "  File keys and volume ids they gave out: 2^40 keys and 4096 ids are skipped, so none is given twice.\n"
      "  Changes of members and settings since then.\n"
      "  No file: files are on the volume servers, which report by themselves and are not touched.\n"
      "{}"
      "Be sure that the others are gone, not only out of reach: a majority somewhere else would go on beside this one.\n"
      "If one of the others can be started again, do that instead: a majority of voters needs no recovery and loses nothing.\n"
      "If several are left, recover the one with the highest term, and of those the one with the highest entry.\n"
      "\n"
      "This master then goes on as a new cluster, alone, until others join it. The folders of the old members are void: one\n"
      "that comes back is told so and ends; with its member folder removed it joins as a new member.\n",
      text(report.last.index),
      report.voter ? "" : "This one was a learner, which may be behind any voter: recover a voter if one is left.\n");
}

bool confirmed() {
  const Interruption interruption([] { put(stderr, "\nrecover: nothing was changed\n"); });
  put(stdout, "\nType yes to go on: ");
  std::string line;
  return std::getline(std::cin, line) && line == "yes";
}

// Why it must not be done, or "".
std::string objection(const RecoveryReport& report, const std::vector<OtherMember>& others) {
  std::size_t alive = report.voter ? 1 : 0;
  std::string names;
  for (const auto& other : others) {
    if (other.succeeded) {
      return fmt::format("{} {}. There must be one successor only: remove {} and start this master with -peers={}",
                         other.member.address, other.text, report.folder, other.member.address);
    }
    if (!other.same_cluster || !other.member.voter) continue;
    ++alive;
    names += (names.empty() ? "" : ", ") + other.member.address;
  }
  const auto majority = report.configuration.majority();
  if (alive < majority) return "";
  return fmt::format("with this master {} of {} voters are alive, which is a majority ({}): start it as always, nothing needs to "
                     "be recovered. If those are to be given up, stop them first",
                     alive, report.configuration.voter_count(), names);
}

}  // namespace

int run_recover(const Call& call) {
  const auto port = call.flags.integer("port");
  if (call.flags.string("mdir").empty() || port < 1 || port > 65535 || !call.arguments.empty()) {
    put(stderr, "recover: -mdir must name the folder that the master was started with, and -port its port\n");
    return kFailed;
  }
  const auto settings = load_settings(call.globals.string("config_dir"), process_environment);
  auto secret = settings ? cluster_secret(call.flags.string("clusterSecretFile"), *settings) : settings.error();
  if (!secret) {
    put(stderr, fmt::format("recover: {}\n", secret.error().what()));
    return kRefused;
  }
  World world(1);
  auto recovery = master::Recovery::open({.folder = expand_home(call.flags.string("mdir")),
                                          .port = static_cast<std::uint16_t>(port),
                                          .feature_level = feature_level(),
                                          .cluster_secret = std::move(*secret)},
                                         world.disk, world.random);
  if (!recovery) {
    put(stderr, fmt::format("recover: {}\n", recovery.error().what()));
    return kRefused;
  }
  const auto& report = (*recovery)->report();
  if (report.interrupted) {
    put(stdout, fmt::format("A recovery of {} was begun before and did not end: going on with it.\n", report.folder));
  } else {
    const auto others = (*recovery)->ask_others(world.clock);
    put(stdout, of_here(report) + of_others(others));
    if (const auto why = objection(report, others); !why.empty()) {
      put(stderr, fmt::format("\nrecover: refused: {}.\n", why));
      return kRefused;
    }
    put(stdout, of_losses(report));
    if (!call.flags.boolean("yes") && !confirmed()) {
      put(stderr, "recover: nothing was changed\n");
      return kRefused;
    }
  }
  const auto aside = (*recovery)->carry_out();
  if (!aside) {
    put(stderr, fmt::format("recover: {}\n", aside.error().what()));
    return kRefused;
  }
  put(stdout, fmt::format("\nDone; what was there before is kept in {}.\n"
                          "Start this master as always. Others join it when they are started with an empty folder and -peers={}\n",
                          *aside, report.address));
  return 0;
}

}  // namespace holdfast::cmd
