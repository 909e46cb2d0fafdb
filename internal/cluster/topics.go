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
	// wanted: the topic is requested until it is known. attempts counts answers without the topic, and failures to get
	// one, in a row; next is when it is requested again. at is the index in topics.due, or notDue.
	wanted   bool
	attempts int
	next     time.Time
	at       int
	// why is the last answer's error in its place.
	why error
	// failure is an answer beyond the cure of waiting. Until failedUntil every caller gets it without another request.
	failure     error
	failedUntil time.Time
	// unknownSince is the time of the first response without the topic since the topic is wanted, if every response
	// since then has UNKNOWN_TOPIC_OR_PARTITION.
	unknownSince time.Time
	// watched: the topic is in Client.watches. leaderWatched: so it is, for its partitions without a leader.
	watched, leaderWatched bool
	// lostSince is since when every response has called the known topic missing.
	lostSince time.Time
	// oldSince is since when every response has named leaders older than the known ones.
	oldSince time.Time
	// awaited are the partitions waiting for a leader. Until awaitedUntil, the client requests the topic as long as
	// there are any.
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

// track returns the entry of a topic, and wants it unless it has just failed for good.
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

// unwant ends the requests for a topic.
func (t *topics) unwant(e *entry) {
	if e.wanted {
		e.wanted = false
		t.wanted--
	}
	if e.at != notDue {
		heap.Remove(&t.due, e.at)
	}
}

// takeDue takes the topics due by now out of due, to request them. It drops the topics unused for so long. next is when
// the next of the others is due, zero for never.
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

// settle ends all waits for the entry. The caller closes the returned channel, if any.
func (t *topics) settle(e *entry) chan struct{} {
	t.unwant(e)
	ready := e.ready
	e.ready = nil
	return ready
}

// known notes the topic's presence in the snapshot.
func (t *topics) known(e *entry) chan struct{} {
	e.attempts, e.why, e.failure, e.lostSince, e.unknownSince = 0, nil, nil, time.Time{}, time.Time{}
	return t.settle(e)
}

// failed notes an answer beyond the cure of waiting.
func (t *topics) failed(e *entry, err error, now time.Time, pause func(int) time.Duration) chan struct{} {
	e.attempts++
	e.why, e.failure, e.failedUntil = err, err, now.Add(pause(e.attempts))
	return t.settle(e)
}

// unknown notes a response with the code of a missing topic. It returns true if every response has said so for bound;
// then the wait ends. Else the client requests the topic for the last time when bound is over.
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

// missing notes an answer without the topic, or, with a nil why, the absence of an answer. Another request may help.
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

// absent notes whether a response calls the known topic missing. It returns true when all responses have said so for
// long enough: the broker of the first one may just not have known the topic yet.
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

// oldForLong returns the topics whose answers have looked old for too long to be wrong: before topics had ids, a
// recreated topic begins with epoch 0 and looks like the old one.
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

// errIllegalName is the brokers' error for such names; a request with one would fail its other topics too.
var errIllegalName = &protocol.Error{Code: protocol.InvalidTopicException}
