package itest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gosamsa/samsa/protocol"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rounds is how many random messages each version of each message is tested with.
const rounds = 60

// pair is one message in both libraries.
type pair struct {
	name   string
	ours   func() ours
	theirs func() theirs
	// settle takes the values beyond the version from a random message of ours, and turns two ways to say the same into
	// kmsg's way.
	settle func(m ours, version int16)
}

func pairs() []pair {
	nothing := func(ours, int16) {}
	return []pair{
		{"ProduceRequest", func() ours { return &protocol.ProduceRequest{} },
			func() theirs { return &kmsg.ProduceRequest{} }, nothing},
		{"ProduceResponse", func() ours { return &protocol.ProduceResponse{} },
			func() theirs { return &kmsg.ProduceResponse{} }, settleProduceResponse},
		{"MetadataRequest", func() ours { return &protocol.MetadataRequest{} },
			func() theirs { return &kmsg.MetadataRequest{} }, settleMetadataRequest},
		{"MetadataResponse", func() ours { return &protocol.MetadataResponse{} },
			func() theirs { return &kmsg.MetadataResponse{} }, settleMetadataResponse},
		{"ApiVersionsRequest", func() ours { return &protocol.ApiVersionsRequest{} },
			func() theirs { return &kmsg.ApiVersionsRequest{} }, nothing},
		{"ApiVersionsResponse", func() ours { return &protocol.ApiVersionsResponse{} },
			func() theirs { return &kmsg.ApiVersionsResponse{} }, settleApiVersionsResponse},
		{"InitProducerIDRequest", func() ours { return &protocol.InitProducerIDRequest{} },
			func() theirs { return &kmsg.InitProducerIDRequest{} }, settleInitProducerID},
		{"InitProducerIDResponse", func() ours { return &protocol.InitProducerIDResponse{} },
			func() theirs { return &kmsg.InitProducerIDResponse{} }, nothing},
	}
}

func settleProduceResponse(m ours, version int16) {
	resp := m.(*protocol.ProduceResponse)
	if version == 9 { // see settleKmsg
		resp.NodeEndpoints = nil
	}
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			// To kmsg an unknown leader and none are the same.
			if version == 9 || p.CurrentLeader != nil &&
				*p.CurrentLeader == (protocol.LeaderIDAndEpoch{LeaderID: -1, LeaderEpoch: -1}) {
				p.CurrentLeader = nil
			}
		}
	}
}

func settleMetadataRequest(m ours, version int16) {
	req := m.(*protocol.MetadataRequest)
	if version == 0 && len(req.Topics) == 0 {
		req.Topics = nil
	}
	if version < 4 {
		req.AllowAutoTopicCreation = true
	}
	for i := range req.Topics {
		if t := &req.Topics[i]; version < 10 && t.Name == nil {
			t.Name = new(string)
		}
	}
}

func settleMetadataResponse(m ours, version int16) {
	resp := m.(*protocol.MetadataResponse)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; version < 12 && t.Name == nil {
			t.Name = new(string)
		}
	}
}

func settleApiVersionsResponse(m ours, _ int16) {
	// This code changes the version of the body: see TestUnsupportedVersionAnswerIsReadInVersion0.
	if resp := m.(*protocol.ApiVersionsResponse); resp.ErrorCode == protocol.UnsupportedVersion {
		resp.ErrorCode = protocol.None
	}
}

func settleInitProducerID(m ours, version int16) {
	if version < 3 {
		req := m.(*protocol.InitProducerIDRequest)
		req.ProducerID, req.ProducerEpoch = protocol.NoProducerID, protocol.NoProducerEpoch
	}
}

// eachVersion runs a test for every message in every version of ours.
func eachVersion(t *testing.T, test func(t *testing.T, p pair, version int16, seed uint64)) {
	t.Helper()
	for i, p := range pairs() {
		versions := protocol.SupportedVersions(p.ours().Key())
		require.LessOrEqual(t, versions.Max, p.theirs().MaxVersion())
		for version := versions.Min; version <= versions.Max; version++ {
			t.Run(fmt.Sprintf("%s/%d", p.name, version), func(t *testing.T) {
				test(t, p, version, uint64(i)<<16|uint64(version))
			})
		}
	}
}

func TestOurMessagesAreEncodedAsKmsgEncodesThem(t *testing.T) {
	eachVersion(t, func(t *testing.T, p pair, version int16, seed uint64) {
		f := newFiller(1, seed)
		for range rounds {
			m := p.ours()
			f.fill(m)
			p.settle(m, version)
			got, err := m.Append(nil, version)
			require.NoError(t, err)
			k := toKmsg(m)
			k.SetVersion(version)
			requireSameBytes(t, k.AppendTo(nil), got)
			require.NoError(t, k.ReadFrom(got))
			if req, ok := m.(*protocol.ProduceRequest); ok {
				requireFrames(t, req, version, got)
			}
		}
	})
}

