// A client of Holdfast's masters made with grpc-go, the library that SeaweedFS's programs are made with. It checks what
// such a client trips over (spec/weed-grpc 1, 2, 5): each check is a command, given the addresses to speak to.
//
//	client <check> -leader=host:grpcport -follower=host:grpcport -http=host:port ...
//
// It prints one line for each thing it saw, ends with 0 when all held, and with 1 and the reason when one did not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"holdfast.test/client/pb/master_pb"
)

var (
	leader     = flag.String("leader", "", "gRPC address of the master that leads")
	leaderHTTP = flag.String("leaderHttp", "", "its HTTP address")
	follower   = flag.String("follower", "", "gRPC address of a master that does not lead")
	volume     = flag.String("volume", "", "gRPC address of a volume server")
	volumeHTTP = flag.String("volumeHttp", "", "its HTTP address")
	seconds    = flag.Float64("seconds", 3, "how long a measurement lasts")
	streams    = flag.Int("streams", 16, "calls at a time")
	fid        = flag.String("fid", "", "a file")
	token      = flag.Int64("token", 0, "of the admin lock: the pair that is held")
	lockTime   = flag.Int64("lockTime", 0, "")
)

var checks = map[string]func(context.Context){
	"transport":  transport,
	"notleader":  notLeader,
	"greetings":  greetings,
	"heartbeats": heartbeats,
	"lists":      lists,
	"assigns":    assigns,
	"reflection": reflect,
	"lock":       lock,
	"relock":     relock,
	"bench":      bench,
	"queries":    queries,
}

func main() {
	if len(os.Args) < 2 || checks[os.Args[1]] == nil {
		fail("which check? there are %v", names())
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		fail("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	checks[os.Args[1]](ctx)
}

func names() (all []string) {
	for name := range checks {
		all = append(all, name)
	}
	return all
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func expect(holds bool, format string, args ...any) {
	if !holds {
		fail(format, args...)
	}
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// As upstream's clients dial: pings (of the shortest interval that the library allows), 1 GiB messages.
func dial(address string) *grpc.ClientConn {
	connection, err := grpc.Dial(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second,
			PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		fail("dial %s: %v", address, err)
	}
	return connection
}

func master(address string) master_pb.SeaweedClient { return master_pb.NewSeaweedClient(dial(address)) }
