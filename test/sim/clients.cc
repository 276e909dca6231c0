#include "test/sim/clients.h"

#include "test/sim/master.h"
#include "test/sim/volume_server.h"

namespace holdfast::sim {
namespace {

constexpr std::uint64_t kBlockKeys = 40;
constexpr std::uint64_t kBlocksLow = 15;  // a master with fewer keys left gets another block

}  // namespace

struct Clients::Operation {
  Client* client = nullptr;
  std::string command;
  bool may_repeat = false;  // carries an id: asking again is harmless
  bool maybe = false;       // some attempt may have had an effect nobody told us of
  bool over = false;
  Instant begin;
  Instant until;
  std::uint64_t key = 0;    // of a register
  std::uint64_t value = 0;
  std::optional<topology::Command> request;
  std::uint64_t sequence = 0;
};

Clients::Clients(World& world) : world_(world) {}
Clients::~Clients() = default;

void Clients::start() {
  clients_.resize(world_.profile().clients);
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    clients_[i].number = i;
    clients_[i].session = world_.random().uuid();
    again(clients_[i]);
  }
  if (world_.profile().leases) probe();
}

// Somebody who asks whoever thinks that it leads, all the time, also when it is a leader of the past or stands still.
void Clients::probe() {
  if (stopped_) return;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    auto& master = world_.master(slot);
    if (!master.up() || master.status().role != raft::Role::leader) continue;
    const auto key = world_.lease_random().below(kRegisters);
    master.read(key, [this, key, begin = world_.now()](std::optional<std::uint64_t> value) {
      if (value) world_.checker().registers.read(key, *value, begin, world_.now());
    });
  }
  world_.after(world_.profile().probe_every, [this] { probe(); });
}

void Clients::again(Client& client) {
  if (stopped_) return;
  world_.after(world_.between(world_.profile().think / 2, world_.profile().think), [this, &client] { next(client); });
}

