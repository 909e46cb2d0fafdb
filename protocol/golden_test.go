package protocol

import (
	"bufio"
	"encoding/hex"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenLine is one line of testdata/golden.txt.
type goldenLine struct {
	name    string
	version int16
	bytes   []byte
}

func readGolden(t *testing.T) []goldenLine {
	t.Helper()
	file, err := os.Open("testdata/golden.txt")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var lines []goldenLine
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if strings.HasPrefix(scanner.Text(), "#") {
			continue
		}
		fields := append(strings.Fields(scanner.Text()), "")
		version, err := strconv.ParseInt(fields[1], 10, 16)
		require.NoError(t, err)
		body, err := hex.DecodeString(fields[2])
		require.NoError(t, err)
		lines = append(lines, goldenLine{fields[0], int16(version), body})
	}
	require.NoError(t, scanner.Err())
	require.NotEmpty(t, lines)
	return lines
}

func ptr[T any](v T) *T { return &v }

var goldenID = UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// goldenMessage returns the message written by the Java client. Lower versions have their own message if a request
// needs a newer version.
func goldenMessage(name string, version int16) Message {
	switch name {
	case "ApiVersionsRequest":
		return &ApiVersionsRequest{SoftwareName: "samsa", SoftwareVersion: "0.1.0"}
	case "ApiVersionsResponse":
		return goldenApiVersionsResponse()
	case "MetadataRequest":
		return &MetadataRequest{AllowAutoTopicCreation: true, Topics: []MetadataRequestTopic{
			{ID: goldenID, Name: ptr("orders")}, {Name: ptr("überweisungen")},
		}}
	case "MetadataRequestAll":
		return &MetadataRequest{AllowAutoTopicCreation: true}
	case "MetadataRequestByID":
		return &MetadataRequest{Topics: []MetadataRequestTopic{{ID: goldenID}}, IncludeTopicAuthorizedOperations: true}
	case "MetadataResponse":
		return goldenMetadataResponse()
	case "ProduceRequest":
		return &ProduceRequest{TransactionalID: ptr("tx"), Acks: -1, TimeoutMs: 30000, Topics: []ProduceTopic{{
			Name: "orders", ID: goldenID, Partitions: []ProducePartition{
				{Index: 0, Records: []byte("first batch")}, {Index: 1, Records: []byte(strings.Repeat("Z", 200))},
				{Index: 2},
			},
		}}}
	case "ProduceResponse":
		return goldenProduceResponse()
	case "InitProducerIDRequest":
		if version < 3 {
			return &InitProducerIDRequest{TransactionTimeoutMs: math.MaxInt32, ProducerID: NoProducerID,
				ProducerEpoch: NoProducerEpoch}
		}
		return &InitProducerIDRequest{TransactionalID: ptr("tx"), TransactionTimeoutMs: 60000,
			ProducerID: 1234567890123, ProducerEpoch: 7}
	case "InitProducerIDResponse":
		return &InitProducerIDResponse{ThrottleMs: 3, ErrorCode: ProducerFenced, ProducerID: 1234567890123,
			ProducerEpoch: 8}
	}
	return nil
}

func goldenApiVersionsResponse() Message {
	return &ApiVersionsResponse{
		ErrorCode:              InvalidRequest,
		APIs:                   []APIVersion{{Produce, 3, 13}, {ApiVersions, 0, 4}},
		ThrottleMs:             7,
		SupportedFeatures:      []SupportedFeature{{Name: "transaction.version", Min: 0, Max: 2}},
		FinalizedFeaturesEpoch: 99,
		FinalizedFeatures:      []FinalizedFeature{{Name: "metadata.version", Min: 1, Max: 25}},
		ZkMigrationReady:       true,
	}
}

