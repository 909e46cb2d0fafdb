package testbroker

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// topic is a topic. The cluster's mutex guards it and its partitions.
type topic struct {
	name       string
	id         protocol.UUID
	settings   TopicSettings
	deleted    bool
	partitions []*partition
}

// partition is a partition with its leader and its log. There is one log, not one a replica: an appended batch is
// replicated, at once or after Config.ReplicationLag.
type partition struct {
	index         int32
	leader        int32 // -1: none
	former        int32 // the last leader so far
	epoch         int32
	replicas, isr []int32
	log           log
	// stopped is the end of the log when a replica's broker stopped last. Of each producer's batches before, its
	// snapshot has only the last.
	stopped map[int32]int64
}

// CreateTopic creates a topic, with a new id. It panics when the name is taken.
func (c *Cluster) CreateTopic(name string, partitions int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics[name] != nil {
		panic("testbroker: there is a topic " + name + " already")
	}
	c.createTopic(name, partitions)
}

func (c *Cluster) createTopic(name string, partitions int32) {
	c.nextTopicID++
	t := &topic{name: name, settings: c.cfg.settings(name)}
	// The ids of two clusters differ.
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.id))
	binary.BigEndian.PutUint64(t.id[:8], h.Sum64())
	binary.BigEndian.PutUint64(t.id[8:], c.nextTopicID)
	c.topics[name], c.byID[t.id] = t, t
	c.addPartitions(t, partitions)
}

// AddPartitions makes a topic have more partitions.
func (c *Cluster) AddPartitions(topic string, partitions int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addPartitions(c.topic(topic), partitions)
}

func (c *Cluster) addPartitions(t *topic, partitions int32) {
	brokers := len(c.brokers)
	for len(t.partitions) < int(partitions) {
		p := &partition{index: int32(len(t.partitions)), log: newLog(), stopped: make(map[int32]int64)}
		for r := range min(c.cfg.ReplicationFactor, brokers) {
			p.replicas = append(p.replicas, int32((int(p.index)+r)%brokers)+1)
		}
		for _, id := range p.replicas {
			if !c.broker(id).stopped {
				p.isr = append(p.isr, id)
			}
		}
		p.leader = -1
		if len(p.isr) > 0 {
			p.leader = p.isr[0]
		} else {
			p.isr = p.replicas[:1]
		}
		p.former = p.leader
		t.partitions = append(t.partitions, p)
	}
	c.wake()
}

// DeleteTopic deletes a topic and its log. Created again it has another id.
func (c *Cluster) DeleteTopic(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topic(name).deleted = true
	delete(c.topics, name)
	c.wake()
}

// TopicID returns a topic's id.
func (c *Cluster) TopicID(name string) protocol.UUID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topic(name).id
}

// SetSettings changes a topic's settings, as kafka-configs does.
func (c *Cluster) SetSettings(topic string, s TopicSettings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.MinInSyncReplicas <= 0 {
		s.MinInSyncReplicas = c.cfg.MinInSyncReplicas
	}
	if s.MessageMaxBytes <= 0 {
		s.MessageMaxBytes = c.cfg.MessageMaxBytes
	}
	c.topic(topic).settings = s
}

// Deny refuses clients a topic with TOPIC_AUTHORIZATION_FAILED, whether it exists or not. Allow ends it.
func (c *Cluster) Deny(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denied[topic] = true
}

// Allow ends Deny.
func (c *Cluster) Allow(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.denied, topic)
}

// Leader returns a partition's leader, -1 if there is none.
func (c *Cluster) Leader(topic string, partition int32) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.partition(topic, partition).leader
}

// MoveLeader makes a broker the leader of a partition, and a replica in sync if it was none; -1 leaves it without a
// leader. The leader epoch grows. All brokers know at once, but see FreezeMetadata.
func (c *Cluster) MoveLeader(topic string, partition, broker int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partition(topic, partition)
	if broker >= 0 {
		c.broker(broker)
		if !slices.Contains(p.replicas, broker) {
			p.replicas = append(p.replicas, broker)
		}
		if !slices.Contains(p.isr, broker) {
			p.isr = append(p.isr, broker)
		}
	}
	c.lead(p, broker)
	c.wake()
}

// lead gives a partition a leader under a new epoch. The log loses the batches of the former leader without a copy at
// the new one.
func (c *Cluster) lead(p *partition, broker int32) {
	p.leader = broker
	p.epoch++
	if broker < 0 {
		return
	}
	if broker != p.former && p.former >= 0 {
		p.truncate(p.log.copiedUpTo(time.Now(), c.cfg.ReplicationLag))
	}
	p.former = broker
}

// truncate drops the batches from an offset on.
func (p *partition) truncate(offset int64) {
	p.log.truncate(offset)
	for replica, end := range p.stopped {
		p.stopped[replica] = min(end, p.log.next)
	}
}

// SetISR sets the in-sync replicas of a partition. With fewer than min.insync.replicas a produce with acks=all is
// refused with NOT_ENOUGH_REPLICAS.
func (c *Cluster) SetISR(topic string, partition int32, brokers ...int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partition(topic, partition).isr = slices.Clone(brokers)
	c.wake()
}

// brokerDown takes a broker out of the partitions it led and followed. A partition's last in-sync replica stays so.
func (c *Cluster) brokerDown(id int32) {
	for p := range c.allPartitions {
		if slices.Contains(p.isr, id) && len(p.isr) > 1 {
			p.isr = slices.DeleteFunc(slices.Clone(p.isr), func(r int32) bool { return r == id })
		}
		if slices.Contains(p.replicas, id) {
			p.stopped[id] = p.log.next
		}
		if p.leader != id {
			continue
		}
		next := int32(-1)
		for _, r := range p.isr {
			if !c.broker(r).stopped {
				next = r
				break
			}
		}
		c.lead(p, next)
	}
}

// brokerUp gives a broker back the partitions waiting for it.
func (c *Cluster) brokerUp(id int32) {
	for p := range c.allPartitions {
		if !slices.Contains(p.replicas, id) {
			continue
		}
		switch {
		case p.leader < 0 && slices.Contains(p.isr, id):
			c.lead(p, id)
		case p.leader >= 0 && !slices.Contains(p.isr, id):
			p.isr = append(slices.Clone(p.isr), id)
		}
	}
}

// allPartitions yields every partition.
func (c *Cluster) allPartitions(yield func(*partition) bool) {
	for _, t := range c.topics {
		for _, p := range t.partitions {
			if !yield(p) {
				return
			}
		}
	}
}

// topic returns a topic. Naming an unknown one is a mistake of the test.
func (c *Cluster) topic(name string) *topic {
	t := c.topics[name]
	if t == nil {
		panic("testbroker: there is no topic " + name)
	}
	return t
}

// partition returns a partition, with the same rule.
func (c *Cluster) partition(topic string, index int32) *partition {
	t := c.topic(topic)
	if index < 0 || int(index) >= len(t.partitions) {
		panic(fmt.Sprintf("testbroker: there is no partition %s/%d", topic, index))
	}
	return t.partitions[index]
}
