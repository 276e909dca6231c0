#include "service/volume/tiers.h"

#include "base/log.h"
#include "io/s3/s3_store.h"

namespace holdfast::volume {
namespace {

Result<std::shared_ptr<io::ObjectStore>> make_store(const TierBackend& backend) {
  if (backend.type != "s3") {
    return Error(Code::unsupported, backend.name() + ": this build knows storage backends of type s3, not \"" + backend.type + "\"");
  }
  const auto property = [&](const char* name) {
    const auto found = backend.properties.find(name);
    return found == backend.properties.end() ? std::string() : found->second;
  };
  auto made = io::s3::make_s3_store({.name = backend.name(),
                                     .endpoint = property("endpoint"),
                                     .region = property("region"),
                                     .bucket = property("bucket"),
                                     .access_key = property("aws_access_key_id"),
                                     .secret_key = property("aws_secret_access_key"),
                                     .storage_class = property("storage_class")});
  if (!made) return made.error();
  return std::shared_ptr<io::ObjectStore>(std::move(*made));
}

}  // namespace

void Tiers::set(const std::vector<TierBackend>& backends) {
  std::map<std::string, Tier, std::less<>> next;
  Guard guard(mutex_);
  for (const auto& backend : backends) {
    const auto known = tiers_.find(backend.name());
    if (known != tiers_.end() && known->second.backend == backend) {
      next.insert(*known);
      continue;
    }
    auto store = make_store(backend);
    if (store) {
      LOG_INFO("{}: volumes may lie there, in the bucket that the master names", backend.name());
    } else {
      LOG_ERROR("{}", store.error().what());
    }
    next.insert_or_assign(backend.name(), Tier{backend, std::move(store)});
  }
  tiers_.swap(next);
  is_told_ = true;
}

Result<std::shared_ptr<io::ObjectStore>> Tiers::find(std::string_view name) {
  Guard guard(mutex_);
  if (const auto found = tiers_.find(name); found != tiers_.end()) return found->second.store;
  const std::string wanted(name);
  if (!is_told_) return Error(Code::not_found, "no master has told yet where " + wanted + " is");
  if (tiers_.empty()) return Error(Code::not_found, wanted + " is no storage backend: the masters' master.toml names none");
  std::string known;
  for (const auto& [one, tier] : tiers_) known += (known.empty() ? "" : ", ") + one;
  return Error(Code::not_found, wanted + " is no storage backend: the masters' master.toml names " + known);
}

WorkPool& Tiers::pool() {
  Guard guard(pool_mutex_);
  if (!pool_) pool_ = std::make_unique<WorkPool>(kThreads);
  return *pool_;
}

void Tiers::stop() {
  Guard guard(pool_mutex_);
  if (pool_) pool_->stop();
}

}  // namespace holdfast::volume
