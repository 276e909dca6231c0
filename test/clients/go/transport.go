package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"holdfast.test/client/pb/master_pb"
	"holdfast.test/client/pb/volume_server_pb"
)

// What the server announces, and that an idle client may ping it: a server with the library's defaults sends GOAWAY
// too_many_pings at the third.
func transport(ctx context.Context) {
	for _, address := range []string{*leader, *volume} {
		settings := map[http2.SettingID]uint32{}
		window := pingIdle(address, 40, 25*time.Millisecond, settings)
		expect(settings[http2.SettingMaxConcurrentStreams] == 1000, "%s: %d streams", address,
			settings[http2.SettingMaxConcurrentStreams])
		expect(settings[http2.SettingInitialWindowSize] >= 16<<20, "%s: stream window %d", address,
			settings[http2.SettingInitialWindowSize])
		expect(settings[http2.SettingMaxHeaderListSize] == 8<<20, "%s: header list %d", address,
			settings[http2.SettingMaxHeaderListSize])
		say("%s takes 40 pings without a stream; 1000 streams of 16 MiB, a connection's window of %d, headers of 8 MiB",
			address, window)
	}

	// A message far above the library's default of 4 MiB, each way.
	ids := make([]string, 200_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%d,%s", 1_000_000+i, "0163703700000000")
	}
	looked, err := master(*leader).LookupVolume(ctx, &master_pb.LookupVolumeRequest{VolumeOrFileIds: ids})
	expect(err == nil, "a lookup of 200,000 ids: %v", err)
	expect(len(looked.VolumeIdLocations) == len(ids), "%d answers", len(looked.VolumeIdLocations))
	size := proto.Size(looked)
	expect(size > 4<<20, "only %d bytes", size)
	expect(looked.VolumeIdLocations[7].Error == "volume id 1000007 not found", "%q", looked.VolumeIdLocations[7].Error)
	say("200,000 ids looked up by one message, %d bytes of answer", size)
}

// Returns the size of the connection's window.
func pingIdle(address string, count int, interval time.Duration, settings map[http2.SettingID]uint32) uint32 {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		fail("dial %s: %v", address, err)
	}
	defer connection.Close()
	fmt.Fprint(connection, http2.ClientPreface)
	framer := http2.NewFramer(connection, connection)
	must := func(what string, err error) { expect(err == nil, "%s: %s: %v", address, what, err) }
	must("settings", framer.WriteSettings())
	answered := make(chan error, count)
	acknowledge := make(chan struct{}, count)
	window := uint32(65535)
	acknowledged := 0
	go func() {
		for acknowledged < count {
			frame, err := framer.ReadFrame()
			if err != nil {
				answered <- err
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if frame.IsAck() {
					continue
				}
				_ = frame.ForeachSetting(func(one http2.Setting) error { settings[one.ID] = one.Val; return nil })
				acknowledge <- struct{}{}
			case *http2.WindowUpdateFrame:
				if frame.StreamID == 0 {
					window += frame.Increment
				}
			case *http2.PingFrame:
				if frame.IsAck() {
					acknowledged++
				}
			case *http2.GoAwayFrame:
				answered <- fmt.Errorf("GOAWAY %v %q", frame.ErrCode, frame.DebugData())
				return
			}
		}
		answered <- nil
	}()
	for i := 0; i < count; i++ {
		select {
		case <-acknowledge:
			must("settings", framer.WriteSettingsAck())
		default:
		}
		must("ping", framer.WritePing(false, [8]byte{byte(i)}))
		time.Sleep(interval)
	}
	select {
	case err := <-answered:
		must("pings", err)
	case <-time.After(5 * time.Second):
		fail("%s: pings are not acknowledged", address)
	}
	return window
}

func reflect(ctx context.Context) {
	served := map[string]string{*leader: "master_pb.Seaweed", *volume: "volume_server_pb.VolumeServer"}
	for address, service := range served {
		stream, err := reflection.NewServerReflectionClient(dial(address)).ServerReflectionInfo(ctx)
		expect(err == nil, "reflection: %v", err)
		ask := func(request *reflection.ServerReflectionRequest) *reflection.ServerReflectionResponse {
			expect(stream.Send(request) == nil, "reflection: cannot send")
			answer, err := stream.Recv()
			expect(err == nil, "reflection: %v", err)
			return answer
		}
		list := ask(&reflection.ServerReflectionRequest{
			MessageRequest: &reflection.ServerReflectionRequest_ListServices{ListServices: "*"}})
		found := false
		for _, one := range list.GetListServicesResponse().GetService() {
			found = found || one.Name == service
		}
		expect(found, "%s: %v", address, list)
		files := ask(&reflection.ServerReflectionRequest{
			MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service}})
		raw := files.GetFileDescriptorResponse().GetFileDescriptorProto()
		expect(len(raw) > 0, "%s: %v", address, files)
		var file descriptorpb.FileDescriptorProto
		expect(proto.Unmarshal(raw[0], &file) == nil, "no descriptor")
		expect(len(file.Service) == 1, "%d services in %s", len(file.Service), file.GetName())
		say("%s tells of %s with %d rpcs", address, service, len(file.Service[0].Method))
	}
	// Every rpc of the protocol is known: nothing answers UNIMPLEMENTED without a sentence.
	connection := dial(*leader)
	for _, method := range master_pb.Seaweed_ServiceDesc.Methods {
		var answer master_pb.CollectionDeleteResponse
		quick, cancel := context.WithTimeout(ctx, 5*time.Second)
		if method.MethodName == "RaftLeadershipTransfer" || method.MethodName == "RaftRemoveServer" {
			cancel()
			continue // would be done
		}
		err := connection.Invoke(quick, "/master_pb.Seaweed/"+method.MethodName, &master_pb.CollectionDeleteRequest{}, &answer)
		cancel()
		if code := status.Code(err); code == codes.Unimplemented {
			expect(status.Convert(err).Message() != "", "%s is nobody's", method.MethodName)
		}
	}
	_ = volume_server_pb.VolumeServer_ServiceDesc
}
