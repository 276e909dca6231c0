// FakeTier: a remote tier in memory, for tests. All its names are one store. Thread-safe but for what a test sets.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "storage/volume/remote_tier.h"

namespace holdfast::volume {

class FakeStore final : public io::ObjectStore {
 public:
  Status put(const std::string& key, const io::File& file, std::uint64_t bytes, const Progress& progress) override {
    if (auto may = asked("put", key); !may) return may;
    std::string content(bytes, '\0');
    const auto got = file.read(0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()});
    if (!got) return got.error();
    if (progress && !progress(bytes / 2)) return Error(Code::unavailable, "the upload was called off");
    Guard guard(mutex_);
    objects_[key] = std::move(content);
    return {};
  }
  Result<std::uint64_t> size(const std::string& key) override {
    if (auto may = asked("size", key); !may) return may.error();
    Guard guard(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return Error(Code::not_found, key + ": NoSuchKey");
    return found->second.size();
  }
  Status read(const std::string& key, std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (auto may = asked("read", key); !may) return may;
    Guard guard(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return Error(Code::not_found, key + ": NoSuchKey");
    if (offset + out.size() > found->second.size()) return Error(Code::corrupt, key + ": ends early");
    std::copy_n(found->second.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Status remove(const std::string& key) override {
    if (auto may = asked("remove", key); !may) return may;
    Guard guard(mutex_);
    objects_.erase(key);
    return {};
  }

  std::map<std::string, std::string> objects() const {
    Guard guard(mutex_);
    return objects_;
  }
  void set_objects(std::map<std::string, std::string> objects) {
    Guard guard(mutex_);
    objects_ = std::move(objects);
  }
  // Since it was asked last.
  std::vector<std::string> take_requests() {
    Guard guard(mutex_);
    return std::exchange(requests_, {});
  }

  // Asked before each request, which answers what it says unless that is ok.
  std::function<Status(const std::string& what, const std::string& key)> before;

 private:
  Status asked(const std::string& what, const std::string& key) {
    {
      Guard guard(mutex_);
      requests_.push_back(what);
    }
    return before ? before(what, key) : Status();
  }

  mutable Mutex mutex_;  // leaf
  std::map<std::string, std::string> objects_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<std::string> requests_ HOLDFAST_GUARDED_BY(mutex_);
};

class FakeTier final : public RemoteTier {
 public:
  explicit FakeTier(int threads = 0) : pool_(threads) {}

  Result<std::shared_ptr<io::ObjectStore>> find(std::string_view name) override {
    if (!is_told) return Error(Code::not_found, "no master has told yet where " + std::string(name) + " is");
    return std::shared_ptr<io::ObjectStore>(store);
  }
  WorkPool& pool() override { return pool_; }

  std::shared_ptr<FakeStore> store = std::make_shared<FakeStore>();
  bool is_told = true;

 private:
  WorkPool pool_;
};

}  // namespace holdfast::volume