// requireFrames requires the same bytes from the vectored form, and the foretold sizes.
func requireFrames(t *testing.T, req *protocol.ProduceRequest, version int16, want []byte) {
	t.Helper()
	header, total := req.EncodedSize(version)
	hdr, bufs, err := req.AppendVectored(make([]byte, 0, header), nil, version)
	require.NoError(t, err)
	requireSameBytes(t, want, bytes.Join(bufs, nil))
	require.Len(t, hdr, header)
	require.Len(t, want, total)
}

func TestKmsgsMessagesAreDecodedFieldByField(t *testing.T) {
	eachVersion(t, func(t *testing.T, p pair, version int16, seed uint64) {
		f := newFiller(2, seed)
		m := p.ours() // decoded into again and again: nothing of the last message may stay
		for range rounds {
			k := p.theirs()
			f.fill(k)
			settleKmsg(k, version)
			k.SetVersion(version)
			wire := k.AppendTo(nil)
			require.NoError(t, m.Decode(wire, version))
			back := toKmsg(m)
			back.SetVersion(version)
			requireSameBytes(t, wire, back.AppendTo(nil))
			again, err := m.Append(nil, version)
			require.NoError(t, err)
			requireSameBytes(t, wire, again)
		}
	})
}

func TestTagsThatNobodyKnowsAreSkipped(t *testing.T) {
	eachVersion(t, func(t *testing.T, p pair, version int16, seed uint64) {
		plain, tagged := newFiller(3, seed), newFiller(3, seed)
		tagged.tags = rand.New(rand.NewPCG(4, seed))
		for range rounds {
			without, with := p.theirs(), p.theirs()
			for k, f := range map[theirs]*filler{without: plain, with: tagged} {
				f.fill(k)
				settleKmsg(k, version)
				k.SetVersion(version)
			}
			m := p.ours()
			require.NoError(t, m.Decode(with.AppendTo(nil), version))
			p.settle(m, version)
			again, err := m.Append(nil, version)
			require.NoError(t, err)
			requireSameBytes(t, without.AppendTo(nil), again)
		}
	})
}

// settleKmsg is a pair's settle for a random message of kmsg's.
func settleKmsg(k theirs, version int16) {
	switch k := k.(type) {
	case *kmsg.ApiVersionsResponse:
		if k.ErrorCode == int16(protocol.UnsupportedVersion) {
			k.ErrorCode = 0
		}
	case *kmsg.ProduceResponse:
		// Kafka has the tagged fields of KIP-951 from version 10 on; kmsg writes them in every version with tags.
		if version != 9 {
			return
		}
		k.Brokers = nil
		for _, t := range k.Topics {
			for i := range t.Partitions {
				t.Partitions[i].CurrentLeader = kmsg.NewProduceResponseTopicPartitionCurrentLeader()
			}
		}
	}
}

func TestUnsupportedVersionAnswerIsReadInVersion0(t *testing.T) {
	for version := int16(0); version <= protocol.SupportedVersions(protocol.ApiVersions).Max; version++ {
		k := kmsg.NewPtrApiVersionsResponse()
		k.ErrorCode = int16(protocol.UnsupportedVersion)
		k.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 18, MinVersion: 0, MaxVersion: 2}}
		k.SetVersion(0)
		var m protocol.ApiVersionsResponse
		require.NoError(t, m.Decode(k.AppendTo(nil), version))
		require.Equal(t, protocol.UnsupportedVersion, m.ErrorCode)
		require.Equal(t, []protocol.APIVersion{{Key: protocol.ApiVersions, Min: 0, Max: 2}}, m.APIs)
	}
}

func TestRequestHeadersAreThoseOfKmsg(t *testing.T) {
	for _, client := range []string{"", "samsa", "client é"} {
		formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(client))
		for _, p := range pairs() {
			req, ok := p.theirs().(kmsg.Request)
			if !ok {
				continue
			}
			key := p.ours().Key()
			for version := protocol.SupportedVersions(key).Min; version <= protocol.SupportedVersions(
				key).Max; version++ {
				req.SetVersion(version)
				frame := formatter.AppendRequest(nil, req, -7)
				header := protocol.AppendRequestHeader(nil, key, version, -7, client)
				requireSameBytes(t, frame[4:], append(bytes.Clone(header), req.AppendTo(nil)...))

				decoded, body, err := protocol.DecodeRequestHeader(frame[4:])
				require.NoError(t, err)
				require.Equal(t, protocol.RequestHeader{Key: key, Version: version, CorrelationID: -7,
					ClientID: &client}, decoded)
				requireSameBytes(t, req.AppendTo(nil), body)
			}
		}
	}
}

// requireSameBytes compares, and shows only the beginning of a difference: messages are long.
func requireSameBytes(t *testing.T, want, got []byte) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	around := func(b []byte) []byte { return b[max(0, at-16):min(len(b), at+32)] }
	t.Fatalf("%d bytes wanted, %d had; they differ from byte %d on:\nwanted …% x…\nhad    …% x…", len(want), len(got),
		at, around(want), around(got))
}
