// sim: runs seeds of the simulator.
//
//   sim --seeds=1000 --first=1 --steps=40000 [--jobs=2]   seeds first..first+seeds-1, in `jobs` processes
//   sim --seed=42 [--trace]                               one seed, with every event on a line
//   sim --file=seeds.txt                                  the seeds that once failed
//   sim --mutants [--file=seeds.txt] [--budget=200]       every mutant of the core must be caught
//   sim --survival                                        which losses are survived, as a table (docs/witness.md)
//   sim --mutant=7 --seeds=50                             where one mutant is caught
//   sim --seed=42 --history=file                          one seed within the model's bounds, for model/trace.py
//   sim ... --within-model                                three masters that stay, whole disks, one length of lease; with
//                                                         --witnesses=always two masters and a witness
//   sim ... --no-leases                                   without leases, which half of the seeds have otherwise
//   sim ... --witnesses=none|some|always                  seeds with a witness: about a third when nothing is said
//
// Exit 0 when all was well. A failure prints the seed, what was wrong, and the line that replays it.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "test/sim/survival.h"
#include "test/sim/world.h"

namespace {

using holdfast::raft::kMutationLast;
using holdfast::raft::Mutation;
using holdfast::sim::Events;
using holdfast::sim::Outcome;
using holdfast::sim::Witnesses;
using holdfast::sim::World;
using holdfast::sim::WorldOptions;

struct Arguments {
  std::uint64_t seeds = 0;
  std::uint64_t first = 1;
  std::uint64_t steps = 40'000;
  std::uint64_t jobs = 1;
  std::uint64_t budget = 300;
  std::uint64_t mutant = 0;
  bool one = false;
  bool trace = false;
  bool mutants = false;
  bool quiet = false;
  bool leases = true;
  bool within_model = false;
  std::string history;
  Witnesses witnesses = Witnesses::some;
  std::string file;
};

// What must have happened at least once in many seeds, or the run proves nothing.
const char* const kMustHappen[] = {
    "leaders elected", "votes", "keys assigned", "volume ids given", "reads served", "writes acknowledged",
    "writes of unknown outcome", "requests answered again", "orders obeyed", "orders refused", "folders adopted",
    "power losses", "kills", "crashes around a sync", "syncs that failed", "processes paused", "clocks stopped",
    "messages replayed", "snapshots taken", "snapshots installed", "truncations", "conflicts", "hand-overs",
    "wrong suspicions", "leaders without a quorum", "reads by lease", "reads by lease in the wait",
    "hand-overs with a release", "votes that release an own lease", "waits ended by a release",
    "leaders that had to wait", "certificates", "changes of members", "members told of their removal",
    "configurations committed"};
const char* const kMustHappenWithout[] = {  // a witness
    "disks wiped", "disks rotted", "writes misdirected", "starts with a damaged log", "damaged logs made whole"};
const char* const kMustHappenWithWitness[] = {
    "records taken by witnesses", "leaders that went on alone", "masters back in sync", "elections barred by the record",
    "witnesses that died", "witnesses wiped", "witnesses told of their removal", "losses of one of three survived"};

// The seed under way, for the handler of a failed CHECK.
volatile std::uint64_t current_seed = 0;
volatile std::uint64_t current_steps = 0;
volatile std::uint64_t current_mutant = 0;

void on_abort(int) {
  char line[200];
  const int n = std::snprintf(line, sizeof line, "seed %llu: a CHECK failed\n  replay: sim --seed=%llu --steps=%llu%s\n",
                              static_cast<unsigned long long>(current_seed),
                              static_cast<unsigned long long>(current_seed),
                              static_cast<unsigned long long>(current_steps),
                              current_mutant != 0 ? " (of a mutant)" : "");
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line, static_cast<std::size_t>(n));
  _exit(3);
}

