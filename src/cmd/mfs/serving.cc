#include "cmd/mfs/serving.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "cmd/master_role.h"
#include "cmd/mfs/translate.h"
#include "cmd/volume_role.h"
#include "service/metalogger/metalogger.h"
#include "service/master/restored_state.h"
#include "service/master/runtime.h"

namespace holdfast::mfs {
namespace {

class MasterServing final : public Serving {
 public:
  explicit MasterServing(cmd::MasterPlan plan) : plan_(std::move(plan)), world_(cmd::master_loops()) {}

  Status start() {
    auto role = cmd::MasterRole::start(plan_, world_);
    if (!role) return role.error();
    role_ = std::move(*role);
    return {};
  }

  std::string describe() const override { return role_->describe(); }
  void reload(const Config&) override {}  // what a master takes without a restart is the daemon's own
  void stop() override { role_->stop(); }

 private:
  const cmd::MasterPlan plan_;
  cmd::World world_;
  std::unique_ptr<cmd::MasterRole> role_;
};

class ChunkserverServing final : public Serving {
 public:
  ChunkserverServing(cmd::VolumePlan plan, std::string disks)
      : plan_(std::move(plan)), disks_(std::move(disks)), world_(cmd::volume_loops()) {}

  Status start() {
    auto role = cmd::VolumeRole::start(plan_, world_, cmd::new_process_id(world_));
    if (!role) return role.error();
    role_ = std::move(*role);
    return {};
  }

  std::string describe() const override { return role_->describe(); }
  // Volumes that have appeared are loaded; a folder that has takes a restart.
  void reload(const Config& config) override {
    bool is_missing = false;
    const auto& path = config.string("HDD_CONF_FILENAME");
    if (const auto disks = read_config_file(path, &is_missing); !disks) {
      LOG_WARNING("reload: {}", disks.error().what());
    } else if (*disks != disks_) {
      LOG_WARNING("reload: {} has changed, which only a restart takes", path);
    }
    role_->reload({.white_list = plan_.white_list, .jwt = plan_.jwt});
  }
  void stop() override { role_->stop(); }

 private:
  const cmd::VolumePlan plan_;
  const std::string disks_;  // mfshdd.cfg, as it was at the start
  cmd::World world_;
  std::unique_ptr<cmd::VolumeRole> role_;
};

class MetaloggerServing final : public Serving {
 public:
  explicit MetaloggerServing(metalogger::Options options) : options_(std::move(options)), world_(1) {}

  Status start() {
    auto logger = metalogger::Metalogger::open(options_, world_.disk, world_.clock, world_.random);
    if (!logger) return logger.error();
    logger_ = std::move(*logger);
    logger_->start();
    return {};
  }

  std::string describe() const override { return cmd::describe(logger_->status()); }
  void reload(const Config&) override {}
  void stop() override { logger_->stop(); }

 private:
  const metalogger::Options options_;
  cmd::World world_;
  std::unique_ptr<metalogger::Metalogger> logger_;
};

template <typename Kind, typename... Parts>
Result<std::unique_ptr<Serving>> started(Parts... parts) {
  auto serving = std::make_unique<Kind>(std::move(parts)...);
  if (auto done = serving->start(); !done) return done.error();
  return std::unique_ptr<Serving>(std::move(serving));
}

Result<std::unique_ptr<Serving>> start_chunkserver(const Config& config, const std::string& data_path,
                                                   std::vector<std::string>* remarks) {
  bool is_missing = false;
  const auto disks = read_config_file(config.string("HDD_CONF_FILENAME"), &is_missing);
  if (!disks) return disks.error().at("HDD_CONF_FILENAME");
  auto plan = plan_of_chunkserver(config, data_path, is_missing ? nullptr : &*disks, remarks);
  if (!plan) return plan.error();
  return started<ChunkserverServing>(std::move(*plan), *disks);
}

}  // namespace

Result<std::unique_ptr<Serving>> start_serving(const Config& config, const std::string& data_path,
                                               std::vector<std::string>* remarks) {
  if (&config.role() == &kChunkserverRole) return start_chunkserver(config, data_path, remarks);
  if (&config.role() == &kMasterRole) {
    auto guardian = cmd::start_guardian();  // before names are looked up, which takes threads
    auto plan = plan_of_master(config, data_path, remarks);
    if (!plan) return plan.error();
    plan->runtime.guardian = std::move(guardian);
    return started<MasterServing>(std::move(*plan));
  }
  auto options = plan_of_metalogger(config, data_path, remarks);
  if (!options) return options.error();
  return started<MetaloggerServing>(std::move(*options));
}

Result<std::string> restore_master(const Config& config, const std::string& data_path, std::vector<std::string>* remarks) {
  auto plan = plan_of_master(config, data_path, remarks);
  if (!plan) return plan.error();
  cmd::World world(1);
  const auto master = master::Master::create(plan->options, world.clock, world.random);
  if (const auto restored = master::take_restored_state(plan->runtime, world.disk, world.clock, world.random); !restored) {
    return restored.error();
  } else if (!restored->empty()) {
    remarks->push_back(*restored);
  }
  auto runtime = master::MasterRuntime::open(plan->runtime, world.disk, world.clock, world.random, master->state_machine());
  if (!runtime) return runtime.error();
  return fmt::format("the state in {}/m{} is in order: a start goes on from it", data_path, plan->runtime.self.port);
}

Result<std::string> put_state_aside(const Config& config, const std::string& data_path) {
  if (!config.boolean("HA_ENABLED")) {
    return Error(Code::invalid, "-e joins the other masters as a new one, and so needs HA_ENABLED = 1; alone it would begin "
                                "an empty cluster");
  }
  const std::string state = fmt::format("{}/m{}", data_path, config.integer("MATOCL_LISTEN_PORT"));
  std::error_code trouble;
  if (!std::filesystem::exists(state, trouble)) return std::string();
  for (int number = 1;; ++number) {
    const std::string aside = fmt::format("{}.before-{}", state, number);
    if (std::filesystem::exists(aside, trouble)) continue;
    if (::rename(state.c_str(), aside.c_str()) != 0) return errno_error(errno, "rename " + state);
    return aside;
  }
}

}  // namespace holdfast::mfs
