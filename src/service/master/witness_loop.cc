#include "service/master/witness_loop.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/log.h"

namespace holdfast::master {
namespace {

void tell(const raft::InSync& record) {
  std::string who;
  for (const auto& id : record.members) who += (who.empty() ? "" : ", ") + text(id).substr(0, 8);
  LOG_INFO("the masters that have everything as of term {}: {}", text(record.term), who);
}

}  // namespace

WitnessLoop::WitnessLoop(raft::Witness::Options options, storage::WitnessFile file, io::Clock& clock, Transport& links)
    : clock_(clock),
      links_(links),
      witness_(std::move(options), file.state(), raft::Time(clock.now(), clock.raw())),
      file_(std::move(file)) {
  thread_ = std::thread([this] { run(); });
}

WitnessLoop::~WitnessLoop() { stop(); }

void WitnessLoop::stop() {
  silent_ = true;
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

WitnessLoop::Outcome WitnessLoop::step(std::span<const raft::Message> messages) {
  if (silent_) return Outcome::goes_on;
  witness_.persisted(durable_);
  auto out = witness_.step(raft::Time(clock_.now(), clock_.raw()), messages);
  links_.send(out.now);
  if (out.removed) {
    silent_ = true;
    return Outcome::removed;
  }
  if (out.sequence != 0) enqueue(std::move(out));
  return Outcome::goes_on;
}

void WitnessLoop::enqueue(raft::Witness::Output out) {
  {
    Guard guard(mutex_);
    waiting_.sequence = out.sequence;
    if (out.state) waiting_.state = std::move(out.state);
    const auto room = kPromisesWaitingMax - waiting_.after_sync.size();
    const auto end = out.after_sync.begin() + static_cast<std::ptrdiff_t>(std::min(room, out.after_sync.size()));
    std::move(out.after_sync.begin(), end, std::back_inserter(waiting_.after_sync));
  }
  arrived_.notify_one();
}

void WitnessLoop::run() {
  for (;;) {
    Work work;
    {
      Guard guard(mutex_);
      while (waiting_.sequence == 0 && !stopping_) arrived_.wait(mutex_);
      if (stopping_) return;
      work = std::exchange(waiting_, Work());
    }
    if (work.state) {
      const auto before = file_.state().in_sync;
      if (auto done = file_.keep(*work.state); !done) {
        silent_ = true;
        LOG_ERROR("the witness cannot write and falls silent: {}. Check the disk, then start this volume server again",
                  done.error().what());
        return;
      }
      if (work.state->in_sync != before) tell(work.state->in_sync);
    }
    durable_ = work.sequence;
    if (!silent_) links_.send(work.after_sync);
  }
}

}  // namespace holdfast::master
