package sender

import (
	"github.com/gosamsa/samsa/internal/cluster"
)

// A broker begins when a partition first gets it as its leader. It ends when it has left the cluster, leads no
// partition in use, and owes no response. Sender.mu guards this decision: Sender.brokers, broker.leads and
// broker.departed.

// acquireBroker returns the broker with this id and adds one to its led partitions; releaseBroker subtracts one. It
// returns nil once the sender has stopped. A leaving broker comes back: a second connection could overtake the requests
// on its first one.
func (s *Sender) acquireBroker(id int32) *broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	b := s.brokers[id]
	if b == nil {
		if b = s.comeBackLocked(id); b == nil {
			b = newBroker(s, id)
			s.wait.Add(1)
			go b.run()
		}
		s.brokers[id] = b
		// The caller's snapshot may be from before the broker left.
		_, there := s.cfg.Cluster.Snapshot().Brokers[id]
		b.departed = !there
	}
	b.leads++
	return b
}

// comeBackLocked returns the leaving broker with that id if it has not left yet, or nil.
func (s *Sender) comeBackLocked(id int32) *broker {
	for b := range s.leaving {
		if b.id == id && b.stay() {
			delete(s.leaving, b)
			return b
		}
	}
	return nil
}

// releaseBroker notes that a broker leads one partition fewer; b may be nil.
func (s *Sender) releaseBroker(b *broker) {
	if b == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.leads--
	s.dismissLocked(b)
}

// brokersChanged ends the brokers outside the cluster without a partition.
func (s *Sender) brokersChanged(snapshot *cluster.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, b := range s.brokers {
		_, there := snapshot.Brokers[id]
		b.departed = !there
		s.dismissLocked(b)
	}
}

// dismissLocked lets a broker leave if it has left the cluster and leads no partition. The caller's lock covers both
// the move to Sender.leaving and leave. Otherwise comeBackLocked could return the broker in between: it would lead
// partitions, and leave.
func (s *Sender) dismissLocked(b *broker) {
	if !b.departed || b.leads > 0 || s.brokers[b.id] != b {
		return
	}
	delete(s.brokers, b.id)
	s.leaving[b] = struct{}{}
	b.leave()
}

// left notes the end of a broker's goroutine.
func (s *Sender) left(b *broker) {
	s.mu.Lock()
	delete(s.leaving, b)
	s.mu.Unlock()
}

// allBrokers returns the brokers, also the leaving ones.
func (s *Sender) allBrokers() (all []*broker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.brokers {
		all = append(all, b)
	}
	for b := range s.leaving {
		all = append(all, b)
	}
	return all
}

// leave lets the broker's goroutine end as soon as no response is owed.
func (b *broker) leave() {
	b.mu.Lock()
	b.leaves = true
	b.mu.Unlock()
	b.signal()
}

// stay undoes leave. It reports false if the goroutine has ended, or is about to.
func (b *broker) stay() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	b.leaves = false
	return true
}

// hasLeft reports whether the broker's goroutine is to end.
func (b *broker) hasLeft() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = b.leaves && b.inFlight == 0 && b.handover.isIdle()
	return b.ended
}
