package testbroker

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// places lists the contents of a response, in its order.
func places(m protocol.Response) (list []string) {
	switch m := m.(type) {
	case *protocol.ProduceResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				list = append(list, fmt.Sprint(t.Name, "/", p.Index))
			}
		}
	case *protocol.MetadataResponse:
		for _, b := range m.Brokers {
			list = append(list, fmt.Sprint("broker ", b.NodeID))
		}
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				list = append(list, fmt.Sprint(*t.Name, "/", p.Index, " in sync ", p.ISR))
			}
		}
	case *protocol.ApiVersionsResponse:
		for _, a := range m.APIs {
			list = append(list, a.Key.String())
		}
	}
	return list
}

// unordered are requests with long lists in their responses.
var unordered = map[string]struct {
	version  int16
	request  func() protocol.Request
	response func() protocol.Response
}{
	"Produce": {12, func() protocol.Request {
		q := &protocol.ProduceRequest{Acks: -1}
		for _, name := range []string{"a", "b", "c"} {
			t := protocol.ProduceTopic{Name: name}
			for p := range int32(4) {
				t.Partitions = append(t.Partitions, protocol.ProducePartition{Index: p, Records: batch(plain, "x")})
			}
			q.Topics = append(q.Topics, t)
		}
		return q
	}, func() protocol.Response { return new(protocol.ProduceResponse) }},
	"Metadata": {13, func() protocol.Request { return new(protocol.MetadataRequest) },
		func() protocol.Response { return new(protocol.MetadataResponse) }},
	"ApiVersions": {4, func() protocol.Request {
		return &protocol.ApiVersionsRequest{SoftwareName: "a",
			SoftwareVersion: "1"}
	}, func() protocol.Response { return new(protocol.ApiVersionsResponse) }},
}

func threeTopics(seed uint64) Config {
	return Config{Seed: seed, Brokers: 1, Topics: map[string]int32{"a": 4, "b": 4, "c": 4}}
}

func TestResponsesComeInAnyOrder(t *testing.T) {
	for name, kind := range unordered {
		t.Run(name, func(t *testing.T) {
			k := connect(t, New(t, threeTopics(0)), 1)
			seen := map[string]bool{}
			var first []string
			for range 20 {
				r := kind.response()
				k.send(kind.version, kind.request())
				k.receiveAsIs(k.id, kind.version, r)
				list := places(r)
				if first == nil {
					first = list
				}
				require.ElementsMatch(t, first, list)
				seen[fmt.Sprint(list)] = true
			}
			require.Greater(t, len(seen), 5)
		})
	}
}

func TestASeedFixesTheBrokersChoices(t *testing.T) {
	for name, kind := range unordered {
		t.Run(name, func(t *testing.T) {
			answers := func(seed uint64) (list []string) {
				k := connect(t, New(t, threeTopics(seed)), 1)
				for range 5 {
					r := kind.response()
					k.send(kind.version, kind.request())
					k.receiveAsIs(k.id, kind.version, r)
					list = append(list, places(r)...)
				}
				return list
			}
			require.Equal(t, answers(7), answers(7))
			require.NotEqual(t, answers(7), answers(8))
		})
	}
}

// TestAFailedTestLogsTheSeed: with it the same responses come again.
func TestAFailedTestLogsTheSeed(t *testing.T) {
	r := &recorder{TB: t}
	New(r, threeTopics(4711))
	r.Errorf("something is wrong")
	for _, f := range r.cleanup {
		f()
	}
	require.Contains(t, fmt.Sprint(r.errors), "Config.Seed 4711")
}

func TestReadsComeInPieces(t *testing.T) {
	a, b := Pipe()
	t.Cleanup(func() { _ = b.Close() })
	sent := make([]byte, 1000)
	for i := range sent {
		sent[i] = byte(i)
	}
	whole, some := 0, 0
	for range 200 {
		_, err := b.Write(sent)
		require.NoError(t, err)
		got := make([]byte, len(sent))
		n, err := a.Read(got)
		require.NoError(t, err)
		_, err = io.ReadFull(a, got[n:])
		require.NoError(t, err)
		require.Equal(t, sent, got)
		if n == len(sent) {
			whole++
		} else {
			some++
		}
	}
	require.NotZero(t, whole)
	require.NotZero(t, some)
}
