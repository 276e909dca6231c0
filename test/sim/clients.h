// Clients: those who read and write registers, assign keys, reserve blocks, allocate volume ids and order volumes.
//
// Each does one thing after the other. A call and its answer may be lost; a client that does not know what became of
// its request says so to the checker (an operation without an end), or, where requests carry an id, asks again.
#pragma once

#include <memory>
#include <vector>

#include "core/topology/registry.h"
#include "test/sim/world.h"

namespace holdfast::sim {

class Clients {
 public:
  explicit Clients(World& world);
  ~Clients();

  void start();
  void probe();
  void stop() { stopped_ = true; }
  // Tells the checker of the writes whose outcome nobody will learn any more.
  void flush();

  // One write through to its acknowledgement, tried until it succeeds; for the healing phase.
  void final_write();
  void another_write() {
    final_done_ = false;
    final_write();
  }
  bool final_write_done() const { return final_done_; }

 private:
  struct Operation;
  struct Client {
    std::size_t number = 0;
    Uuid session;
    std::uint64_t sequence = 0;
    std::optional<std::size_t> leader;  // a guess
  };
  void next(Client& client);
  void again(Client& client);
  std::size_t some_master(Client& client);
  void write(Client& client);
  void read(Client& client);
  void assign(Client& client);
  void request(Client& client, topology::Command command);
  void attempt(std::shared_ptr<Operation> op);
  void give_up(std::shared_ptr<Operation> op);
  void finished(std::shared_ptr<Operation> op, bool known, const std::string& answer);

  World& world_;
  std::vector<Client> clients_;
  std::uint64_t values_ = 0;
  std::vector<std::shared_ptr<Operation>> under_way_;  // writes of registers
  bool stopped_ = false;
  bool initialised_ = false;
  bool final_done_ = false;
};

}  // namespace holdfast::sim
