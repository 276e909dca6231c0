#include "front/grpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <set>
#include <utility>

#include "api/backup.grpc.pb.h"
#include "api/master.grpc.pb.h"
#include "api/raft.grpc.pb.h"
#include "api/reflection.grpc.pb.h"
#include "api/reflection_v1alpha.grpc.pb.h"
#include "api/volume_server.grpc.pb.h"
#include "front/grpc/server_stream.h"

namespace holdfast::front {

namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr std::size_t kAnswersWaitingMax = 16;

template <typename Service>
bool is_a(const grpc::Service& service) {
  return dynamic_cast<const typename Service::Service*>(&service) != nullptr;
}

// A file after all that it imports, each once.
void add_files(const FileDescriptor& file, std::set<std::string>& done, std::vector<std::string>* out) {
  if (!done.insert(file.name()).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) add_files(*file.dependency(i), done, out);
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  out->push_back(proto.SerializeAsString());
}

template <typename Response>
void set_not_found(const std::string& what, Response* response) {
  auto* error = response->mutable_error_response();
  error->set_error_code(grpc::StatusCode::NOT_FOUND);
  error->set_error_message(what + " is not known here");
}

template <typename Response>
void set_files(const FileDescriptor* file, const std::string& asked, Response* response) {
  if (file == nullptr) return set_not_found(asked, response);
  std::set<std::string> done;
  std::vector<std::string> files;
  add_files(*file, done, &files);
  // The one that was asked for comes first.
  auto* message = response->mutable_file_descriptor_response();
  for (auto it = files.rbegin(); it != files.rend(); ++it) message->add_file_descriptor_proto(std::move(*it));
}

template <typename Request, typename Response>
Response answer(const Request& request, const std::vector<std::string>& names) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      set_files(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(), &response);
      break;
    case Request::kFileContainingSymbol:
      set_files(pool.FindFileContainingSymbol(request.file_containing_symbol()), request.file_containing_symbol(),
                &response);
      break;
    case Request::kFileContainingExtension: {
      const auto& asked = request.file_containing_extension();
      const Descriptor* type = pool.FindMessageTypeByName(asked.containing_type());
      const FieldDescriptor* field =
          type == nullptr ? nullptr : pool.FindExtensionByNumber(type, asked.extension_number());
      set_files(field == nullptr ? nullptr : field->file(), asked.containing_type(), &response);
      break;
    }
    case Request::kAllExtensionNumbersOfType: {
      const Descriptor* type = pool.FindMessageTypeByName(request.all_extension_numbers_of_type());
      if (type == nullptr) {
        set_not_found(request.all_extension_numbers_of_type(), &response);
        break;
      }
      std::vector<const FieldDescriptor*> fields;
      pool.FindAllExtensions(type, &fields);
      auto* message = response.mutable_all_extension_numbers_response();
      message->set_base_type_name(type->full_name());
      for (const FieldDescriptor* field : fields) message->add_extension_number(field->number());
      break;
    }
    case Request::kListServices: {
      auto* message = response.mutable_list_services_response();
      for (const std::string& name : names) message->add_service()->set_name(name);
      break;
    }
    case Request::MESSAGE_REQUEST_NOT_SET: {
      auto* error = response.mutable_error_response();
      error->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
      error->set_error_message("nothing is asked");
      break;
    }
  }
  return response;
}

template <typename Request, typename Response>
class Call final : public ServerStream<Request, Response> {
 public:
  explicit Call(std::shared_ptr<const std::vector<std::string>> names)
      : ServerStream<Request, Response>(kAnswersWaitingMax), names_(std::move(names)) {}

 protected:
  void received(const Request& request) override { this->post(answer<Request, Response>(request, *names_)); }

 private:
  const std::shared_ptr<const std::vector<std::string>> names_;  // shared with the service
};

template <typename Base, typename Request, typename Response>
class Reflection final : public Base {
 public:
  explicit Reflection(std::shared_ptr<const std::vector<std::string>> names) : names_(std::move(names)) {}

  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(grpc::CallbackServerContext*) override {
    using Answering = Call<Request, Response>;
    return Answering::run(std::make_shared<Answering>(names_));
  }

 private:
  const std::shared_ptr<const std::vector<std::string>> names_;  // shared with the calls
};

}  // namespace

std::string name_of(const grpc::Service& service) {
  if (is_a<master_pb::Seaweed>(service)) return master_pb::Seaweed::service_full_name();
  if (is_a<volume_server_pb::VolumeServer>(service)) return volume_server_pb::VolumeServer::service_full_name();
  if (is_a<holdfast::Raft>(service)) return holdfast::Raft::service_full_name();
  if (is_a<holdfast::Backup>(service)) return holdfast::Backup::service_full_name();
  return "";
}

std::vector<std::unique_ptr<grpc::Service>> make_reflection_services(const std::vector<std::string>& names) {
  auto all = std::make_shared<std::vector<std::string>>();
  for (const std::string& name : names) {
    if (!name.empty()) all->push_back(name);
  }
  all->push_back(v1::ServerReflection::service_full_name());
  all->push_back(v1alpha::ServerReflection::service_full_name());
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<Reflection<v1::ServerReflection::CallbackService, v1::ServerReflectionRequest,
                                                 v1::ServerReflectionResponse>>(all));
  services.push_back(
      std::make_unique<Reflection<v1alpha::ServerReflection::CallbackService, v1alpha::ServerReflectionRequest,
                                  v1alpha::ServerReflectionResponse>>(all));
  return services;
}

}  // namespace holdfast::front
