package realkafka

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is a topic to create.
type Topic struct {
	Name string
	// Partitions is their number. Default 1.
	Partitions int
	// Replicas is the number of replicas of each partition. Default min(3, nodes).
	Replicas int
	// Assignment, if set, gives each partition's replicas by node id, the preferred leader first. Partitions and
	// Replicas are ignored then.
	Assignment [][]int32
	// Config are the topic's own settings, such as compression.type.
	Config map[string]string
}

// CreateTopics creates topics and returns when every running node knows them, with all replicas in sync, and their
// leaders take records.
func (c *Cluster) CreateTopics(ctx context.Context, topics ...Topic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, t := range topics {
		req.Topics = append(req.Topics, t.request(len(c.nodes)))
	}
	resp, err := c.request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			message := ""
			if t.ErrorMessage != nil {
				message = *t.ErrorMessage
			}
			return fmt.Errorf("topic %s: %w %s", t.Topic, err, message)
		}
	}
	names := make([]string, 0, len(topics))
	for _, t := range topics {
		names = append(names, t.Name)
	}
	if err := c.WaitInSync(ctx, names...); err != nil {
		return err
	}
	// A broker tells of new partitions a moment before it has them. A record sent in between with acks=0 is lost.
	return pollError(ctx, func(ctx context.Context) error {
		_, err := c.EndOffsets(ctx, names...)
		return err
	})
}

func (t Topic) request(nodes int) kmsg.CreateTopicsRequestTopic {
	r := kmsg.NewCreateTopicsRequestTopic()
	r.Topic = t.Name
	r.NumPartitions = int32(max(1, t.Partitions))
	r.ReplicationFactor = int16(t.Replicas)
	if t.Replicas == 0 {
		r.ReplicationFactor = int16(min(3, nodes))
	}
	if t.Assignment != nil {
		r.NumPartitions, r.ReplicationFactor = -1, -1
	}
	for i, replicas := range t.Assignment {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), replicas
		r.ReplicaAssignment = append(r.ReplicaAssignment, a)
	}
	for _, key := range slices.Sorted(maps.Keys(t.Config)) {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(t.Config[key])
		r.Configs = append(r.Configs, config)
	}
	return r
}

// leads returns nil when the node knows a leader for each partition of the topics, and all their replicas are in sync.
func (n *node) leads(ctx context.Context, topics []string) error {
	resp, err := n.request(ctx, metadataRequest(topics))
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				return fmt.Errorf("node %d: partition %s-%d has leader %d and in-sync replicas %v", n.id, *t.Topic,
					p.Partition, p.Leader, p.ISR)
			}
		}
	}
	return nil
}

// Partition is the cluster's description of one partition.
type Partition struct {
	Topic         string
	Partition     int32
	Leader        int32 // -1 if there is none
	LeaderEpoch   int32
	Replicas, ISR []int32
}

// Partitions returns the partitions of topics, in order.
func (c *Cluster) Partitions(ctx context.Context, topics ...string) ([]Partition, error) {
	resp, err := c.request(ctx, metadataRequest(topics))
	if err != nil {
		return nil, err
	}
	var partitions []Partition
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
		for _, p := range t.Partitions {
			partitions = append(partitions, Partition{Topic: *t.Topic, Partition: p.Partition, Leader: p.Leader,
				LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR})
		}
	}
	slices.SortFunc(partitions, func(a, b Partition) int {
		return comparePlace(a.Topic, a.Partition, b.Topic,
			b.Partition)
	})
	return partitions, nil
}

// EndOffsets returns, for each partition of topics, the offset of the next record.
func (c *Cluster) EndOffsets(ctx context.Context, topics ...string) (map[string]map[int32]int64, error) {
	partitions, err := c.Partitions(ctx, topics...)
	if err != nil {
		return nil, err
	}
	byLeader := map[int32]*kmsg.ListOffsetsRequest{}
	ends := make(map[string]map[int32]int64, len(topics))
	for _, p := range partitions {
		req := byLeader[p.Leader]
		if req == nil {
			req = kmsg.NewPtrListOffsetsRequest()
			req.ReplicaID = -1
			byLeader[p.Leader] = req
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = p.Topic
			req.Topics = append(req.Topics, rt)
		}
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, -1
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, rp)
		ends[p.Topic] = map[int32]int64{}
	}
	for leader, req := range byLeader {
		n, err := c.node(leader)
		if err != nil {
			return nil, err
		}
		resp, err := n.request(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("end of %s-%d: %w", t.Topic, p.Partition, err)
				}
				ends[t.Topic][p.Partition] = p.Offset
			}
		}
	}
	return ends, nil
}

// request asks the first running node without a hang.
func (c *Cluster) request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	for _, n := range c.nodes {
		if n.running() != nil && !n.paused.Load() {
			return n.request(ctx, req)
		}
	}
	return nil, errNotRunning
}

// metadataRequest asks for these topics; without any it asks for the brokers alone.
func metadataRequest(topics []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = make([]kmsg.MetadataRequestTopic, 0, len(topics)) // nil would ask for all
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	return req
}
