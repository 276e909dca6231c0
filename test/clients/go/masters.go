package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"holdfast.test/client/pb/master_pb"
)

const notLeaderText = "raft.Server: Not current leader"

// The HTTP form of an address: "host:port.grpcport" without the last part.
func httpForm(address string) string {
	if at := strings.LastIndex(address, "."); at > strings.LastIndex(address, ":") {
		return address[:at]
	}
	return address
}

// Business errors close a shared connection when they come with these.
func isPoison(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Aborted:
		return true
	}
	return false
}

func notLeader(ctx context.Context) {
	client := master(*follower)
	_, err := client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "other"})
	expect(status.Code(err) == codes.Unknown && status.Convert(err).Message() == notLeaderText, "LeaseAdminToken: %v", err)
	_, err = client.VolumeMarkReadonly(ctx, &master_pb.VolumeMarkReadonlyRequest{Ip: "127.0.0.1", Port: 1, VolumeId: 1})
	expect(status.Code(err) == codes.Unknown && status.Convert(err).Message() == notLeaderText, "VolumeMarkReadonly: %v", err)
	configuration, err := client.GetMasterConfiguration(ctx, &master_pb.GetMasterConfigurationRequest{})
	expect(err == nil && httpForm(configuration.Leader) == *leaderHTTP, "GetMasterConfiguration: %v %v", configuration, err)
	assigned, err := client.Assign(ctx, &master_pb.AssignRequest{Count: 1})
	expect(err == nil && assigned.Location != nil, "a follower passes an assign on: %v %v", assigned, err)
	_, err = client.LookupVolume(ctx, &master_pb.LookupVolumeRequest{VolumeOrFileIds: []string{assigned.Fid}})
	expect(err == nil, "LookupVolume: %v", err)
	_, err = client.GetAdminLockStatus(ctx, &master_pb.GetAdminLockStatusRequest{LockName: "shell"})
	expect(err == nil, "GetAdminLockStatus: %v", err)
	say("a follower says `%s` where it must, and answers the rest", notLeaderText)

	ping, err := client.Ping(ctx, &master_pb.PingRequest{})
	expect(err == nil && ping.StartTimeNs > 0 && ping.StopTimeNs >= ping.StartTimeNs, "Ping: %v %v", ping, err)
	_, err = client.Ping(ctx, &master_pb.PingRequest{Target: "127.0.0.1:1", TargetType: "volumeServer"})
	expect(status.Code(err) == codes.InvalidArgument &&
		status.Convert(err).Message() == "unknown ping target 127.0.0.1:1 of type volumeServer", "Ping: %v", err)
	for _, target := range []struct{ address, kind string }{{*leaderHTTP, "master"}, {*volumeHTTP, "volumeServer"}} {
		_, err = client.Ping(ctx, &master_pb.PingRequest{Target: target.address, TargetType: target.kind})
		expect(err == nil, "Ping of %v: %v", target, err)
	}
	servers, err := client.RaftListClusterServers(ctx, &master_pb.RaftListClusterServersRequest{})
	expect(err == nil && len(servers.ClusterServers) == 3, "RaftListClusterServers: %v %v", servers, err)
	leaders := 0
	for _, one := range servers.ClusterServers {
		if one.IsLeader {
			leaders++
			expect(one.Address == *leader, "leader %v", one)
		}
		expect(one.Suffrage == "Voter", "%v", one)
	}
	expect(leaders == 1, "%d leaders", leaders)
	say("pings of itself, of a master, of a volume server; three members")
}

type connected struct {
	stream master_pb.Seaweed_KeepConnectedClient
	cancel context.CancelFunc
}

func keepConnected(ctx context.Context, address, kind, self string) connected {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := master(address).KeepConnected(ctx)
	expect(err == nil, "KeepConnected: %v", err)
	err = stream.Send(&master_pb.KeepConnectedRequest{ClientType: kind, ClientAddress: self, Version: "test"})
	expect(err == nil, "KeepConnected: %v", err)
	return connected{stream, cancel}
}

func (c connected) next(what string) *master_pb.KeepConnectedResponse {
	message, err := c.stream.Recv()
	expect(err == nil, "%s: %v", what, err)
	for _, text := range []string{message.GetVolumeLocation().GetUrl(), message.GetVolumeLocation().GetLeader()} {
		expect(utf8.ValidString(text), "%q", text)
	}
	return message
}

