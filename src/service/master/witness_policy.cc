#include "service/master/witness_policy.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/log.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kPlacesMax = 10'000;  // remembered as not to be asked

}  // namespace

void WitnessPolicy::look(Instant now, const View& view, const raft::Configuration& configuration) {
  const auto wanted = hooks_.wanted();
  if (!wanted) return;
  {
    Guard guard(shared_->mutex);
    if (shared_->under_way) return;
  }
  const auto masters = configuration.full_voters();
  if (masters != masters_ || since_ == kDistantPast) {
    masters_ = masters;
    since_ = now;
  }
  const bool joining = std::any_of(configuration.members().begin(), configuration.members().end(),
                                   [](const auto& member) { return !member.voter && member.promote; });
  if (const auto witness = configuration.witness()) {
    if (!*wanted) return remove(*witness, "-witness=never");
    if (masters.size() % 2 == 1) return remove(*witness, "the number of masters is odd");
    const auto* seen = view.member(*witness);
    const auto silent = seen != nullptr && seen->silent_for ? *seen->silent_for : now - since_;
    if (silent >= kGone && now - since_ >= kGone) return remove(*witness, "it has not been heard for a minute");
    return;
  }
  if (!*wanted || joining || masters.size() % 2 == 1 || now - since_ < kSettle) return;
  find_one(now, view, configuration);
}

void WitnessPolicy::remove(NodeId witness, const std::string& why) {
  {
    Guard guard(shared_->mutex);
    shared_->under_way = true;
  }
  hooks_.change(raft::RemoveMember{witness}, [shared = shared_, witness, why](const Status& status) {
    if (status) {
      LOG_INFO("witness {} does not vote any more: {}", text(witness), why);
    } else {
      LOG_V(1, "to remove witness {}: {}", text(witness), status.error().what());
    }
    Guard guard(shared->mutex);
    shared->under_way = false;
  });
}

void WitnessPolicy::find_one(Instant now, const View& view, const raft::Configuration& configuration) {
  const auto has_master = [&](const std::string& host) {
    return std::any_of(view.members.begin(), view.members.end(), [&](const MemberView& member) {
      const auto address = Address::parse(member.http);
      return address && address->host == host;
    });
  };
  std::vector<std::pair<bool, std::string>> places;
  for (const auto& server : hooks_.volume_servers()) places.emplace_back(has_master(server.host), text(server));
  std::sort(places.begin(), places.end());
  std::string place;
  {
    Guard guard(shared_->mutex);
    if (shared_->not_before.size() > kPlacesMax) shared_->not_before.clear();
    for (const auto& [beside, address] : places) {
      const auto found = shared_->not_before.find(address);
      if (found != shared_->not_before.end() && now < found->second) continue;
      place = address;
      break;
    }
    if (place.empty()) return;
    shared_->under_way = true;
    shared_->not_before[place] = now + kNotAgainFor;
  }
  hooks_.meet(place, [shared = shared_, place, configuration, change = hooks_.change](Result<RaftGreeting> answer) {
    const auto done = [shared] {
      Guard guard(shared->mutex);
      shared->under_way = false;
    };
    if (!answer || answer->phase() != RAFT_PHASE_WITNESS) {
      LOG_V(1, "the volume server at {} is no witness: {}", place, answer ? "it is a master" : answer.error().what());
      return done();
    }
    const NodeId id(uuid_of(answer->node()));
    if (id.value().empty()) {  // it makes itself a name, or belongs to another cluster as yet
      Guard guard(shared->mutex);
      shared->not_before.erase(place);
      shared->under_way = false;
      return;
    }
    change(raft::AddMember{{.id = id, .address = answer->address(), .witness = true}}, [done, place](const Status& status) {
      if (status) {
        LOG_INFO("the volume server at {} votes as witness, since the number of masters is even", place);
      } else {
        LOG_WARNING("the volume server at {} as witness: {}", place, status.error().what());
      }
      done();
    });
  });
}

}  // namespace holdfast::master
