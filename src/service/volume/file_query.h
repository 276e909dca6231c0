// Runs a query over files of this server's volumes (docs/query.md): reads each file piece by piece, unpacks it, and gives its
// bytes to the query.
//
// Waits for the disk: on a thread of its own. Holds one piece, and what core/query holds.
#pragma once

#include <vector>

#include "core/query/query.h"
#include "model/file_id.h"
#include "service/volume/cancel.h"
#include "service/volume/volume_service.h"

namespace holdfast::volume {

struct FileQuery {
  std::vector<FileId> files;  // one after the other
  query::Query query;
  bool is_gzip = false;  // the files' contents are gzip streams
};

// Errors: not_found for a file that is not here, unsupported for a manifest of chunks, invalid for what the query or a file's
// contents are to blame for, with the file's id in front.
Status run(VolumeService& service, const FileQuery& wish, query::Runner::Emit emit, Cancel& cancel);

}  // namespace holdfast::volume