func goldenMetadataResponse() Message {
	return &MetadataResponse{
		ThrottleMs: 5,
		Brokers: []MetadataBroker{
			{NodeID: 1, Host: "one.example", Port: 9092, Rack: ptr("a")}, {NodeID: 2, Host: "two.example", Port: 9093},
		},
		ClusterID: ptr("cluster-1"), ControllerID: 2,
		Topics: []MetadataTopic{
			{
				ErrorCode: LeaderNotAvailable, Name: ptr("orders"), ID: goldenID, IsInternal: true,
				AuthorizedOperations: OperationsUnknown,
				Partitions: []MetadataPartition{
					{ErrorCode: ReplicaNotAvailable, LeaderID: 1, LeaderEpoch: 77, Replicas: []int32{1, 2, 3},
						ISR: []int32{1, 2}, Offline: []int32{3}},
					{Index: 1, LeaderID: -1, LeaderEpoch: -1},
				},
			},
			{ErrorCode: UnknownTopicOrPartition, Name: ptr("none"), AuthorizedOperations: OperationsUnknown},
		},
		ClusterAuthorizedOperations: OperationsUnknown, ErrorCode: RebootstrapRequired,
	}
}

func goldenProduceResponse() Message {
	return &ProduceResponse{
		ThrottleMs: 11,
		Topics: []ProduceTopicResponse{{Name: "orders", ID: goldenID, Partitions: []ProducePartitionResponse{
			{BaseOffset: 1 << 40, LogAppendTimeMs: 1700000000000, LogStartOffset: 12},
			{
				Index: 1, ErrorCode: NotLeaderOrFollower, BaseOffset: -1, LogAppendTimeMs: -1, LogStartOffset: -1,
				RecordErrors: []RecordError{{BatchIndex: 3, Message: ptr("bad")}, {BatchIndex: 4}},
				ErrorMessage: ptr("not me"), CurrentLeader: &LeaderIDAndEpoch{LeaderID: 2, LeaderEpoch: 78},
			},
		}}},
		NodeEndpoints: []NodeEndpoint{{NodeID: 2, Host: "two.example", Port: 9093, Rack: ptr("b")}},
	}
}

func TestBytesAreThoseOfKafkasOwnClient(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range readGolden(t) {
		want := goldenMessage(line.name, line.version)
		if want == nil {
			continue // a header
		}
		t.Run(line.name+"/"+strconv.Itoa(int(line.version)), func(t *testing.T) {
			body, err := want.Append(nil, line.version)
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(line.bytes), hex.EncodeToString(body))
			for _, kind := range allKinds {
				if !strings.HasPrefix(line.name, kind.name) {
					continue
				}
				seen[kind.name+strconv.Itoa(int(line.version))] = true
				got := kind.fresh()
				require.NoError(t, got.Decode(line.bytes, line.version))
				again, err := got.Append(nil, line.version)
				require.NoError(t, err)
				require.Equal(t, line.bytes, append([]byte{}, again...))
			}
		})
	}
	for _, kind := range allKinds {
		for _, version := range kind.versions() {
			require.True(t, seen[kind.name+strconv.Itoa(int(version))], "%s version %d has no golden bytes", kind.name,
				version)
		}
	}
}

func TestHeadersAreThoseOfKafkasOwnClient(t *testing.T) {
	headers := 0
	for _, line := range readGolden(t) {
		name, key, ok := strings.Cut(line.name, "/")
		if !ok {
			continue
		}
		headers++
		number, err := strconv.ParseInt(key, 10, 16)
		require.NoError(t, err)
		api := APIKey(number)
		t.Run(name+"/"+api.String()+"/"+strconv.Itoa(int(line.version)), func(t *testing.T) {
			body := append(append([]byte{}, line.bytes...), "body"...)
			if name == "RequestHeader" {
				require.Equal(t, line.bytes, AppendRequestHeader(nil, api, line.version, 0x01020304, "samsa"))
				header, rest, err := DecodeRequestHeader(body)
				require.NoError(t, err)
				require.Equal(t, RequestHeader{api, line.version, 0x01020304, ptr("samsa")}, header)
				require.Equal(t, "body", string(rest))
				return
			}
			require.Equal(t, line.bytes, AppendResponseHeader(nil, api, line.version, 0x01020304))
			id, rest, err := DecodeResponseHeader(body, api, line.version)
			require.NoError(t, err)
			require.Equal(t, int32(0x01020304), id)
			require.Equal(t, "body", string(rest))
		})
	}
	require.NotZero(t, headers)
}