Outcome run_one(std::uint64_t seed, const Arguments& args, std::uint64_t mutant) {
  current_seed = seed;
  current_steps = args.steps;
  current_mutant = mutant;
  World world(WorldOptions{.seed = seed,
                           .steps = args.steps,
                           .mutation = static_cast<Mutation>(mutant),
                           .trace = args.trace,
                           .witnesses = args.witnesses,
                           .within_model = args.within_model,
                           .history = args.history,
                           .leases = args.leases});
  auto outcome = world.run();
  if (outcome.failure) {
    std::fprintf(stderr, "seed %llu: %s\n  replay: sim --seed=%llu --steps=%llu%s --trace\n",
                 static_cast<unsigned long long>(seed), outcome.failure->c_str(),
                 static_cast<unsigned long long>(seed), static_cast<unsigned long long>(args.steps),
                 fmt::format("{}{}{}{}", args.leases ? "" : " --no-leases", args.within_model ? " --within-model" : "",
                             args.witnesses == Witnesses::always ? " --witnesses=always"
                             : args.witnesses == Witnesses::none ? " --witnesses=none"
                                                                 : "",
                             mutant != 0 ? fmt::format(" --mutant={}", mutant) : "")
                     .c_str());
  }
  return outcome;
}

// Runs every jobs-th seed from `first + offset`; writes its counts to `out`.
int run_share(const Arguments& args, std::uint64_t offset, int out) {
  Events events;
  std::uint64_t steps = 0;
  std::uint64_t clean = 0;
  int status = 0;
  for (auto i = offset; i < args.seeds; i += args.jobs) {
    const auto outcome = run_one(args.first + i, args, args.mutant);
    steps += outcome.steps;
    events.add(outcome.events);
    if (outcome.failure) {
      status = 1;
      if (args.mutant != 0) break;
    } else {
      ++clean;
    }
  }
  std::string text = fmt::format("{} {}\n", clean, steps);
  for (const auto& [what, count] : events.counts) text += fmt::format("{} {}\n", count, what);
  [[maybe_unused]] const auto written = write(out, text.data(), text.size());
  return status;
}

int run_seeds(const Arguments& args) {
  std::vector<std::pair<pid_t, int>> children;
  for (std::uint64_t job = 0; job < args.jobs; ++job) {
    int ends[2];
    if (pipe(ends) != 0) return 2;
    const auto child = fork();
    if (child == 0) {
      close(ends[0]);
      _exit(run_share(args, job, ends[1]));
    }
    close(ends[1]);
    children.emplace_back(child, ends[0]);
  }
  Events events;
  std::uint64_t clean = 0;
  std::uint64_t steps = 0;
  int status = 0;
  for (const auto& [child, end] : children) {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(end, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    close(end);
    std::istringstream lines(text);
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if (lines >> a >> b) {
      clean += a;
      steps += b;
    }
    std::string what;
    while (lines >> a && std::getline(lines >> std::ws, what)) events.count(what, a);
    int code = 0;
    waitpid(child, &code, 0);
    if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) status = 1;
  }
  if (!args.quiet) {
    for (const auto& [what, count] : events.counts) fmt::print("{:>14} {}\n", count, what);
    fmt::print("{} of {} seeds ran clean, {} steps\n", clean, args.seeds, steps);
  }
  if (args.seeds >= 100 && args.mutant == 0) {
    const auto require = [&](std::span<const char* const> list) {
      for (const auto* what : list) {
        if (events.counts[what] > 0) continue;
        std::fprintf(stderr, "nothing was proven: '%s' never happened\n", what);
        status = 1;
      }
    };
    require(kMustHappen);
    if (args.witnesses != Witnesses::always) require(kMustHappenWithout);
    if (args.witnesses != Witnesses::none) require(kMustHappenWithWitness);
  }
  return status;
}

struct Recorded {
  std::uint64_t seed = 0;
  std::uint64_t steps = 0;
  std::uint64_t mutant = 0;
  bool leases = false;
  bool witness = false;
};

