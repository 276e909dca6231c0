#include "service/master/loop.h"

#include <algorithm>
#include <chrono>

namespace holdfast::master {

namespace {

constexpr auto kQuiet = std::chrono::seconds(3);
constexpr Duration kIdleWhenQuiet = 500ms;

}  // namespace

void Loop::start(Duration idle, Turn turn) {
  thread_ = std::thread([this, idle, turn = std::move(turn)] { run(idle, turn); });
}

void Loop::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Loop::post(Task task) {
  {
    Guard guard(mutex_);
    if (stopping_) return false;
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
  return true;
}

void Loop::wake() {
  {
    Guard guard(mutex_);
    if (woken_) return;
    woken_ = true;
  }
  changed_.notify_one();
}

void Loop::run(Duration idle, const Turn& turn) {
  Duration due{0};
  auto last_task = std::chrono::steady_clock::now();
  for (;;) {
    std::deque<Task> tasks;
    bool stopping = false;
    {
      Guard guard(mutex_);
      const auto ready = [this]() HOLDFAST_NO_ANALYSIS { return stopping_ || woken_ || !tasks_.empty(); };
      const auto now = std::chrono::steady_clock::now();
      changed_.wait_for(mutex_, now - last_task < kQuiet ? idle : std::clamp(due, idle, kIdleWhenQuiet), ready);
      if (!tasks_.empty()) last_task = now;
      tasks.swap(tasks_);
      woken_ = false;
      stopping = stopping_;
    }
    for (const Task& task : tasks) task();
    if (stopping && tasks.empty()) return;
    due = turn();
  }
}

}  // namespace holdfast::master