std::size_t Clients::some_master(Client& client) {
  if (client.leader && !world_.chance(100'000)) return *client.leader;
  return world_.random().below(kSlots);
}

void Clients::next(Client& client) {
  if (stopped_) return;
  const auto dice = world_.random().below(100);
  if (!initialised_ && client.number == 0) {
    return request(client, topology::InitCluster{ClusterId(Uuid{1, 1})});
  }
  if (world_.random().below(100) < world_.profile().read_percent) return read(client);
  if (dice < 65) return write(client);
  if (dice < 85) {
    // Whoever is short of keys gets a block; the leader of a real cluster looks after that.
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      auto& master = world_.master(slot);
      if (master.up() && master.keys_left() < kBlocksLow && world_.chance(500'000)) {
        return request(client, topology::ReserveKeys{master.id(), master.incarnation(), master.process(), kBlockKeys});
      }
    }
    return assign(client);
  }
  if (dice < 97) return assign(client);
  if (dice < 99) return request(client, topology::AllocateVolumeIds{1 + static_cast<std::uint32_t>(dice % 3)});
  // Folders from elsewhere, with keys near or far above ours.
  std::uint64_t highest = 1;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    if (world_.master(slot).up()) {
      highest = std::max(highest, world_.master(slot).registry().state().next_key.value());
    }
  }
  if (highest > (1ull << 60)) return assign(client);
  const auto max_key = highest / 2 + world_.random().below(highest + 1000);
  request(client, topology::AdoptDirs{.has_volumes = true,
                                      .max_key = NeedleId(max_key),
                                      .max_volume_id = VolumeId(1 + static_cast<std::uint32_t>(values_ % 1000)),
                                      .dirs = {world_.random().uuid()}});
}

// ------------------------------------------------------------------------------------------------ proposals

void Clients::write(Client& client) {
  auto op = std::make_shared<Operation>();
  op->client = &client;
  op->key = world_.random().below(kRegisters);
  op->value = ++values_;
  op->command = register_write(op->key, op->value);
  op->begin = world_.now();
  op->until = op->begin + world_.between(200ms, 1s);
  std::erase_if(under_way_, [](const auto& other) { return other->over; });
  under_way_.push_back(op);
  attempt(op);
}

void Clients::request(Client& client, topology::Command command) {
  auto op = std::make_shared<Operation>();
  op->client = &client;
  op->may_repeat = true;
  op->sequence = ++client.sequence;
  op->request = command;
  op->command = "R" + topology::encode_batch({topology::Request{
                          {client.session, op->sequence}, op->sequence, topology::encode(command)}});
  op->begin = world_.now();
  op->until = op->begin + world_.between(500ms, 2s);
  attempt(op);
}

void Clients::attempt(std::shared_ptr<Operation> op) {
  if (op->over) return;
  if (world_.now() >= op->until) return give_up(op);
  auto& client = *op->client;
  const auto slot = some_master(client);
  auto answered = std::make_shared<bool>(false);
  const bool maybe_before = op->maybe;
  op->maybe = true;  // until we are told otherwise
  world_.call([this, op, slot, answered, maybe_before] {
    auto& master = world_.master(slot);
    master.propose(op->command, [this, op, slot, answered, maybe_before](const raft::ProposalDone& done,
                                                                         const std::string& answer) {
      auto& at = world_.master(slot);
      if (op->request && done.outcome == raft::ProposalOutcome::committed) {
        world_.checker().request_answered(op->client->session.low, op->sequence, answer);
      }
      const auto hint = at.status().leader ? world_.slot_of(*at.status().leader) : std::nullopt;
      if (done.outcome == raft::ProposalOutcome::committed && op->request &&
          std::holds_alternative<topology::AllocateVolumeIds>(*op->request)) {
        // The leader that learns of new ids orders the volumes at once.
        if (auto ids = topology::decode_answer(answer)) {
          const auto fence = at.next_fence();
          const auto server = world_.random().below(kVolumeServers);
          world_.checker().order_given(fence, ids->first * kVolumeServers + server);
          world_.call([this, fence, server, first = ids->first] { world_.volume_server(server).order(fence, first); });
        }
      }
      world_.call([this, op, slot, answered, maybe_before, done, answer, hint] {
        if (*answered || op->over) return;
        *answered = true;
        auto& client = *op->client;
        if (done.outcome == raft::ProposalOutcome::committed) {
          client.leader = slot;
          return finished(op, true, answer);
        }
        client.leader = hint;
        if (done.outcome != raft::ProposalOutcome::unknown) op->maybe = maybe_before;
        if (done.outcome == raft::ProposalOutcome::unknown && !op->may_repeat) return give_up(op);
        world_.after(world_.between(1ms, 20ms), [this, op] { attempt(op); });
      });
    });
  });
  world_.after(world_.between(100ms, 300ms), [this, op, answered] {
    if (*answered || op->over) return;
    *answered = true;
    op->client->leader.reset();
    if (op->may_repeat) return attempt(op);
    give_up(op);
  });
}

void Clients::give_up(std::shared_ptr<Operation> op) { finished(op, false, {}); }

void Clients::finished(std::shared_ptr<Operation> op, bool known, const std::string& answer) {
  if (op->over) return;
  op->over = true;
  auto& client = *op->client;
  if (!op->request) {
    // Surely without effect: not part of the history at all, and nobody may ever read it.
    if (known || op->maybe) {
      world_.checker().registers.wrote(op->key, op->value, op->begin,
                                       known ? std::optional(world_.now()) : std::nullopt);
    }
    world_.checker().events.count(known ? "writes acknowledged" : "writes of unknown outcome");
  } else if (known) {
    const auto decoded = topology::decode_answer(answer);
    if (decoded && std::holds_alternative<topology::AllocateVolumeIds>(*op->request)) {
      world_.checker().volume_id_given(client.session.low ^ op->sequence, decoded->first, decoded->count);
    }
    if (std::holds_alternative<topology::InitCluster>(*op->request)) initialised_ = true;
    if (std::holds_alternative<topology::AdoptDirs>(*op->request)) {
      world_.checker().events.count(decoded ? "folders adopted" : "folders refused");
    }
  }
  again(client);
}

void Clients::flush() {
  stopped_ = true;
  for (const auto& op : std::exchange(under_way_, {})) {
    if (!op->over) finished(op, false, {});
  }
}

// --------------------------------------------------------------------------------------------- reads, assigns

void Clients::read(Client& client) {
  const auto key = world_.random().below(kRegisters);
  const auto begin = world_.now();
  const auto slot = world_.chance(500'000) ? world_.random().below(kSlots) : some_master(client);
  auto over = std::make_shared<bool>(false);
  world_.call([this, &client, key, begin, slot, over] {
    world_.master(slot).read(key, [this, &client, key, begin, over](std::optional<std::uint64_t> value) {
      world_.call([this, &client, key, begin, over, value] {
        if (*over) return;
        *over = true;
        if (value) world_.checker().registers.read(key, *value, begin, world_.now());
        again(client);
      });
    });
  });
  world_.after(world_.between(300ms, 1s), [this, &client, over] {
    if (*over) return;
    *over = true;
    again(client);
  });
}

void Clients::assign(Client& client) {
  const auto slot = some_master(client);
  const auto count = 1 + world_.random().below(5);
  auto over = std::make_shared<bool>(false);
  world_.call([this, &client, slot, count, over] {
    auto& master = world_.master(slot);
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (const auto key = master.assign()) last = *key;
    }
    const auto hint = master.up() && master.status().leader ? world_.slot_of(*master.status().leader) : std::nullopt;
    if (last != 0) world_.volume_server(last % kVolumeServers).wrote(last);
    world_.call([this, &client, over, hint] {
      if (*over) return;
      *over = true;
      client.leader = hint;
      again(client);
    });
  });
  world_.after(world_.between(50ms, 100ms), [this, &client, over] {
    if (*over) return;
    *over = true;
    client.leader.reset();
    again(client);
  });
}

void Clients::final_write() {
  if (final_done_) return;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    auto& master = world_.master(slot);
    if (!master.up() || master.status().role != raft::Role::leader) continue;
    const auto value = ++values_;
    const auto begin = world_.now();
    master.propose(register_write(0, value), [this, value, begin](const raft::ProposalDone& done, const std::string&) {
      const bool known = done.outcome == raft::ProposalOutcome::committed;
      if (known) final_done_ = true;
      if (known || done.outcome == raft::ProposalOutcome::unknown) {
        world_.checker().registers.wrote(0, value, begin, known ? std::optional(world_.now()) : std::nullopt);
      }
    });
  }
  world_.after(200ms, [this] { final_write(); });
}

}  // namespace holdfast::sim
