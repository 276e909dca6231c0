// The gRPC service holdfast.Backup (api/backup.proto): metaloggers and backups, handed to the BackupSource. Registered on
// the master's one server.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

namespace grpc {
class Service;
}

namespace holdfast::master {
class BackupSource;
}

namespace holdfast::front {

// `source` outlives the server. `allows` says whether a client's address may ask.
std::unique_ptr<grpc::Service> make_backup_service(master::BackupSource& source, std::function<bool(std::string_view ip)> allows);

}  // namespace holdfast::front
