package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// large returns an answer with this number of topics of ten partitions, and the names of the topics.
func large(topics int) (*protocol.MetadataResponse, []string) {
	var all []protocol.MetadataTopic
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprint("topic-", i))
		all = append(all, topicOf(names[i], byte(i%200+1), 1, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1))
	}
	req := new(protocol.MetadataRequest)
	for i := range names {
		req.Topics = append(req.Topics, protocol.MetadataRequestTopic{Name: &names[i]})
	}
	resp := reply3(req, nil)
	resp.Topics = all
	return resp, names
}

func BenchmarkMergeWithoutNews(b *testing.B) {
	resp, names := large(1000)
	s := merge(&Snapshot{}, resp, 13, names, nil).Snapshot
	b.ReportAllocs()
	for b.Loop() {
		s = merge(s, resp, 13, names, nil).Snapshot
	}
}

func BenchmarkHint(b *testing.B) {
	resp, names := large(1000)
	s := merge(&Snapshot{}, resp, 13, names, nil).Snapshot
	hints := []LeaderHint{{Topic: "topic-7", Partition: 3, Leader: 2, LeaderEpoch: 9}}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.hinted("", hints, nil)
	}
}

func BenchmarkTopicNowKnown(b *testing.B) {
	resp, names := large(1000)
	c := New(config(newWorld()))
	defer c.Close()
	c.snapshot.Store(merge(&Snapshot{}, resp, 13, names, nil).Snapshot)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.TryTopic("topic-7"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkTouch(b *testing.B) {
	c := New(config(newWorld()))
	defer c.Close()
	t := &Topic{used: c.topics.track("a", time.Now()).used}
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t.Touch(now)
		}
	})
}