func greetings(ctx context.Context) {
	begun := time.Now()
	shell := keepConnected(ctx, *leader, "adminShell", "")
	first := shell.next("the first message of a leader").GetVolumeLocation()
	expect(first != nil && httpForm(first.Leader) == *leaderHTTP, "first message %v", first)
	expect(time.Since(begun) < 2*time.Second, "the first message took %v", time.Since(begun))
	say("the first message of the leader names it, after %v", time.Since(begun).Round(time.Millisecond))

	elsewhere := keepConnected(ctx, *follower, "client", "")
	hint := elsewhere.next("the first message of a follower").GetVolumeLocation()
	expect(hint != nil && httpForm(hint.Leader) == *leaderHTTP && hint.Url == "", "hint %v", hint)
	_, err := elsewhere.stream.Recv()
	expect(err == io.EOF, "after the hint: %v", err)
	say("a follower names the leader and ends in peace")

	// Filers are nodes as long as they are connected; all of the group hear of it, and of the ring.
	gateway := keepConnected(ctx, *leader, "s3", "127.0.0.1:8333")
	one := keepConnected(ctx, *leader, "filer", "127.0.0.1:8888")
	one.next("the filer's first message")
	two := keepConnected(ctx, *leader, "filer", "127.0.0.1:8889")
	two.next("the filer's first message")
	wait := func(c connected, what string, holds func(*master_pb.KeepConnectedResponse) bool) {
		for !holds(c.next(what)) {
		}
	}
	wait(shell, "a filer comes", func(m *master_pb.KeepConnectedResponse) bool {
		update := m.GetClusterNodeUpdate()
		return update != nil && update.IsAdd && update.NodeType == "filer" && update.Address == "127.0.0.1:8889"
	})
	version := int64(0)
	wait(gateway, "the ring", func(m *master_pb.KeepConnectedResponse) bool {
		ring := m.GetLockRingUpdate()
		if ring != nil {
			version = ring.Version
		}
		return ring != nil && len(ring.Servers) == 2
	})
	nodes, err := master(*leader).ListClusterNodes(ctx, &master_pb.ListClusterNodesRequest{ClientType: "filer"})
	expect(err == nil && len(nodes.ClusterNodes) == 2 && nodes.ClusterNodes[0].CreatedAtNs > 0, "%v %v", nodes, err)
	two.cancel()
	wait(shell, "a filer goes", func(m *master_pb.KeepConnectedResponse) bool {
		update := m.GetClusterNodeUpdate()
		return update != nil && !update.IsAdd && update.Address == "127.0.0.1:8889"
	})
	wait(gateway, "the ring", func(m *master_pb.KeepConnectedResponse) bool {
		ring := m.GetLockRingUpdate()
		return ring != nil && len(ring.Servers) == 1 && ring.Version > version
	})
	say("filers come and go: nodes, updates, and the ring with a rising version")

	// A volume that is made is told at once.
	_, err = master(*leader).VolumeGrow(ctx, &master_pb.VolumeGrowRequest{WritableVolumeCount: 1, Collection: "grown"})
	expect(err == nil, "VolumeGrow: %v", err)
	wait(shell, "a new volume", func(m *master_pb.KeepConnectedResponse) bool {
		place := m.GetVolumeLocation()
		expect(place == nil || place.Leader == "", "a leader in a delta: %v", place)
		return place != nil && len(place.NewVids) == 1 && place.Url == *volumeHTTP && place.GrpcPort != 0
	})
	_, err = master(*leader).VolumeGrow(ctx, &master_pb.VolumeGrowRequest{WritableVolumeCount: 100000})
	expect(status.Code(err) == codes.Unknown && strings.Contains(err.Error(), "volumes left, not enough for 100000"),
		"VolumeGrow: %v", err)
	say("a volume that is made is told at once")
}

// How many volumes VolumeList tells of.
func listed(ctx context.Context, client master_pb.SeaweedClient) int {
	whole, err := client.VolumeList(ctx, &master_pb.VolumeListRequest{})
	expect(err == nil && whole.TopologyInfo != nil && whole.VolumeSizeLimitMb > 0, "VolumeList: %v %v", whole, err)
	volumes := 0
	for _, center := range whole.TopologyInfo.DataCenterInfos {
		for _, rack := range center.RackInfos {
			for _, node := range rack.DataNodeInfos {
				expect(node.GrpcPort != 0 && node.Address != "", "%v", node)
				for kind, disk := range node.DiskInfos {
					expect(disk != nil, "a disk of kind %q is nil", kind)
					volumes += len(disk.VolumeInfos)
				}
			}
		}
	}
	return volumes
}

