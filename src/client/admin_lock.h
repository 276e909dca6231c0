// AdminLock: the cluster's lock for administrators (spec/weed-grpc 5.5): a lease of ten seconds that the leader gives,
// renewed every four on a thread of its own for as long as it is wanted.
//
// It is lost when the leader gave it to somebody else, or when it could not be renewed for as long as it may run: then
// is_held() is false at once, `lost` is called, and nothing renews it any more. What was begun under it should stop at its
// next step.
//
// Thread-safe; take() and release() by one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "client/master_client.h"

namespace holdfast::client {

class AdminLock {
 public:
  static constexpr Duration kRenewEvery = std::chrono::seconds(4);
  static constexpr Duration kLength = std::chrono::seconds(10);

  struct Options {
    std::string name = "shell";
    std::string client;   // shown to those who wait
    std::string message;  // likewise
    std::function<void(const std::string& why)> lost;
    std::function<void(const std::string& holder)> waiting;  // once, when another one has it
  };
  // `masters` outlives this.
  AdminLock(MasterClient& masters, Options options);
  ~AdminLock();  // gives it back

  // Waits up to `patience` while another one has it. Code::busy names who.
  Status take(Duration patience);
  void release();
  bool is_held() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::client
