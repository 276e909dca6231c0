// VacuumService: the part of a volume server's service that vacuums volumes, by orders of a master or a shell. See
// storage/volume/vacuums.h for what each does and answers.
//
// Every call returns at once; `done` and `progress` are called on a thread of the service's own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "model/fence.h"
#include "model/ids.h"

namespace holdfast::volume {

struct Vacuumed {
  bool read_only = false;   // the volume takes no writes, for whatever reason
  std::uint64_t bytes = 0;  // of its .dat
};

class VacuumService {
 public:
  virtual ~VacuumService() = default;

  // The share of the volume's content that is deleted.
  virtual Result<double> check(VolumeId id) = 0;

  // Called with the bytes read so far, often. False: the vacuum is called off.
  using Progress = std::function<bool(std::uint64_t bytes_read)>;
  virtual void compact(VolumeId id, std::uint64_t preallocate_bytes, const std::optional<Fence>& fence,
                       Progress progress, std::function<void(Status)> done) = 0;
  virtual void commit(VolumeId id, const std::optional<Fence>& fence, std::function<void(Result<Vacuumed>)> done) = 0;
  virtual void clean_up(VolumeId id, const std::optional<Fence>& fence, std::function<void(Status)> done) = 0;
};

}  // namespace holdfast::volume