// Lines of "seed steps [mutant] [leases] [witness]"; # begins a comment. Without the words the seed plays as it did before
// there were leases, or witnesses.
std::vector<Recorded> recorded(const std::string& path) {
  std::vector<Recorded> found;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    Recorded one;
    if (!(words >> one.seed >> one.steps)) continue;
    if (!(words >> one.mutant)) {
      one.mutant = 0;
      words.clear();
    }
    for (std::string word; words >> word;) {
      if (word == "leases") one.leases = true;
      if (word == "witness") one.witness = true;
    }
    found.push_back(one);
  }
  return found;
}

// In a process of its own, since a mutant may stop at a CHECK of the core; that counts as caught, too.
bool fails(std::uint64_t seed, const Arguments& args, std::uint64_t mutant) {
  std::fflush(stdout);
  const auto child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    if (mutant != 0) dup2(null, STDERR_FILENO);
    _exit(run_one(seed, args, mutant).failure ? 1 : 0);
  }
  int code = 0;
  waitpid(child, &code, 0);
  return !WIFEXITED(code) || WEXITSTATUS(code) != 0;
}

// Too shy for a budget of seeds: directed stories in core_test.cc fail with these mutants and say so of themselves.
const char* directed(std::uint64_t mutant) {
  switch (static_cast<Mutation>(mutant)) {
    case Mutation::vote_of_other_incarnation:
      return "core.raft.Election.AVoteAskedForBeforeACrashDoesNotCountAfterIt";
    case Mutation::commit_hint_unsynced:
      return "core.raft.Restart.TheCommitIndexOnDiskIsNeverAheadOfTheLogOnDisk";
    case Mutation::lease_of_learners:
      return "core.raft.Lease.GrantsOfLearnersCountForNothing";
    case Mutation::lease_cap_falls_at_once:
      return "core.raft.LeaseCap.MayBeLoweredOnlyWhenNothingLongerCanRun";
    case Mutation::lease_unasked_voter:
      return "core.raft.LeaseCap.AVoterGrantsNothingThatItsDiskDoesNotKnowOf";
    case Mutation::witness_forgets_vote:
      return "core.raft.AWitness.VotesOncePerTermAlsoAcrossARestart";
    case Mutation::snapshot_keeps_suffix:
      return "core.raft.Snapshot.ALogThatDoesNotLeadUpToItIsDropped";
    default:
      return nullptr;
  }
}

// Tries the recorded seed of each mutant first, then fresh ones.
int run_mutants(Arguments args) {
  int missed = 0;
  const auto known = recorded(args.file);
  for (std::uint64_t mutant = 1; mutant <= kMutationLast; ++mutant) {
    std::vector<Recorded> tries;
    for (const auto& one : known) {
      if (one.mutant == mutant) tries.push_back(one);
    }
    const auto* test = directed(mutant);
    const bool leases = mutant >= static_cast<std::uint64_t>(Mutation::lease_forgotten);
    const bool witness = mutant >= static_cast<std::uint64_t>(Mutation::witness_votes_for_anyone);
    for (std::uint64_t i = 0; i < args.budget && test == nullptr; ++i) {
      tries.push_back({args.first + i, args.steps, mutant, leases, witness});
    }
    const Recorded* caught = nullptr;
    for (const auto& one : tries) {
      auto run = args;
      run.steps = one.steps;
      run.leases = one.leases;
      run.witnesses = one.witness ? Witnesses::always : Witnesses::none;
      if (!fails(one.seed, run, mutant)) continue;
      // It must be the mutant that is caught, not something that is wrong anyway.
      if (fails(one.seed, run, 0)) {
        fmt::print("seed {} fails without any mutant\n", one.seed);
        return 1;
      }
      caught = &one;
      break;
    }
    if (caught == nullptr && test != nullptr) {
      fmt::print("mutant {:>2}: caught by {}\n", mutant, test);
      continue;
    }
    fmt::print("mutant {:>2}: {}\n", mutant,
               caught != nullptr ? fmt::format("caught by seed {} in {} steps{}", caught->seed, caught->steps,
                                               caught->witness ? " with a witness" : caught->leases ? " with leases" : "")
                                 : fmt::format("NOT caught by {} seeds", tries.size()));
    std::fflush(stdout);
    if (caught == nullptr) ++missed;
  }
  return missed == 0 ? 0 : 1;
}

