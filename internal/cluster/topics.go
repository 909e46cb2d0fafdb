package cluster

import (
	"container/heap"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// entry is the state of one topic requested by a caller, whether it exists or not. Client.mu guards it.
type entry struct {
	name string
	// used is shared with the snapshots' Topics.
	used *usage
	// waiters are in Topic. ready is closed when their wait is over; it is nil while no goroutine waits.
	waiters int
	ready   chan struct{}
	// wanted: the topic is requested until it is known. attempts counts, in a row, answers without the topic and
	// requests without an answer. next is the time of the next request. at is the index in topics.due, or notDue.
	wanted   bool
	attempts int
	next     time.Time
	at       int
	// why is the topic's error in the last answer.
	why error
	// failure is a final error from the brokers. Until failedUntil every caller gets this error without another
	// request.
	failure     error
	failedUntil time.Time
	// unknownSince is the time of the first response with UNKNOWN_TOPIC_OR_PARTITION since the topic became wanted;
	// zero if another response came since.
	unknownSince time.Time
	// watched: Client.watches has the topic. leaderWatched: Client.watches has the topic for its partitions without a
	// leader.
	watched, leaderWatched bool
	// lostSince is the time since which every response has called the known topic missing.
	lostSince time.Time
	// oldSince is the time since which every response has named older leaders than the known ones.
	oldSince time.Time
	// awaited has the partitions whose leader a caller awaits. Until awaitedUntil the client keeps requesting the
	// topic, as long as awaited is not empty.
	awaited      map[int32]struct{}
	awaitedUntil time.Time
}

// notDue is the index of an entry outside topics.due.
const notDue = -1

// topics are the entries of a client.
type topics struct {
	// began is the start of the clock for usage.
	began time.Time
	all   map[string]*entry
	// wanted counts the requested topics still unknown. due holds the wanted topics outside the present request,
	// earliest first.
	wanted int
	due    dueEntries
	// stale are known topics to be requested soon.
	stale map[string]*entry
}

func newTopics(now time.Time) topics {
	return topics{began: now, all: make(map[string]*entry), stale: make(map[string]*entry)}
}

// track returns the entry of a topic, and schedules a request for it unless it has just failed with a final error.
func (t *topics) track(name string, now time.Time) *entry {
	e := t.all[name]
	if e == nil {
		e = &entry{name: name, used: &usage{began: t.began}, at: notDue}
		e.used.at.Store(int64(now.Sub(t.began)))
		t.all[name] = e
	}
	e.used.touch(now)
	if e.failure != nil && !now.Before(e.failedUntil) {
		e.failure = nil
	}
	if e.failure == nil && !e.wanted {
		e.unknownSince = time.Time{}
		t.want(e, now)
	}
	return e
}

// want requests the topic from a time on until it is known.
func (t *topics) want(e *entry, from time.Time) {
	if !e.wanted {
		e.wanted = true
		t.wanted++
	}
	delete(t.stale, e.name)
	t.schedule(e, from)
}

// schedule sets when a wanted topic is requested.
func (t *topics) schedule(e *entry, at time.Time) {
	e.next = at
	if e.at == notDue {
		heap.Push(&t.due, e)
	} else {
		heap.Fix(&t.due, e.at)
	}
}

// unwant stops the requests for a topic.
func (t *topics) unwant(e *entry) {
	if e.wanted {
		e.wanted = false
		t.wanted--
	}
	if e.at != notDue {
		heap.Remove(&t.due, e.at)
	}
}

// takeDue removes from due the topics to request now and returns them. It drops topics unused for bound. next is the
// time when the next remaining topic is due, zero for never.
func (t *topics) takeDue(now time.Time, bound time.Duration) (names []string, next time.Time) {
	for len(t.due) > 0 {
		e := t.due[0]
		if e.next.After(now) {
			return names, e.next
		}
		heap.Pop(&t.due)
		if e.idle(now, bound) {
			t.unwant(e)
			continue
		}
		names = append(names, e.name)
	}
	return names, time.Time{}
}

// dueEntries is a heap of entries, for package heap.
type dueEntries []*entry

func (d dueEntries) Len() int           { return len(d) }
func (d dueEntries) Less(i, j int) bool { return d[i].next.Before(d[j].next) }
func (d dueEntries) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i, j
}

