package producer

import "github.com/gosamsa/samsa/internal/cluster"

// A topic forgotten by metadata.max.idle.ms leaves every package. Its former metadata stays for a while, so that a rare
// TrySend can append its record at once. The number of topics and of their partitions is bounded; the oldest ones go
// first.
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
