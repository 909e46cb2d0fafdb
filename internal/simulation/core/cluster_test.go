package core

import (
	"math/bits"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// This file is the simulated cluster: a controller that knows all leaders, and brokers that learn of them later, or
// never while they hang. As in Kafka, a replaced leader accepts batches until it knows of its end.

// simKafka has the differences between the versions of Kafka in a run.
type simKafka struct {
	unknownProducers bool // UNKNOWN_PRODUCER_ID without a state (before 2.5), otherwise any first sequence
	namesDuplicates  bool // DUPLICATE_SEQUENCE_NUMBER before the window (1.0), or OUT_OF_ORDER_SEQUENCE_NUMBER
	remembers        int  // batches of a producer in the window: 5, or 1 (0.11)
	topicIDs         bool // requests name topics by id (from 4.0 on), so none reaches a recreated topic
	hints            bool // NOT_LEADER_OR_FOLLOWER names the leader (KIP-951)
	stallsBelowMin   bool // the high watermark stands while too few replicas are in sync (KIP-966)
	staleMetadata    bool // metadata has no reliable leader epochs (before 2.4)
}

const noLeader = -1

// brokerSet is a set of broker ids.
type brokerSet uint8

func (b brokerSet) has(id int) bool          { return b&(1<<id) != 0 }
func (b brokerSet) with(id int) brokerSet    { return b | 1<<id }
func (b brokerSet) without(id int) brokerSet { return b &^ (1 << id) }
func (b brokerSet) size() int                { return bits.OnesCount8(uint8(b)) }
func (b brokerSet) members() (ids []int) {
	for id := range 8 {
		if b.has(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// simCluster is the controller and its brokers.
type simCluster struct {
	s       *sim
	kind    simKafka
	minISR  int // of partitions with as many replicas
	brokers []*simBroker
	slots   []*simSlot
	topicID int // the newest
	id      string
	given   int64 // the newest producer id; each cluster starts at 0
	former  int   // how many clusters were discarded
	limit   int   // the records in a batch at most: max.message.bytes
}

// simSlot is one partition of one topic name. Recreating the topic begins a new life.
type simSlot struct {
	topic, index int
	life         *simLife
	past         []*simLife
}

func (s *simSlot) first() *simLife {
	if len(s.past) > 0 {
		return s.past[0]
	}
	return s.life
}

// simLife is a partition from its creation to its deletion, as the controller knows it.
type simLife struct {
	slot     *simSlot
	topicID  int
	leader   int
	epoch    int32
	isr      brokerSet
	replicas brokerSet
	wanted   int // replicas at the start
	minISR   int
	logs     []*simReplica // by broker; nil without one
	deleted  []*simEntry   // the log at the deletion of the topic
	appended map[int]int64 // record -> its last offset at a leader
}

// simBroker is one broker with its beliefs.
type simBroker struct {
	id          int
	alive, hung bool
	fenced      bool // the controller counts it as gone
	gone        bool // it has left for good
	conns       []*simConn
	views       []*simView // by slot
}

// simView is a broker's belief about one partition.
type simView struct {
	life   *simLife // nil: the controller has reported none
	leader int
	epoch  int32
	isr    brokerSet
	synced bool // as follower: its log has been cut to this leader's

	// As leader:
	start int64   // the end of its log when it became one
	high  int64   // high watermark
	ends  []int64 // how far each follower has said to be; -1 while it has not
}

func newSimCluster(s *sim, brokers, topics, partitions int) *simCluster {
	c := &simCluster{s: s, id: "cluster-0", limit: 1 << 30, minISR: 1 + s.rng.IntN(2)}
	for id := range brokers {
		c.brokers = append(c.brokers, &simBroker{id: id, alive: true})
	}
	for t := range topics {
		for i := range partitions {
			c.slots = append(c.slots, &simSlot{topic: t, index: i})
		}
	}
	for _, b := range c.brokers {
		for range c.slots {
			b.views = append(b.views, &simView{leader: noLeader})
		}
	}
	for t := range topics {
		c.createTopic(t)
	}
	return c
}

// createTopic begins a life for every partition of the topic.
func (c *simCluster) createTopic(topic int) {
	c.topicID++
	for _, slot := range c.slots {
		if slot.topic != topic {
			continue
		}
		life := &simLife{slot: slot, topicID: c.topicID, logs: make([]*simReplica, len(c.brokers)),
			appended: map[int]int64{}}
		there := c.members()
		n := min(3, len(there))
		if c.s.rng.IntN(4) == 0 {
			n = 1 + c.s.rng.IntN(n)
		}
		life.wanted, life.minISR = n, min(n, c.minISR)
		begin := c.s.rng.IntN(len(there))
		first := there[begin].id
		for i := range n {
			life.replicas = life.replicas.with(there[(begin+i)%len(there)].id)
		}
		for _, id := range life.replicas.members() {
			if !c.brokers[id].fenced {
				life.isr = life.isr.with(id)
			}
		}
		life.leader = noLeader
		if life.isr == 0 {
			life.isr = brokerSet(0).with(first)
		} else {
			life.leader = c.pick(life.isr)
		}
		slot.life = life
	}
}

// members are the brokers still in the cluster.
func (c *simCluster) members() (there []*simBroker) {
	for _, b := range c.brokers {
		if !b.gone {
			there = append(there, b)
		}
	}
	return there
}

// remakeTopic ends the topic's partitions and creates them again, without a pause for a client to notice.
func (c *simCluster) remakeTopic(topic int) {
	c.s.note("topic %d is deleted and made again", topic)
	for _, slot := range c.slots {
		if slot.topic != topic {
			continue
		}
		life := slot.life
		life.deleted = slices.Clone(c.truth(life))
		slot.past = append(slot.past, life)
	}
	c.createTopic(topic)
}

// truth is the authoritative log: the leader's, or without a leader that of a replica in sync. It is empty while that
// broker does not know of the partition.
func (c *simCluster) truth(life *simLife) []*simEntry {
	id := life.leader
	if id == noLeader {
		id = life.isr.members()[0]
	}
	if log := life.logs[id]; log != nil {
		return log.entries
	}
	return nil
}

func (c *simCluster) pick(set brokerSet) int {
	ids := set.members()
	return ids[c.s.rng.IntN(len(ids))]
}

// electable are the possible leaders of the partition: brokers in sync that the controller counts as alive.
func (c *simCluster) electable(life *simLife) (set brokerSet) {
	for _, id := range life.isr.members() {
		if !c.brokers[id].fenced {
			set = set.with(id)
		}
	}
	return set
}

// elect gives the partition a new leader, and the same one only if no other can lead.
func (c *simCluster) elect(life *simLife) {
	can := c.electable(life)
	if life.leader != noLeader {
		if others := can.without(life.leader); others != 0 {
			can = others
		}
	}
	before := life.leader
	life.leader = noLeader
	if can != 0 {
		life.leader = c.pick(can)
	}
	life.epoch++
	c.s.note("controller: partition %s, leader %d -> %d, epoch %d, isr %v", life.slot, before, life.leader, life.epoch,
		life.isr.members())
}

// fence is the controller's decision that a broker is gone.
func (c *simCluster) fence(b *simBroker) {
	b.fenced = true
	c.s.note("controller fences broker %d", b.id)
	for _, slot := range c.slots {
		life := slot.life
		if life.isr.has(b.id) && life.isr.size() > 1 {
			life.isr = life.isr.without(b.id)
			if life.leader != b.id {
				continue
			}
		}
		if life.leader == b.id {
			c.elect(life)
		}
	}
}

// unfence takes a broker back. If it was a partition's last replica in sync, it leads that partition again.
func (c *simCluster) unfence(b *simBroker) {
	b.fenced = false
	c.s.note("controller takes broker %d back", b.id)
	for _, slot := range c.slots {
		if life := slot.life; life.leader == noLeader && life.isr.has(b.id) {
			c.elect(life)
		}
	}
}

// learn gives a broker the controller's decision for one partition.
func (c *simCluster) learn(b *simBroker, slot int) {
	life, v := c.slots[slot].life, b.views[slot]
	if v.life != life {
		if v.life != nil {
			v.life.logs[b.id] = nil
		}
		c.forsake(b, slot, protocol.UnknownTopicOrPartition)
		*v = simView{leader: noLeader, epoch: -1}
		if !life.replicas.has(b.id) {
			return
		}
		v.life = life
		if life.logs[b.id] == nil {
			life.logs[b.id] = newSimReplica(c.kind.remembers)
		}
	}
	if !life.replicas.has(b.id) {
		c.forsake(b, slot, protocol.NotLeaderOrFollower)
		life.logs[b.id] = nil
		*v = simView{leader: noLeader}
		return
	}
	if v.epoch == life.epoch {
		v.isr = life.isr
		c.advance(b, slot)
		return
	}
	wasLeader := v.leader == b.id
	v.leader, v.epoch, v.isr, v.synced = life.leader, life.epoch, life.isr, false
	if v.leader != b.id {
		c.forsake(b, slot, protocol.NotLeaderOrFollower)
		return
	}
	if !wasLeader {
		v.high = 0
	}
	v.start = life.logs[b.id].end()
	v.ends = make([]int64, len(c.brokers))
	for i := range v.ends {
		v.ends[i] = -1
	}
	c.s.note("broker %d leads %s from epoch %d on", b.id, c.slots[slot], v.epoch)
	c.advance(b, slot)
}

// fetch lets a follower copy from its leader. First the follower reports its end, and the leader counts on it from then
// on.
func (c *simCluster) fetch(b *simBroker, slot int) {
	v := b.views[slot]
	if v.life == nil || v.leader == noLeader || v.leader == b.id || !v.life.replicas.has(b.id) {
		return
	}
	leader := c.brokers[v.leader]
	lv := leader.views[slot]
	if !leader.alive || leader.hung || lv.life != v.life || lv.leader != leader.id || lv.epoch != v.epoch {
		return
	}
	mine, theirs := v.life.logs[b.id], v.life.logs[leader.id]
	if !v.synced {
		if n := mine.common(theirs); n < len(mine.entries) {
			c.s.note("broker %d cuts %s from %d to %d batches", b.id, c.slots[slot], len(mine.entries), n)
			mine.reload(n, c.s.rng.IntN(n+1))
		}
		v.synced = true
	}
	if end := mine.end(); end > lv.ends[b.id] {
		lv.ends[b.id] = end
		c.advance(leader, slot)
	}
	for range 1 + c.s.rng.IntN(4) {
		if n := len(mine.entries); n < len(theirs.entries) {
			mine.add(theirs.entries[n])
		}
	}
}

// advance moves a leader's high watermark to the common end of all replicas in sync, and completes the waiting batches
// up to there.
func (c *simCluster) advance(b *simBroker, slot int) {
	v := b.views[slot]
	if v.life == nil || v.leader != b.id {
		return
	}
	high := v.life.logs[b.id].end()
	for _, id := range v.isr.members() {
		if id != b.id {
			high = min(high, v.ends[id])
		}
	}
	if c.kind.stallsBelowMin && v.isr.size() < v.life.minISR {
		high = v.high
	}
	v.high = max(v.high, high)
	c.complete(b)
}

// rules reports whether a broker leads the partition in the controller's view: only then may it change the replicas in
// sync.
func (c *simCluster) rules(b *simBroker, slot int) bool {
	v := b.views[slot]
	return v.life != nil && v.life == c.slots[slot].life && v.leader == b.id && v.life.leader == b.id &&
		v.epoch == v.life.epoch
}

// shrink drops a lagging follower from the replicas in sync.
func (c *simCluster) shrink(b *simBroker, slot int) {
	v := b.views[slot]
	if !c.rules(b, slot) || v.life.isr.size() < 2 {
		return
	}
	out := c.pick(v.life.isr.without(b.id))
	v.life.isr = v.life.isr.without(out)
	v.isr = v.life.isr
	c.s.note("broker %d: %s, %d is out of sync, isr %v", b.id, c.slots[slot], out, v.isr.members())
	c.advance(b, slot)
}

// expand takes followers without a lag in again.
func (c *simCluster) expand(b *simBroker, slot int) {
	if !c.rules(b, slot) {
		return
	}
	v := b.views[slot]
	for _, id := range v.life.replicas.members() {
		if !v.life.isr.has(id) && !c.brokers[id].fenced && v.ends[id] >= v.high && v.ends[id] >= v.start {
			v.life.isr = v.life.isr.with(id)
			c.s.note("broker %d: %s, %d is in sync again, isr %v", b.id, c.slots[slot], id, v.life.isr.members())
		}
	}
	v.isr = v.life.isr
	c.advance(b, slot)
}

// reassign lets another broker hold the partition, or takes it from one if more hold it than at first.
func (c *simCluster) reassign(slot int) {
	life := c.slots[slot].life
	if life.replicas.size() <= life.wanted {
		for _, b := range c.members() {
			if !life.replicas.has(b.id) {
				life.replicas = life.replicas.with(b.id)
				c.s.note("controller: %s also on broker %d", c.slots[slot], b.id)
				break
			}
		}
		return
	}
	out := c.pick(life.replicas)
	if life.isr.without(out) == 0 {
		return
	}
	life.replicas, life.isr = life.replicas.without(out), life.isr.without(out)
	for _, b := range c.brokers {
		if v := b.views[slot]; v.life == life && v.ends != nil {
			v.ends[out] = -1 // if it comes back, it begins with nothing
		}
	}
	c.s.note("controller: %s no longer on broker %d", c.slots[slot], out)
	if life.leader == out || life.leader == noLeader {
		c.elect(life)
	}
}

// kill ends a broker at once: its connections break, and its unread requests are gone.
func (c *simCluster) kill(b *simBroker) {
	c.s.note("broker %d dies", b.id)
	c.end(b)
}

func (c *simCluster) end(b *simBroker) {
	b.alive, b.hung = false, false
	for _, conn := range b.conns {
		conn.broken = true
		conn.inbox, conn.busy = nil, nil
		if c.s.rng.IntN(2) == 0 {
			conn.answers = nil
		}
	}
	b.conns = nil
}

// stop ends a broker after its partitions have gone to others, as far as others can lead them.
func (c *simCluster) stop(b *simBroker) {
	c.s.note("broker %d stops", b.id)
	c.fence(b)
	for slot := range c.slots {
		c.learn(b, slot)
	}
	c.end(b)
}

// start brings a broker back. Its producers' state comes from its newest snapshot and the log behind it.
func (c *simCluster) start(b *simBroker) {
	c.s.note("broker %d starts", b.id)
	if !b.fenced {
		c.fence(b)
	}
	b.alive = true
	for slot := range c.slots {
		*b.views[slot] = simView{leader: noLeader, epoch: -1}
	}
	for _, slot := range c.slots {
		if r := slot.life.logs[b.id]; r != nil {
			n := len(r.entries)
			snapshot := n
			if c.s.rng.IntN(2) == 0 {
				snapshot = c.s.rng.IntN(n + 1)
			}
			r.reload(n, snapshot)
		}
	}
	c.unfence(b)
}

// forget: a broker drops its state of producers that were idle for long, or without any record left.
func (c *simCluster) forget() {
	c.s.note("brokers forget producers")
	for _, slot := range c.slots {
		for _, r := range slot.life.logs {
			if r != nil && c.s.rng.IntN(4) != 0 {
				clear(r.producers)
			}
		}
	}
}

// settle makes everything well: all brokers are there and nothing is out of date for long.
func (c *simCluster) settle() {
	c.limit = 1 << 30
	for _, b := range c.members() {
		b.hung = false
		if !b.alive {
			c.start(b)
		} else if b.fenced {
			c.unfence(b)
		}
	}
}

// expireWaiting answers requests after their wait for replicas.
func (c *simCluster) expireWaiting(now time.Time) {
	for _, b := range c.brokers {
		if !b.alive || b.hung {
			continue
		}
		for _, conn := range b.conns {
			if r := conn.busy; r != nil && !now.Before(r.waitUntil) {
				for _, part := range r.parts {
					if part.answer == nil {
						part.answer = refusal(protocol.RequestTimedOut)
					}
				}
			}
		}
		c.complete(b)
	}
}
