// WitnessFile: what a witness keeps (core/raft/witness.h), in two slots of `witness` beside its identity.
//
//   u8 version (1); node 16; cluster 16; u64 term; vote 16; u64 record term; u64 record number;
//   u8 count, 16 each: members of the record; u64 longest lease granted, in nanoseconds. All big-endian.
//
// Not thread-safe.
#pragma once

#include "core/raft/witness.h"
#include "storage/raft/slots.h"

namespace holdfast::storage {

class WitnessFile {
 public:
  // corrupt: what was promised is lost, or is another witness's: this identity must not speak any more.
  static Result<WitnessFile> open(io::Disk& disk, const std::string& path, NodeId node, ClusterId cluster);

  [[nodiscard]] const raft::WitnessState& state() const { return state_; }

  // On disk when it returns. After an error nothing may be said that depends on it.
  Status keep(const raft::WitnessState& state);

 private:
  WitnessFile(SlotFile slots, NodeId node, ClusterId cluster) : slots_(std::move(slots)), node_(node), cluster_(cluster) {}

  SlotFile slots_;
  NodeId node_;
  ClusterId cluster_;
  raft::WitnessState state_;
};

}  // namespace holdfast::storage
