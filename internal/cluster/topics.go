package cluster

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// entry is what is remembered of one topic that somebody asked for, whether it exists or not. Client.mu guards it.
type entry struct {
	name string
	// used is shared with the snapshots' Topics.
	used *atomic.Int64
	// waiters are in Topic. ready is closed when their wait is over; it is nil while nobody waits.
	waiters int
	ready   chan struct{}
	// attempts counts answers without the topic, and failures to get one, in a row; next is when it is asked for again.
	attempts int
	next     time.Time
	// why is what the last answer said instead.
	why error
	// failure is an answer that waiting cannot cure. Until failedUntil everybody gets it without asking again.
	failure     error
	failedUntil time.Time
	// lostSince is since when brokers say in every response that the topic, which is known, does not exist.
	lostSince time.Time
	// oldSince is since when brokers tell of nothing but leaders that look older than the known ones.
	oldSince time.Time
}

// topics are the entries of a client. wanted is the part that is asked for until it is known: somebody waits, or did lately.
type topics struct {
	all, wanted map[string]*entry
}

// track returns the entry of a topic, and wants it unless it has just failed for good.
func (t *topics) track(name string, now time.Time) *entry {
	e := t.all[name]
	if e == nil {
		e = &entry{name: name, used: new(atomic.Int64)}
		t.all[name] = e
	}
	e.used.Store(now.UnixNano())
	if e.failure != nil && !now.Before(e.failedUntil) {
		e.failure = nil
	}
	if e.failure == nil && t.wanted[name] == nil {
		t.wanted[name] = e
		e.next = now
	}
	return e
}

// idle reports whether nobody has used the topic for so long.
func (e *entry) idle(now time.Time, bound time.Duration) bool {
	return e.waiters == 0 && now.UnixNano()-e.used.Load() >= int64(bound)
}

// settle ends the wait of everybody who waits for the entry. The channel that it returns, if any, is to be closed.
func (t *topics) settle(e *entry) chan struct{} {
	delete(t.wanted, e.name)
	ready := e.ready
	e.ready = nil
	return ready
}

// known notes that the topic is in the snapshot.
func (t *topics) known(e *entry) chan struct{} {
	e.attempts, e.why, e.failure, e.lostSince = 0, nil, nil, time.Time{}
	return t.settle(e)
}

// failed notes an answer that waiting cannot cure.
func (t *topics) failed(e *entry, err error, now time.Time, pause func(int) time.Duration) chan struct{} {
	e.attempts++
	e.why, e.failure, e.failedUntil = err, err, now.Add(pause(e.attempts))
	return t.settle(e)
}

// missing notes an answer without the topic, or with a nil why that there was none. It is worth to ask again.
func (e *entry) missing(why error, now time.Time, pause func(int) time.Duration) {
	e.attempts++
	e.next = now.Add(pause(e.attempts))
	if why != nil {
		e.why = why
	}
}

// absent notes whether a response says that the topic, which is known, does not exist. It returns true when all responses have
// said so for long enough: the broker of the first one may just not have known the topic yet.
func (e *entry) absent(says bool, now time.Time, bound time.Duration) bool {
	switch {
	case !says:
		e.lostSince = time.Time{}
	case e.lostSince.IsZero():
		e.lostSince = now
	case now.Sub(e.lostSince) >= bound:
		e.lostSince = time.Time{}
		return true
	}
	return false
}

// told notes whether an answer told of older leaders than are known.
func (e *entry) told(old bool, now time.Time) {
	switch {
	case !old:
		e.oldSince = time.Time{}
	case e.oldSince.IsZero():
		e.oldSince = now
	}
}

// oldForLong returns the topics of which brokers have told nothing but old things for so long that these must be true: before
// topics had ids, one that is made again begins with epoch 0 and cannot be told from the old one.
func (t *topics) oldForLong(names []string, now time.Time, bound time.Duration) (believe map[string]bool) {
	for _, name := range names {
		if e := t.all[name]; e != nil && !e.oldSince.IsZero() && now.Sub(e.oldSince) >= bound {
			if believe == nil {
				believe = make(map[string]bool)
			}
			believe[name] = true
		}
	}
	return believe
}

// forget drops the wish for topics that nobody has used for so long, and returns when the next of the others is due.
func (t *topics) forget(now time.Time, bound time.Duration) (next time.Time) {
	for name, e := range t.wanted {
		switch {
		case e.idle(now, bound):
			delete(t.wanted, name)
		case next.IsZero() || e.next.Before(next):
			next = e.next
		}
	}
	return next
}

// expire forgets all about topics that nobody has used for so long, and returns their names.
func (t *topics) expire(now time.Time, bound time.Duration) (names []string) {
	for name, e := range t.all {
		if t.wanted[name] == nil && e.idle(now, bound) {
			delete(t.all, name)
			names = append(names, name)
		}
	}
	return names
}

// legal reports whether a request can name the topic. What else makes a name illegal is for the brokers to say.
func legal(name string) bool { return name != "" && len(name) <= 249 }

// errIllegalName is what brokers say of such names; asking them would fail the other topics of the request too.
var errIllegalName = &protocol.Error{Code: protocol.InvalidTopicException}
