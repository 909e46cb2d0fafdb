package producer

import (
	"bytes"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests hostile answers to Metadata.

func TestBrokenAnswersToMetadata(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{name: f.name, servers: broken(protocol.Metadata, f.fault),
			check: unreached(f.word)})
	}
	// A body of version 13 is throttle, brokers, cluster id, controller, topics, error code, and tagged fields.
	none := []byte{0, 0, 0, 0, 1, 0, 0, 0, 0, 1} // the fields before the topics
	with := func(b []byte, more ...byte) []byte { return append(b[:len(b):len(b)], more...) }
	topic := append([]byte{2, 0, 0, 2, 't'}, make([]byte, 17)...) // the fields before the partitions
	survive(t, append(cases, bodies(protocol.Metadata, unreached("malformed"), map[string][]byte{
		"no body": {}, "null for the brokers": {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0},
		"2^32-2 brokers":              {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0},
		"a count without end":         append(make([]byte, 4), bytes.Repeat([]byte{0xff}, 5000)...),
		"null for a host":             {0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0},
		"a host of 2^32-2 bytes":      {0, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x', 0, 0, 0, 9, 0},
		"a cluster id beyond the end": {0, 0, 0, 0, 1, 0xff, 0xff, 0x03, 'x', 0, 0, 0, 1},
		"null for the topics":         append(none[:9:9], 0, 0, 0, 0),
		"2^32-2 topics":               append(none[:9:9], 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0),
		"null for the partitions":     append(none[:9:9], with(topic, 0, 0, 0, 0, 0, 0, 0, 0, 0)...),
		"2^32-2 partitions": append(none[:9:9], with(topic, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0, 0,
			0)...),
		"null for the replicas": append(none[:9:9], with(topic,
			append(append([]byte{2}, make([]byte, 14)...), 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)...)...),
		"2^32-2 replicas": append(none[:9:9], with(topic,
			append(append([]byte{2}, make([]byte, 14)...), 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 0, 0, 0, 0, 0,
				0)...)...),
		"2^32-1 tagged fields":          with(none, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"a tagged field beyond the end": with(none, 0, 0, 1, 9, 0xff, 0xff, 0x03),
		"bytes left over":               with(none, 0, 0, 0, 0),
	})...))
}

// described edits the answers to Metadata.
func described(edit func(r *protocol.MetadataResponse)) func(*testing.T) ([]string, func()) {
	return broken(protocol.Metadata, testbroker.Edit(edit))
}

func TestMetadataThatMakesNoSense(t *testing.T) {
	// each edits the topics of an answer; the answer at the first contact has no topics.
	each := func(edit func(topic *protocol.MetadataTopic)) func(*testing.T) ([]string, func()) {
		return described(func(r *protocol.MetadataResponse) {
			for i := range r.Topics {
				edit(&r.Topics[i])
			}
		})
	}
	var clusters, epochs atomic.Int32
	survive(t, []*hostileCase{
		{name: "no brokers", servers: described(func(r *protocol.MetadataResponse) { r.Brokers = nil }),
			check: unreached("names no usable broker")},
		{name: "brokers without an address", servers: described(func(r *protocol.MetadataResponse) {
			r.Brokers = []protocol.MetadataBroker{{NodeID: 1, Host: "", Port: 9092}, {NodeID: 2, Host: "x", Port: 0},
				{NodeID: 3, Host: "x", Port: 70000}, {NodeID: 4, Host: "x", Port: -1}}
		}), check: unreached("names no usable broker")},
		{name: "a host that does not exist",
			servers: described(func(r *protocol.MetadataResponse) { r.Brokers[0].Host = "no.such.host.invalid" }),
			check:   undelivered(false, "no.such.host.invalid")},
		{name: "a host of 30 kB", servers: described(func(
			r *protocol.MetadataResponse) {
			r.Brokers[0].Host = strings.Repeat("h", 30_000)
		}),
			check: unreached("names no usable broker")},
		{name: "a host of two lines", servers: described(func(
			r *protocol.MetadataResponse) {
			r.Brokers[0].Host = "127.0.0.1\nforged"
		}),
			check: unreached("names no usable broker")},
		{name: "itself as localhost", servers: described(func(
			r *protocol.MetadataResponse) {
			r.Brokers[0].Host = "localhost"
		}), check: acknowledged},
		{name: "localhost, where nobody listens",
			servers: described(func(r *protocol.MetadataResponse) {
				r.Brokers[0].Host, r.Brokers[0].Port = "localhost",
					1
			}),
			check: undelivered(false, "localhost:1")},
		{name: "every broker twice", servers: described(func(
			r *protocol.MetadataResponse) {
			r.Brokers = append(r.Brokers, r.Brokers...)
		}), check: acknowledged},
		{name: "one id for two brokers", servers: described(func(r *protocol.MetadataResponse) {
			// The client chooses between the two addresses by their order in the list, so both must be reachable.
			r.Brokers = append(r.Brokers, protocol.MetadataBroker{NodeID: r.Brokers[0].NodeID, Host: "localhost",
				Port: r.Brokers[0].Port})
		}), check: acknowledged},
		{name: "100,000 brokers", servers: described(func(r *protocol.MetadataResponse) {
			for i := range int32(100_000) {
				r.Brokers = append(r.Brokers, protocol.MetadataBroker{NodeID: 10 + i, Host: "127.0.0.1", Port: 1 +
					i%1000})
			}
		}), check: acknowledged},
		{name: "no cluster id", servers: described(func(r *protocol.MetadataResponse) { r.ClusterID = nil }),
			check: acknowledged},
		{name: "another cluster id each time, of 30 kB", servers: described(func(r *protocol.MetadataResponse) {
			id := strings.Repeat(string('a'+clusters.Add(1)%26), 30_000)
			r.ClusterID = &id
			r.Brokers[0].Port = 1
		}), check: undelivered(false, "127.0.0.1:1")},
		{name: "controller -1", servers: described(func(r *protocol.MetadataResponse) { r.ControllerID = -1 }),
			check: acknowledged},
		{name: "controller -2^31", servers: described(func(
			r *protocol.MetadataResponse) {
			r.ControllerID = math.MinInt32
		}), check: acknowledged},
		{name: "a port where nobody listens",
			servers: described(func(r *protocol.MetadataResponse) { r.Brokers[0].Port = 1 }),
			check:   undelivered(false, "127.0.0.1:1")},
		{name: "a leader that is no broker", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range topic.Partitions {
				topic.Partitions[i].LeaderID = 4711
			}
		}), check: undelivered(false, "the partition has no leader")},
		{name: "a leader of -2^31", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range topic.Partitions {
				topic.Partitions[i].LeaderID, topic.Partitions[i].LeaderEpoch = math.MinInt32, math.MinInt32
			}
		}), check: undelivered(false, "the partition has no leader")},
		{name: "partitions with absurd numbers", servers: each(func(topic *protocol.MetadataTopic) {
			topic.Partitions[0].Index = math.MaxInt32
			topic.Partitions[1].Index = -5
		}), check: undescribed("LEADER_NOT_AVAILABLE")},
		{name: "one partition with an absurd number",
			servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions[1].Index = math.MaxInt32 - 1 }),
			check:   acknowledged},
		{name: "every partition twice",
			servers: each(func(topic *protocol.MetadataTopic) {
				topic.Partitions = append(topic.Partitions,
					topic.Partitions...)
			}), check: acknowledged},
		{name: "100,000 partitions", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range int32(100_000) {
				topic.Partitions = append(topic.Partitions, protocol.MetadataPartition{Index: 2 + i, LeaderID: 1,
					Replicas: []int32{1}, ISR: []int32{1}})
			}
		}), check: acknowledged},
		{name: "a hole in the partitions",
			servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions[1].Index = 7 }), check: acknowledged},
		{name: "a hole where the record goes",
			servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions = topic.Partitions[1:] }),
			check:   undelivered(false, "the partition has no leader")},
		{name: "leader epochs that go backwards", servers: each(func(topic *protocol.MetadataTopic) {
			for i := range topic.Partitions {
				topic.Partitions[i].LeaderEpoch = math.MaxInt32 - epochs.Add(1)
			}
		}), check: acknowledged},
		{name: "every topic 1,000 times", servers: described(func(r *protocol.MetadataResponse) {
			for range min(1000, 1000*len(r.Topics)) {
				r.Topics = append(r.Topics, r.Topics[0])
			}
		}), check: unreached("topics, where at most")},
		{name: "1,000 topics that nobody asked for", servers: described(func(r *protocol.MetadataResponse) {
			for range 1000 {
				other := "other"
				r.Topics = append(r.Topics, protocol.MetadataTopic{Name: &other}, protocol.MetadataTopic{})
			}
		}), check: unreached("topics, where at most")},
		{name: "an unknown error of the whole",
			servers: described(func(r *protocol.MetadataResponse) { r.ErrorCode = -2 }),
			check:   unreached("UNKNOWN_ERROR_CODE (-2)")},
		{name: "to begin again, each time",
			servers: described(func(r *protocol.MetadataResponse) { r.ErrorCode = protocol.RebootstrapRequired }),
			check:   unreached("asks to start again")},
		{name: "no partitions", servers: each(func(topic *protocol.MetadataTopic) { topic.Partitions = nil }),
			check: undescribed("LEADER_NOT_AVAILABLE")},
		{name: "another topic", servers: each(func(
			topic *protocol.MetadataTopic) {
			other := "other"
			topic.Name = &other
		}),
			check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "a topic without a name", servers: each(func(topic *protocol.MetadataTopic) { topic.Name = nil }),
			check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "no topics", servers: described(func(r *protocol.MetadataResponse) { r.Topics = nil }),
			check: undescribed("UNKNOWN_TOPIC_OR_PARTITION")},
		{name: "an unknown error of the topic",
			servers: each(func(topic *protocol.MetadataTopic) { topic.ErrorCode = 9999 }),
			check: func(t require.TestingT, err error) {
				require.False(t, MaybeWritten(err))
				says(t, err, []string{"UNKNOWN_ERROR_CODE (9999)"})
			}},
		{name: "a negative throttle", servers: described(func(
			r *protocol.MetadataResponse) {
			r.ThrottleMs = math.MinInt32
		}), check: acknowledged},
		{name: "a throttle of 24 days",
			servers: described(func(r *protocol.MetadataResponse) { r.ThrottleMs = math.MaxInt32 }),
			check:   acknowledged},
	})
}
