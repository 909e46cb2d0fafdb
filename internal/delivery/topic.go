package delivery

import (
	"slices"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// maxFormerTopics bounds the topics that a partition remembers: a server may report any number of them.
const maxFormerTopics = 8

// TopicIs takes the topic's id from the metadata; zero is an unknown one. Another id than before means that the topic
// was deleted and recreated, or that a broker with old metadata reports a former topic again.
func (p *Partition) TopicIs(id protocol.UUID) {
	defer p.endEvent(nil)
	before := p.topicID
	p.topicID = id
	if !before.IsZero() && before != id {
		p.recreated(p.lifeOf(before, id))
	}
}

// lifeOf returns the life that begins when the topic's id changes. A former topic that is back has its former life.
func (p *Partition) lifeOf(before, now protocol.UUID) int {
	p.formerTopics = slices.DeleteFunc(p.formerTopics, func(t formerTopic) bool { return t.id == before })
	if len(p.formerTopics) >= maxFormerTopics {
		p.formerTopics = slices.Delete(p.formerTopics, 0, 1)
	}
	p.formerTopics = append(p.formerTopics, formerTopic{before, p.incarnation})
	for _, t := range p.formerTopics {
		if t.id == now {
			return t.incarnation
		}
	}
	return p.incarnations + 1
}

// recreated begins the given life of the topic. Its log has no state for the identity, and accepts any first sequence.
// The whole cluster may have been recreated under its former cluster id; then it may assign the identity's id to
// another producer. So new batches get another producer id. The leader epochs start again.
func (p *Partition) recreated(life int) {
	p.isAcked, p.leaderEpoch = false, -1
	p.forgetOffset()
	p.incarnation, p.incarnations = life, max(p.incarnations, life)
	if p.id.Valid {
		p.needBump, p.needID = true, true
	}
	p.afterEvent()
}

// ClusterIs takes the cluster id of the metadata; it is empty if the servers do not report one. If a cluster replaces
// another, the partition forgets the former log, and sends no batch under the former identity any more: the new cluster
// may have assigned the same producer id to another producer, and its "duplicate" would be wrong. A batch that the
// former cluster may have written fails as maybe written; the other batches get a new identity.
func (p *Partition) ClusterIs(id string) {
	defer p.endEvent(nil)
	before := p.cluster
	if id == "" || id == before {
		return
	}
	p.cluster = id
	if before != "" {
		p.topicID = protocol.UUID{} // the topic of another cluster has nothing to do with the former one
	} else if protocol.SameCluster(p.id.Cluster, id) {
		return
	}
	p.isAcked, p.leaderEpoch = false, -1
	p.forgetOffset()
	for _, b := range p.window {
		b.epochSeen, b.fastRetries = -1, 0
	}
	if p.id.Valid {
		p.needBump, p.needID = true, true
	}
	p.afterEvent()
}

// leaveFormerCluster fails the batches that a former cluster may have written.
func (p *Partition) leaveFormerCluster() {
	if protocol.SameCluster(p.id.Cluster, p.cluster) {
		return
	}
	for _, b := range slices.Clone(p.window) {
		if b.state != Retrying || !b.isDoubtful() || protocol.SameCluster(b.id.Cluster, p.cluster) {
			continue
		}
		detail := ""
		if b.lastErr != nil {
			detail = "before that: " + b.lastErr.Error()
		}
		p.giveUp(b, record.ErrClusterReplaced, record.FateMaybeWritten, detail)
	}
}

// expireFromOldTopic treats the batches that the log of a deleted topic may have, after a topic of the same name was
// created:
//   - If all requests with a batch named the topic by its id, the new topic cannot get them: the batch is sent to it
//     under a new identity.
//   - If a request named the topic by its name, and an earlier batch waits for a new sequence, the batch fails: the new
//     topic would accept it before the earlier one. retryDue asks for a Tick if it meets such a batch.
//   - If the topic whose log may have a batch is back, because a broker with old metadata had reported another topic,
//     the batch fails.
func (p *Partition) expireFromOldTopic() {
	if p.incarnations == 0 {
		return
	}
	isBehind := false
	for _, b := range slices.Clone(p.window) {
		if b.state == Preparing {
			isBehind = true
		}
		if b.state != Retrying {
			continue
		}
		if slices.Contains(b.formerIncarnations, p.incarnation) {
			p.giveUp(b, b.lastErr, record.FateMaybeWritten,
				"the metadata reported another topic of this name meanwhile")
			continue
		}
		isOld := b.isDoubtful() && b.incarnation != p.incarnation
		if isOld && !b.byName {
			p.leaveOldTopic(b)
			isOld = false
		}
		switch {
		case b.sequence == NoSequence:
			isBehind = true
		case isBehind && isOld:
			p.giveUp(b, b.lastErr, record.FateMaybeWritten, "the topic was deleted and recreated meanwhile")
		}
	}
}

// leaveOldTopic notes that only the log of a former topic may have b: no request for the former topic reaches this one.
func (p *Partition) leaveOldTopic(b *Batch) {
	b.formerIncarnations = append(b.formerIncarnations, b.incarnation)
	b.fate, b.request = InDeletedTopic, NoRequest
	p.revokeSequence(b)
}
