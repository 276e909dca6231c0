// MasterCalls: the calls of holdfast.Backup from the asker's side, one at a time, waited for. One connection to each master,
// kept while the master answers.
//
// Thread-safe; cancel() may be called from another thread and ends the call that is under way, and all later ones.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "api/backup.grpc.pb.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "model/address.h"

namespace holdfast::metalogger {

class MasterCalls {
 public:
  Result<BackupChanges> changes(const Address& master, const BackupRequest& request, Duration patience);
  Result<BackupImagePiece> image(const Address& master, const BackupImageRequest& request, Duration patience);

  // A whole image, piece by piece; `request` begins it. An image that is gone meanwhile is begun again, a few times.
  Result<std::string> whole_image(const Address& master, BackupImageRequest request, Duration patience);

  void cancel();

 private:
  template <typename Reply, typename Start>
  Result<Reply> call(const Address& master, Duration patience, Start start);

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Backup::Stub>> stubs_ HOLDFAST_GUARDED_BY(mutex_);
  std::set<grpc::ClientContext*> under_way_ HOLDFAST_GUARDED_BY(mutex_);
  bool cancelled_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::metalogger
