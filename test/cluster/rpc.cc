// holdfast_rpc: one gRPC call from a script. `holdfast_rpc host:port Service/Method '<json>'...` sends the requests and
// prints each answer as a line of JSON (bytes in base64); how the call ended stands in the exit code, 0 or the status
// code, and its words on stderr. Services: Seaweed, VolumeServer. REQUEST_ID in the environment goes along as x-amz-request-id.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "api/master.pb.h"
#include "api/volume_server.pb.h"
#include "client/channel.h"

namespace {

grpc::ByteBuffer packed(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

std::string unpacked(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  return buffer.DumpToSingleSlice(&slice).ok() ? std::string(slice.begin(), slice.end()) : std::string();
}

// Waits for the one operation under way.
bool wait(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: holdfast_rpc host:port Service/Method '<json>'...\n";
    return 99;
  }
  const std::string name = argv[2];
  const auto* file = name.rfind("VolumeServer/", 0) == 0 ? volume_server_pb::PingRequest::descriptor()->file()
                                                         : master_pb::PingRequest::descriptor()->file();
  const auto slash = name.find('/');
  const auto* service = file->FindServiceByName(name.substr(0, slash));
  const auto* method = service == nullptr ? nullptr : service->FindMethodByName(name.substr(slash + 1));
  if (method == nullptr) {
    std::cerr << "no such call: " << name << "\n";
    return 99;
  }
  google::protobuf::DynamicMessageFactory factory;
  const auto make = [&](const google::protobuf::Descriptor* type) {
    return std::unique_ptr<google::protobuf::Message>(factory.GetPrototype(type)->New());
  };
  grpc::GenericStub stub(holdfast::client::make_channel(std::string(argv[1])));
  grpc::ClientContext context;
  if (const char* id = std::getenv("REQUEST_ID")) context.AddMetadata("x-amz-request-id", id);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(&context, "/" + service->full_name() + "/" + method->name(), &queue);
  call->StartCall(nullptr);
  wait(queue);
  for (int i = 3; i < argc; i++) {
    const auto request = make(method->input_type());
    if (const auto read = google::protobuf::util::JsonStringToMessage(argv[i], request.get()); !read.ok()) {
      std::cerr << read.ToString() << "\n";
      return 99;
    }
    call->Write(packed(*request), nullptr);
    if (!wait(queue)) break;
  }
  call->WritesDone(nullptr);
  wait(queue);
  for (;;) {
    grpc::ByteBuffer buffer;
    call->Read(&buffer, nullptr);
    if (!wait(queue)) break;
    const auto response = make(method->output_type());
    std::string line;
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    if (response->ParseFromString(unpacked(buffer)) &&
        google::protobuf::util::MessageToJsonString(*response, &line, options).ok()) {
      std::cout << line << std::endl;
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait(queue);
  if (!status.ok()) std::cerr << status.error_message() << "\n";
  return status.error_code();
}
