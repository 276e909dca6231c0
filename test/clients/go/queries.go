package main

import (
	"context"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"holdfast.test/client/pb/volume_server_pb"
)

// All that a query gives, and how it ends.
func asked(ctx context.Context, client volume_server_pb.VolumeServerClient, request *volume_server_pb.QueryRequest) (string, int, metadata.MD, error) {
	var trailer metadata.MD
	stream, err := client.Query(ctx, request, grpc.Trailer(&trailer))
	if err != nil {
		return "", 0, nil, err
	}
	all, stripes := strings.Builder{}, 0
	for {
		stripe, err := stream.Recv()
		if err == io.EOF {
			return all.String(), stripes, stream.Trailer(), nil
		}
		if err != nil {
			return all.String(), stripes, stream.Trailer(), err
		}
		stripes++
		all.Write(stripe.Records)
	}
}

// Queries of a file that -fid names: 20,000 lines {"n":N,"pad":"..."}.
func queries(ctx context.Context) {
	client := volume_server_pb.NewVolumeServerClient(dial(*volume))
	lines := &volume_server_pb.QueryRequest_InputSerialization{JsonInput: &volume_server_pb.QueryRequest_InputSerialization_JSONInput{Type: "LINES"}}
	csv := &volume_server_pb.QueryRequest_OutputSerialization{CsvOutput: &volume_server_pb.QueryRequest_OutputSerialization_CSVOutput{}}

	named := metadata.AppendToOutgoingContext(ctx, "x-amz-request-id", "from-go")
	got, _, trailer, err := asked(named, client, &volume_server_pb.QueryRequest{FromFileIds: []string{*fid}, Selections: []string{"n"},
		Filter: &volume_server_pb.QueryRequest_Filter{Field: "n", Operand: ">=", Value: "19997"}, InputSerialization: lines, OutputSerialization: csv})
	expect(err == nil && got == "19997\n19998\n19999\n", "a filter gives %q, %v", got, err)
	id := trailer.Get("x-amz-request-id")
	expect(len(id) == 1 && id[0] == "from-go", "the request id comes back as %v", id)

	got, stripes, _, err := asked(ctx, client, &volume_server_pb.QueryRequest{FromFileIds: []string{*fid}, InputSerialization: lines})
	expect(err == nil && strings.Count(got, "\n") == 20000 && stripes > 3, "the whole file: %d bytes in %d stripes, %v", len(got), stripes, err)

	for want, request := range map[codes.Code]*volume_server_pb.QueryRequest{
		codes.InvalidArgument: {FromFileIds: []string{*fid}},
		codes.NotFound:        {FromFileIds: []string{"4711,01637037d6"}, InputSerialization: lines},
		codes.Unimplemented: {FromFileIds: []string{*fid}, InputSerialization: &volume_server_pb.QueryRequest_InputSerialization{
			ParquetInput: &volume_server_pb.QueryRequest_InputSerialization_ParquetInput{}}},
	} {
		_, _, _, err := asked(ctx, client, request)
		expect(status.Code(err) == want, "wanted %v, got %v", want, err)
	}
	say("queries come in stripes and end with codes")
}
