package producer

import "github.com/gosamsa/samsa/internal/cluster"

// After metadata.max.idle.ms without use, every package forgets a topic. The producer keeps the topic's former metadata
// for a while, so that a rare TrySend can append its record at once. These bounds limit the kept topics and their
// partitions; the producer drops the oldest topics first.
const (
	mostIdleTopics     = 256
	mostIdlePartitions = 4096
)

// idleTopics has the metadata of forgotten topics.
type idleTopics struct {
	order      []*cluster.Topic // the oldest first
	partitions int
}

// add remembers a topic; nil is none.
func (i *idleTopics) add(t *cluster.Topic) {
	if t == nil || t.Len() > mostIdlePartitions {
		return
	}
	i.take(t.Name)
	i.order = append(i.order, t)
	i.partitions += t.Len()
	for len(i.order) > mostIdleTopics || i.partitions > mostIdlePartitions {
		i.remove(0)
	}
}

// take removes and returns a topic, or nil.
func (i *idleTopics) take(name string) *cluster.Topic {
	for k, t := range i.order {
		if t.Name == name {
			i.remove(k)
			return t
		}
	}
	return nil
}

func (i *idleTopics) remove(k int) {
	i.partitions -= i.order[k].Len()
	copy(i.order[k:], i.order[k+1:])
	i.order[len(i.order)-1] = nil
	i.order = i.order[:len(i.order)-1]
}