// The seeds that once failed.
int run_file(Arguments args) {
  int status = 0;
  std::uint64_t ran = 0;
  for (const auto& one : recorded(args.file)) {
    if (one.mutant != 0) continue;
    ++ran;
    args.steps = one.steps;
    args.leases = one.leases;
    args.witnesses = one.witness ? Witnesses::always : Witnesses::none;
    if (fails(one.seed, args, 0)) {
      fmt::print("seed {} fails again\n", one.seed);
      status = 1;
    }
  }
  fmt::print("{} recorded seeds ran\n", ran);
  if (ran == 0) {
    std::fprintf(stderr, "no seeds in %s\n", args.file.c_str());
    return 2;
  }
  return status;
}

bool take(const char* argument, const char* name, std::uint64_t& value) {
  const auto length = std::strlen(name);
  if (std::strncmp(argument, name, length) != 0 || argument[length] != '=') return false;
  value = std::strtoull(argument + length + 1, nullptr, 10);
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  Arguments args;
  std::uint64_t seed = 0;
  for (int i = 1; i < count; ++i) {
    const char* a = arguments[i];
    if (take(a, "--seeds", args.seeds) || take(a, "--first", args.first) || take(a, "--steps", args.steps) ||
        take(a, "--jobs", args.jobs) || take(a, "--budget", args.budget) || take(a, "--mutant", args.mutant)) {
      continue;
    }
    if (take(a, "--seed", seed)) {
      args.one = true;
    } else if (std::strcmp(a, "--survival") == 0) {
      fmt::print("{}", holdfast::sim::survival_table());
      return 0;
    } else if (std::strcmp(a, "--trace") == 0) {
      args.trace = true;
    } else if (std::strcmp(a, "--mutants") == 0) {
      args.mutants = true;
    } else if (std::strcmp(a, "--no-leases") == 0) {
      args.leases = false;
    } else if (std::strcmp(a, "--witnesses=none") == 0) {
      args.witnesses = Witnesses::none;
    } else if (std::strcmp(a, "--witnesses=some") == 0) {
      args.witnesses = Witnesses::some;
    } else if (std::strcmp(a, "--witnesses=always") == 0) {
      args.witnesses = Witnesses::always;
    } else if (std::strcmp(a, "--within-model") == 0) {
      args.within_model = true;
    } else if (std::strncmp(a, "--history=", 10) == 0) {
      args.history = a + 10;
      args.within_model = true;
    } else if (std::strcmp(a, "--quiet") == 0) {
      args.quiet = true;
    } else if (std::strncmp(a, "--file=", 7) == 0) {
      args.file = a + 7;
    } else {
      std::fprintf(stderr, "sim: unknown argument %s; see the head of test/sim/main.cc\n", a);
      return 2;
    }
  }
  std::signal(SIGABRT, on_abort);
  if (args.within_model && args.witnesses == Witnesses::some) args.witnesses = Witnesses::none;
  if (!args.history.empty() && !(args.one && std::ofstream(args.history))) {
    std::fprintf(stderr, "sim: --history=file takes a --seed, and a file that can be written\n");
    return 2;
  }
  if (args.one) {
    const auto outcome = run_one(seed, args, args.mutant);
    fmt::print("seed {}: {} steps, digest {:016x}, {}\n", seed, outcome.steps, outcome.digest,
               outcome.failure ? *outcome.failure : "clean");
    return outcome.failure ? 1 : 0;
  }
  if (args.mutants) return run_mutants(args);
  if (!args.file.empty()) return run_file(args);
  if (args.seeds == 0) args.seeds = 100;
  if (args.jobs == 0) args.jobs = 1;
  return run_seeds(args);
}
