package realkafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics deletes topics and returns when no running node knows them any more.
func (c *Cluster) DeleteTopics(ctx context.Context, topics ...string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 15000
	req.TopicNames = topics
	for _, t := range topics {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := c.request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("deleting topics: %w", err)
		}
	}
	return c.eachRunning(func(n *node) error {
		return pollError(ctx, func(ctx context.Context) error {
			resp, err := n.request(ctx, metadataRequest(topics))
			if err != nil {
				return err
			}
			for _, t := range resp.(*kmsg.MetadataResponse).Topics {
				if !errors.Is(kerr.ErrorForCode(t.ErrorCode), kerr.UnknownTopicOrPartition) {
					return fmt.Errorf("node %d still knows topic %s", n.id, *t.Topic)
				}
			}
			return nil
		})
	})
}

// AddPartitions gives a topic so many partitions in all, and returns when every running node knows them, with all
// replicas in sync.
func (c *Cluster) AddPartitions(ctx context.Context, topic string, count int) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 15000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, int32(count)
	req.Topics = append(req.Topics, rt)
	resp, err := c.request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreatePartitionsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("adding partitions: %w", err)
		}
	}
	return c.eachRunning(func(n *node) error {
		return pollError(ctx, func(ctx context.Context) error {
			resp, err := n.request(ctx, metadataRequest([]string{topic}))
			if err != nil {
				return err
			}
			if known := len(resp.(*kmsg.MetadataResponse).Topics[0].Partitions); known < count {
				return fmt.Errorf("node %d knows %d of %d partitions", n.id, known, count)
			}
			return n.leads(ctx, []string{topic})
		})
	})
}

// WaitInSync returns when every running node without a hang knows a leader for each partition of the topics, with all
// replicas in sync.
func (c *Cluster) WaitInSync(ctx context.Context, topics ...string) error {
	return c.eachRunning(func(n *node) error {
		return pollError(ctx, func(ctx context.Context) error { return n.leads(ctx, topics) })
	})
}

// ElectPreferred makes the first replica of each partition of a topic its leader again, and returns when it leads.
func (c *Cluster) ElectPreferred(ctx context.Context, topic string) error {
	return pollError(ctx, func(ctx context.Context) error {
		partitions, err := c.Partitions(ctx, topic)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 2000
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic = topic
		for _, p := range partitions {
			if p.Leader != p.Replicas[0] {
				rt.Partitions = append(rt.Partitions, p.Partition)
			}
		}
		if len(rt.Partitions) == 0 {
			return nil
		}
		req.Topics = append(req.Topics, rt)
		if _, err := c.request(ctx, req); err != nil {
			return err
		}
		// The answer counts for nothing: the next look shows the result.
		return fmt.Errorf("partitions %v of %s are not led by their first replica yet", rt.Partitions, topic)
	})
}

// Reassign gives a partition these replicas, the preferred leader first, and returns when they are in place: the added
// ones are in sync, the removed ones are gone. The leader stays where it is if it remains a replica; see
// ElectPreferred.
func (c *Cluster) Reassign(ctx context.Context, topic string, partition int32, replicas []int32) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = 15000
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Partition, rp.Replicas = partition, replicas
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := c.request(ctx, req)
	if err != nil {
		return err
	}
	answer := resp.(*kmsg.AlterPartitionAssignmentsResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return fmt.Errorf("reassigning %s-%d: %w", topic, partition, err)
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("reassigning %s-%d: %w", topic, partition, err)
			}
		}
	}
	return pollError(ctx, func(ctx context.Context) error {
		partitions, err := c.Partitions(ctx, topic)
		if err != nil {
			return err
		}
		for _, p := range partitions {
			if p.Partition == partition && (!slices.Equal(p.Replicas, replicas) || len(p.ISR) < len(replicas) ||
				p.Leader < 0) {
				return fmt.Errorf("%s-%d has replicas %v, in sync %v, leader %d", topic, partition, p.Replicas, p.ISR,
					p.Leader)
			}
		}
		return nil
	})
}

// eachRunning runs fn at once for all running nodes without a hang, and joins their errors.
func (c *Cluster) eachRunning(fn func(*node) error) error {
	return c.each(func(n *node) error {
		if n.running() == nil || n.paused.Load() {
			return nil
		}
		return fn(n)
	})
}

// SetProducerQuota limits how many bytes a second the producers with a client id may send to each node, and returns
// when the nodes say so.
func (c *Cluster) SetProducerQuota(ctx context.Context, clientID string, bytesPerSecond float64) error {
	const quota, kind = "producer_byte_rate", "client-id"
	entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
	entity.Type, entity.Name = kind, kmsg.StringPtr(clientID)
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value = quota, bytesPerSecond
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	resp, err := c.request(ctx, req)
	if err != nil {
		return err
	}
	for _, e := range resp.(*kmsg.AlterClientQuotasResponse).Entries {
		if err := kerr.ErrorForCode(e.ErrorCode); err != nil {
			return fmt.Errorf("setting a quota: %w", err)
		}
	}
	component := kmsg.NewDescribeClientQuotasRequestComponent()
	component.EntityType, component.Match = kind, kmsg.StringPtr(clientID)
	describe := kmsg.NewPtrDescribeClientQuotasRequest()
	describe.Components = append(describe.Components, component)
	return c.eachRunning(func(n *node) error {
		return pollError(ctx, func(ctx context.Context) error {
			resp, err := n.request(ctx, describe)
			if err != nil {
				return err
			}
			for _, e := range resp.(*kmsg.DescribeClientQuotasResponse).Entries {
				for _, v := range e.Values {
					if v.Key == quota && v.Value == bytesPerSecond {
						return nil
					}
				}
			}
			return fmt.Errorf("node %d does not know the quota of %s yet", n.id, clientID)
		})
	})
}
