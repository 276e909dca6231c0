package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"holdfast.test/client/pb/master_pb"
)

// A volume server of upstream: it speaks to one master and none of our fields (spec/weed-grpc 5.1).
type server struct {
	stream master_pb.Seaweed_SendHeartbeatClient
	cancel context.CancelFunc
	port   uint32
	uuid   string
}

func begin(ctx context.Context, address string, port uint32, uuid string) server {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := master(address).SendHeartbeat(ctx)
	expect(err == nil, "SendHeartbeat: %v", err)
	return server{stream, cancel, port, uuid}
}

func (s server) send(message *master_pb.Heartbeat) {
	expect(s.stream.Send(message) == nil, "a heartbeat cannot be sent")
}

func (s server) full(volumes ...*master_pb.VolumeInformationMessage) *master_pb.Heartbeat {
	digest := uint64(1)
	return &master_pb.Heartbeat{Ip: "127.0.0.1", Port: s.port, PublicUrl: fmt.Sprintf("127.0.0.1:%d", s.port),
		GrpcPort: s.port + 10000, Id: fmt.Sprintf("127.0.0.1:%d", s.port), DataCenter: "dc1", Rack: "r1",
		MaxFileKey: 5, MaxVolumeCounts: map[string]uint32{"": 8}, Volumes: volumes, HasNoVolumes: len(volumes) == 0,
		HasNoEcShards: true, LocationUuids: []string{s.uuid, s.uuid}, VolumeDigest: &digest,
		DiskTags: []*master_pb.DiskTag{{DiskId: 0, Tags: []string{"a"}, MaxVolumeCount: 8}},
		DiskTotalBytes: map[string]uint64{"": 1 << 40}, DiskFreeBytes: map[string]uint64{"": 1 << 39}}
}

func volumeOf(id uint32, size uint64) *master_pb.VolumeInformationMessage {
	return &master_pb.VolumeInformationMessage{Id: id, Size: size, Collection: "foreign", FileCount: 3, Version: 3,
		ModifiedAtSecond: 1700000000}
}

func located(ctx context.Context, id uint32, at string) bool {
	answer, err := master(*leader).LookupVolume(ctx, &master_pb.LookupVolumeRequest{VolumeOrFileIds: []string{fmt.Sprint(id)}})
	if err != nil || len(answer.VolumeIdLocations[0].Locations) == 0 {
		return at == ""
	}
	return answer.VolumeIdLocations[0].Locations[0].Url == at
}

func within(what string, holds func() bool) {
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		expect(time.Now().Before(end), "not within 10 s: %s", what)
	}
}

func heartbeats(ctx context.Context) {
	base := uint32(40000 + time.Now().UnixNano()%5000)
	id := uint32(900_000)
	one := begin(ctx, *leader, base, "11111111-0000-4000-8000-000000000001")
	one.send(&master_pb.Heartbeat{HasNoEcShards: true}) // says nobody's name: not for anyone
	one.send(one.full(volumeOf(id, 104)))
	first, err := one.stream.Recv()
	expect(err == nil && first.VolumeSizeLimit > 0 && first.Leader == "" && len(first.DuplicatedUuids) == 0,
		"the first answer of the leader: %v %v", first, err)
	url := fmt.Sprintf("127.0.0.1:%d", base)
	within("the volume is found", func() bool { return located(ctx, id, url) })
	say("the leader's first answer has the size limit and no leader; the volume is found by the reported ip:port")

	// The EC heartbeat has no ip; a pulse without volumes says nothing of them; deltas are taken.
	one.send(&master_pb.Heartbeat{HasNoEcShards: true})
	one.send(&master_pb.Heartbeat{Ip: "127.0.0.1", Port: base, MaxVolumeCounts: map[string]uint32{"": 8},
		ChangedVolumes: []*master_pb.VolumeInformationMessage{volumeOf(id, 208)}, HasNoEcShards: true})
	one.send(&master_pb.Heartbeat{Ip: "127.0.0.1", Port: base, DataCenter: "dc1", Rack: "r1",
		NewVolumes: []*master_pb.VolumeShortInformationMessage{{Id: id + 1, Collection: "foreign", Version: 3}}})
	within("the new volume is found", func() bool { return located(ctx, id+1, url) })
	expect(located(ctx, id, url), "a pulse without volumes took one away")
	one.send(&master_pb.Heartbeat{Ip: "127.0.0.1", Port: base, DataCenter: "dc1", Rack: "r1",
		DeletedVolumes: []*master_pb.VolumeShortInformationMessage{{Id: id + 1, Collection: "foreign", Version: 3}}})
	within("the deleted volume is gone", func() bool { return located(ctx, id+1, "") })
	say("full lists, pulses without one, changes, additions and deletions are told apart")

	// Another server on the same folder is turned away, and this one is not told its own uuid.
	two := begin(ctx, *leader, base+1, one.uuid)
	two.send(two.full())
	answer, err := two.stream.Recv()
	expect(err == nil && len(answer.DuplicatedUuids) > 0 && answer.DuplicatedUuids[0] == one.uuid, "%v %v", answer, err)
	_, err = two.stream.Recv()
	expect(err != nil && err != io.EOF && !isPoison(err), "after duplicated_uuids: %v", err)
	// The same ip:port on a newer stream is the same server, come again.
	again := begin(ctx, *leader, base, one.uuid)
	again.send(again.full(volumeOf(id, 208)))
	answer, err = again.stream.Recv()
	expect(err == nil && len(answer.DuplicatedUuids) == 0, "the same ip:port twice: %v %v", answer, err)
	one.cancel()
	time.Sleep(100 * time.Millisecond)
	expect(located(ctx, id, url), "the older stream's end took the server away")
	say("duplicated uuids are told to the second server; the same ip:port on a newer stream replaces the older one")

	// A follower names the leader, and the stream stays.
	elsewhere := begin(ctx, *follower, base+2, "11111111-0000-4000-8000-000000000002")
	elsewhere.send(elsewhere.full())
	hint, err := elsewhere.stream.Recv()
	expect(err == nil && httpForm(hint.Leader) == *leaderHTTP, "a follower's answer: %v %v", hint, err)
	elsewhere.send(elsewhere.full())
	_, err = elsewhere.stream.Recv()
	expect(err == nil, "the stream at a follower does not stay: %v", err)
	elsewhere.cancel()

	// The last heartbeat has no volumes; the end of the stream takes the server away.
	again.send(&master_pb.Heartbeat{Ip: "127.0.0.1", Port: base, PublicUrl: url, HasNoVolumes: true})
	within("its volumes are gone", func() bool { return located(ctx, id, "") })
	expect(again.stream.CloseSend() == nil, "CloseSend")
	if _, err := again.stream.Recv(); err != nil && err != io.EOF {
		expect(status.Code(err) != codes.Internal && !strings.Contains(err.Error(), "RST"), "the end: %v", err)
	}
	say("a follower names the leader and keeps the stream; the last heartbeat takes the volumes away")
}
