package core

import (
	"fmt"
	"slices"

	"github.com/gosamsa/samsa/internal/delivery"
)

// This file is the end of the whole cluster: it is discarded, and another one answers at the same addresses. The new
// cluster has the same topics without their records, and assigns producer ids from the same start value. Another
// producer was faster and has the first id.

// strangersID is the producer id of the other producer in the new cluster.
const strangersID = 1

// replace discards the cluster. Only the answers in the client's sockets are left.
func (c *simCluster) replace() {
	c.former++
	c.id, c.given = fmt.Sprint("cluster-", c.former), strangersID
	c.s.note("the cluster is replaced by %s", c.id)
	for _, b := range c.brokers {
		c.end(b)
	}
	remade := map[int]bool{}
	for _, slot := range c.slots {
		slot.life.deleted = slices.Clone(c.truth(slot.life))
		slot.past = append(slot.past, slot.life)
	}
	for _, b := range c.brokers {
		b.alive, b.fenced, b.gone = true, false, false
		for slot := range c.slots {
			*b.views[slot] = simView{leader: noLeader, epoch: -1}
		}
	}
	for _, slot := range c.slots {
		if !remade[slot.topic] {
			remade[slot.topic] = true
			c.createTopic(slot.topic)
		}
	}
}

// strangerWrites lets the other producer of the new cluster write a batch to a partition, in the order of its own
// sequences.
func (c *simCluster) strangerWrites(slot int) {
	life := c.slots[slot].life
	if c.former == 0 || life.leader == noLeader {
		return
	}
	b := c.brokers[life.leader]
	if v := b.views[slot]; !b.alive || b.hung || v.life != life || v.leader != b.id {
		return
	}
	log := life.logs[b.id]
	n := 1 + c.s.rng.IntN(3)
	e := &simEntry{records: make([]int, n), id: delivery.Identity{ID: strangersID, Valid: true, Cluster: c.id},
		base: log.end(), strangers: true}
	if p := log.producers[strangersID]; p != nil {
		if p.epoch != 0 {
			return // the client uses its identity, and has fenced it
		}
		e.sequence = seqAdd(p.recent[len(p.recent)-1].last(), 1)
	} else {
		e.sequence = int32(c.s.rng.IntN(20))
	}
	c.s.note("another producer writes %d records to %s with id=%d sequence=%d at %d", n, c.slots[slot], strangersID,
		e.sequence, e.base)
	log.add(e)
	c.advance(b, slot)
}
