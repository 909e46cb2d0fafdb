package core

import "github.com/gosamsa/samsa/internal/delivery"

// This file is about leaving for good: unused topics, as partition.Forget and identities.retire treat them, and
// brokers.

// forget drops a partition without undelivered batches. It gets more records then, so it comes back as a new one.
func (c *simClient) forget(l *simLane) {
	if c.stopped || !l.delivery.IsQuiet() || len(l.records)+len(l.open)+len(l.preparing)+len(l.rebuild) > 0 {
		return
	}
	c.s.note("%s: forgotten", c.s.cluster.slots[l.slot])
	c.ids.retire(l.delivery.Identity(), len(c.deliveries) == 1)
	c.reset(l)
	for range 1 + c.s.rng.IntN(8) {
		l.records = append(l.records, c.s.newRecord(l))
	}
	c.refresh(l)
}

// retire is identities.retire.
func (d *simIdentities) retire(used delivery.Identity, last bool) {
	switch {
	case !d.current.Valid:
	case last:
		d.current = delivery.Identity{}
	case used.Valid && used.ID == d.current.ID && used.Cluster == d.current.Cluster:
		d.retired = max(d.retired, int32(used.Epoch))
	}
}

// decommission moves all partitions off a broker; the broker never comes back. It does nothing if a partition would
// lose its log.
func (c *simCluster) decommission(b *simBroker) {
	staying := 0
	for _, other := range c.brokers {
		if other != b && !other.gone {
			staying++
		}
	}
	if staying == 0 || b.gone {
		return
	}
	for _, slot := range c.slots {
		if slot.life.isr.without(b.id) == 0 {
			return
		}
	}
	c.s.note("broker %d leaves for good", b.id)
	for _, slot := range c.slots {
		life := slot.life
		life.replicas, life.isr = life.replicas.without(b.id), life.isr.without(b.id)
		life.wanted = min(life.wanted, staying)
		life.minISR = min(life.minISR, life.replicas.size())
		if life.leader == b.id || life.leader == noLeader {
			c.elect(life)
		}
		life.logs[b.id] = nil
	}
	b.gone, b.fenced = true, true
	if b.alive {
		c.end(b)
	}
}