// How many VolumeListStream tells of.
func streamedVolumes(ctx context.Context, client master_pb.SeaweedClient) int {
	stream, err := client.VolumeListStream(ctx, &master_pb.VolumeListRequest{})
	expect(err == nil, "VolumeListStream: %v", err)
	header, err := stream.Recv()
	expect(err == nil && header.Header != nil && len(header.VolumeInfos) == 0, "header: %v %v", header, err)
	streamed := 0
	for {
		piece, err := stream.Recv()
		if err == io.EOF {
			return streamed
		}
		expect(err == nil && piece.Header == nil && piece.DataNode != "", "%v %v", piece, err)
		streamed += len(piece.VolumeInfos)
	}
}

func lists(ctx context.Context) {
	client := master(*follower)
	assigned, err := client.Assign(ctx, &master_pb.AssignRequest{Count: 1, Collection: "pics"})
	expect(err == nil, "Assign: %v", err)
	client = master(*leader)
	// The growth that the assign began may go on meanwhile: both are asked until they tell the same.
	volumes, streamed := listed(ctx, client), streamedVolumes(ctx, client)
	for tries := 0; volumes != streamed && tries < 100; tries++ {
		time.Sleep(50 * time.Millisecond)
		volumes, streamed = listed(ctx, client), streamedVolumes(ctx, client)
	}
	expect(volumes > 0, "no volumes")
	expect(streamed == volumes, "%d volumes streamed, %d listed", streamed, volumes)

	names, err := client.CollectionList(ctx, &master_pb.CollectionListRequest{IncludeNormalVolumes: true})
	expect(err == nil, "CollectionList: %v", err)
	has := false
	for _, one := range names.Collections {
		has = has || one.Name == "pics"
	}
	expect(has, "CollectionList: %v", names)
	statistics, err := client.Statistics(ctx, &master_pb.StatisticsRequest{Collection: "pics"})
	expect(err == nil && statistics.TotalSize > 0 && statistics.LogicalTotalSize == statistics.TotalSize, "%v %v", statistics, err)
	all, err := client.CollectionStatistics(ctx, &master_pb.CollectionStatisticsRequest{})
	expect(err == nil && len(all.Collections) > 0, "CollectionStatistics: %v", err)
	_, err = client.CollectionDelete(ctx, &master_pb.CollectionDeleteRequest{Name: "nobody's"})
	expect(err == nil, "CollectionDelete of none: %v", err)
	_, err = client.CollectionDelete(ctx, &master_pb.CollectionDeleteRequest{Name: "pics"})
	expect(err == nil, "CollectionDelete: %v", err)
	looked, err := client.LookupVolume(ctx, &master_pb.LookupVolumeRequest{VolumeOrFileIds: []string{assigned.Fid}})
	expect(err == nil && looked.VolumeIdLocations[0].Error != "", "after the deletion: %v %v", looked, err)
	_, err = client.LookupEcVolume(ctx, &master_pb.LookupEcVolumeRequest{VolumeId: 4711})
	expect(status.Code(err) == codes.Unknown && status.Convert(err).Message() == "ec volume 4711 not found", "%v", err)
	say("%d volumes listed and streamed; a collection listed, counted, deleted", volumes)
}

// A master that has just begun may not have heard of every volume server, so it says "not yet"; clients try again for 30 s.
func assignLikeUpstream(ctx context.Context, client master_pb.SeaweedClient, request *master_pb.AssignRequest) error {
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Second) {
		_, err := client.Assign(ctx, request)
		again := status.Code(err) == codes.ResourceExhausted || status.Code(err) == codes.Unavailable
		if !again || time.Now().After(until) {
			return err
		}
	}
}

func assigns(ctx context.Context) {
	client := master(*leader)
	answer, err := client.Assign(ctx, &master_pb.AssignRequest{Count: 3})
	expect(err == nil && answer.Count == 3 && answer.Location != nil && answer.Fid != "" && answer.Error == "", "%v %v", answer, err)
	none, err := client.Assign(ctx, &master_pb.AssignRequest{})
	expect(err == nil && none.Count == 1, "count 0: %v %v", none, err)
	err = assignLikeUpstream(ctx, client, &master_pb.AssignRequest{DataCenter: "nowhere", Collection: "elsewhere"})
	expect(status.Code(err) == codes.Unknown && strings.Contains(status.Convert(err).Message(), "data center nowhere not found in topology"),
		"an unknown data center: %v", err)
	_, err = client.Assign(ctx, &master_pb.AssignRequest{Replication: "xyz"})
	expect(err != nil && !isPoison(err), "a wrong replication: %v", err)
	err = assignLikeUpstream(ctx, client, &master_pb.AssignRequest{DiskType: "tape"})
	expect(status.Code(err) == codes.Unknown && strings.Contains(status.Convert(err).Message(), "No writable volumes") &&
		strings.Contains(status.Convert(err).Message(), "and no free volumes left for"), "no room: %v", err)

	stream, err := client.StreamAssign(ctx)
	expect(err == nil, "StreamAssign: %v", err)
	for i := 1; i <= 50; i++ {
		expect(stream.Send(&master_pb.AssignRequest{Count: uint64(i)}) == nil, "StreamAssign: cannot send")
	}
	for i := 1; i <= 50; i++ {
		one, err := stream.Recv()
		expect(err == nil && one.Count == uint64(i) && one.Location != nil, "answer %d: %v %v", i, one, err)
	}
	expect(stream.CloseSend() == nil, "CloseSend")
	_, err = stream.Recv()
	expect(err == io.EOF, "the end of StreamAssign: %v", err)
	say("assigns have a location and a count; what is wrong is said with codes that keep the connection")
}