func (d *dueEntries) Push(e any) {
	entry := e.(*entry)
	entry.at = len(*d)
	*d = append(*d, entry)
}

func (d *dueEntries) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	e.at = notDue
	return e
}

// idle reports whether the topic was unused for this time.
func (e *entry) idle(now time.Time, bound time.Duration) bool {
	return e.waiters == 0 && e.used.idleFor(now) >= bound
}

// settle ends all waits for the entry. The caller closes the returned channel unless it is nil.
func (t *topics) settle(e *entry) chan struct{} {
	t.unwant(e)
	ready := e.ready
	e.ready = nil
	return ready
}

// known records that the snapshot has the topic.
func (t *topics) known(e *entry) chan struct{} {
	e.attempts, e.why, e.failure, e.lostSince, e.unknownSince = 0, nil, nil, time.Time{}, time.Time{}
	return t.settle(e)
}

// failed records a final error from the brokers.
func (t *topics) failed(e *entry, err error, now time.Time, pause func(int) time.Duration) chan struct{} {
	e.attempts++
	e.why, e.failure, e.failedUntil = err, err, now.Add(pause(e.attempts))
	return t.settle(e)
}

// unknown records a response with the code of a missing topic. It returns true if every response for bound has this
// code; then the wait ends. Otherwise the client makes the last request for the topic when bound is over.
func (t *topics) unknown(e *entry, code error, now time.Time, bound time.Duration, pause func(int) time.Duration) bool {
	if e.unknownSince.IsZero() {
		e.unknownSince = now
	}
	end := e.unknownSince.Add(bound)
	if bound >= 0 && !now.Before(end) {
		return true
	}
	t.missing(e, code, now, pause)
	if bound >= 0 && e.wanted && e.next.After(end) {
		t.schedule(e, end)
	}
	return false
}

// missing records an answer without the topic or, if why is nil, a request without an answer, and schedules another
// request.
func (t *topics) missing(e *entry, why error, now time.Time, pause func(int) time.Duration) {
	e.attempts++
	e.next = now.Add(pause(e.attempts))
	if e.wanted {
		t.schedule(e, e.next)
	}
	if why != nil {
		e.why = why
	}
}

// absent records whether a response calls the known topic missing. It returns true if all responses for bound did: a
// single broker may just not know the topic yet.
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

// told records whether an answer named older leaders than the known ones.
func (e *entry) told(old bool, now time.Time) {
	switch {
	case !old:
		e.oldSince = time.Time{}
	case e.oldSince.IsZero():
		e.oldSince = now
	}
}

// oldForLong returns the topics for which all answers have named older leaders for at least bound. Such a topic was
// probably recreated: it begins with epoch 0, and without topic ids only the epochs differ.
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

// idleFor returns the topics unused for at least bound.
func (t *topics) idleFor(now time.Time, bound time.Duration) (names []string) {
	for name, e := range t.all {
		if !e.wanted && e.idle(now, bound) {
			names = append(names, name)
		}
	}
	return names
}

// forget removes a topic that was unused for this time, and reports whether it did.
func (t *topics) forget(name string, now time.Time, bound time.Duration) bool {
	e := t.all[name]
	if e == nil || e.wanted || !e.idle(now, bound) {
		return false
	}
	delete(t.all, name)
	delete(t.stale, name)
	return true
}

// errIllegalName is the brokers' error for an illegal name. The client does not send such a name, because its request
// would fail for the other topics too.
var errIllegalName = &protocol.Error{Code: protocol.InvalidTopicException}