// Takes the lock and prints the pair for `relock`.
func lock(ctx context.Context) {
	client := master(*leader)
	mine, err := client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "shell", ClientName: "one",
		Message: "moves volumes"})
	expect(err == nil && mine.Token != 0 && mine.LockTsNs != 0, "LeaseAdminToken: %v %v", mine, err)
	refused(ctx, client)
	renewed, err := client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "shell", ClientName: "one",
		Message: "moves volumes", PreviousToken: mine.Token, PreviousLockTime: mine.LockTsNs})
	expect(err == nil && renewed.Token != mine.Token, "a renewal: %v %v", renewed, err)
	what, err := master(*follower).GetAdminLockStatus(ctx, &master_pb.GetAdminLockStatusRequest{LockName: "shell"})
	expect(err == nil && what.IsLocked && what.ClientName == "one" && what.Message == "moves volumes", "%v %v", what, err)
	fmt.Printf("%d %d\n", renewed.Token, renewed.LockTsNs)
}

func refused(ctx context.Context, client master_pb.SeaweedClient) {
	_, err := client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "shell", ClientName: "two"})
	expect(status.Code(err) == codes.Unknown && status.Convert(err).Message() == "already locked by one: moves volumes",
		"a lock that is held: %v", err)
}

// After a change of leader: it is held still, by its holder alone; and free when released.
func relock(ctx context.Context) {
	client := master(*leader)
	refused(ctx, client)
	renewed, err := client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "shell", ClientName: "one",
		PreviousToken: *token, PreviousLockTime: *lockTime})
	expect(err == nil, "a renewal at the next leader: %v", err)
	release := func(pair *master_pb.LeaseAdminTokenResponse) {
		_, err := client.ReleaseAdminToken(ctx, &master_pb.ReleaseAdminTokenRequest{LockName: "shell",
			PreviousToken: pair.Token, PreviousLockTime: pair.LockTsNs})
		expect(err == nil, "ReleaseAdminToken: %v", err)
	}
	release(&master_pb.LeaseAdminTokenResponse{Token: 1, LockTsNs: 2}) // nobody's
	what, err := client.GetAdminLockStatus(ctx, &master_pb.GetAdminLockStatusRequest{LockName: "shell"})
	expect(err == nil && what.IsLocked, "%v %v", what, err)
	release(renewed)
	_, err = client.LeaseAdminToken(ctx, &master_pb.LeaseAdminTokenRequest{LockName: "shell", ClientName: "two"})
	expect(err == nil, "after the release: %v", err)
	say("the lock outlived its leader, for its holder alone")
}

// Assigns as fast as `streams` callers get them, each one rpc.
func bench(ctx context.Context) {
	connection := dial(*leader)
	client := master_pb.NewSeaweedClient(connection)
	warm, err := client.Assign(ctx, &master_pb.AssignRequest{Count: 1})
	expect(err == nil && warm.Location != nil, "Assign: %v", err)
	measure := func(one func() error) float64 {
		var done int64
		var group sync.WaitGroup
		begun := time.Now()
		end := begun.Add(time.Duration(*seconds * float64(time.Second)))
		for i := 0; i < *streams; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for time.Now().Before(end) {
					if err := one(); err != nil {
						fail("%v", err)
					}
					atomic.AddInt64(&done, 1)
				}
			}()
		}
		group.Wait()
		return float64(done) / time.Since(begun).Seconds()
	}
	assigned := measure(func() error {
		_, err := client.Assign(ctx, &master_pb.AssignRequest{Count: 1})
		return err
	})
	pinged := measure(func() error {
		_, err := client.Ping(ctx, &master_pb.PingRequest{})
		return err
	})
	fmt.Printf("%.0f %.0f\n", assigned, pinged)
}
