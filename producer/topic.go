package producer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/cluster"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
	"github.com/gosamsa/samsa/sender"
)

// topic is Send's view of one topic.
type topic struct {
	name   string
	acc    *accumulator.Topic
	sticky *stickyTopic
	meta   atomic.Pointer[topicMeta] // nil while its partitions are not known
}

// topicMeta is one state of the topic's metadata. It does not change.
type topicMeta struct {
	topic      *cluster.Topic
	generation uint64 // of the snapshot with this metadata
	former     bool   // from before the producer forgot the topic; only TrySend uses it
	view       TopicView
}

// update takes the topic's metadata from a snapshot, or nothing if the snapshot lacks the topic. difference is the
// topic's change in this snapshot; nil stands for an unknown change. A snapshot older than the topic's present one has
// no effect. The caller holds topicsMu.
func (t *topic) update(s *cluster.Snapshot, difference *cluster.TopicChange) {
	old, meta := t.meta.Load(), s.Topic(t.name)
	if old != nil && s.Generation < old.generation {
		return
	}
	if meta == nil || meta.Len() == 0 {
		t.meta.Store(nil)
		return
	}
	if old != nil && old.topic == meta {
		return
	}
	t.take(meta, s.Generation, difference)
}

// take stores metadata of the topic from the snapshot with this generation. The caller holds topicsMu.
func (t *topic) take(meta *cluster.Topic, generation uint64, difference *cluster.TopicChange) {
	old := t.meta.Load()
	if old != nil && difference != nil && !difference.All && old.topic.SameAvailability(meta, difference.Partitions) {
		t.meta.Store(&topicMeta{topic: meta, generation: generation, view: old.view}) // only leaders have changed
		return
	}
	available := make([]int32, 0, meta.Len())
	for _, part := range meta.Partitions() {
		if part.Leader >= 0 {
			available = append(available, part.Index)
		}
	}
	view := newTopicView(t.name, int32(meta.Len()), available)
	t.meta.Store(&topicMeta{topic: meta, generation: generation, view: view})
	t.sticky.update(view)
}

// load returns the load of a partition for the sticky partitioner.
func (t *topic) load(partition int32, now time.Time) stickyLoad {
	part := t.acc.Lookup(partition)
	if part == nil {
		return stickyLoad{}
	}
	queued, stalled := sender.Load(part, now)
	return stickyLoad{queued: int32(queued), stalled: stalled}
}

// topicFor returns a topic with its metadata. It waits for the metadata within the budget; with a nil budget it does
// not wait.
func (p *Producer) topicFor(wait *budget, name string) (*topic, *record.Error) {
	t := p.topic(name)
	if t.isKnown() {
		return t, nil
	}
	if t == nil {
		if problem := protocol.TopicNameProblem(name); problem != "" {
			return nil, &record.Error{Topic: shorten(name), Partition: -1, Err: record.ErrInvalidTopic, Detail: problem}
		}
	}
	for {
		var err error
		if wait == nil {
			if _, err = p.cluster.TryTopic(name); errors.Is(err, cluster.ErrPending) {
				if t := p.revive(name); t != nil {
					return t, nil
				}
			}
		} else {
			_, err = p.cluster.Topic(wait.context(), name)
		}
		if err != nil {
			return nil, p.metadataError(wait, name, err)
		}
		if t := p.addTopic(name); t != nil {
			return t, nil
		}
		// The topic has left the snapshot since. The next iteration requests it.
	}
}

// topic returns the topic of that name, or nil.
func (p *Producer) topic(name string) *topic {
	if t := p.newest.Load(); t != nil && t.name == name {
		return t
	}
	t, _ := p.topics.Load().Get(name)
	return t
}

// isKnown reports whether the topic's partitions are known now. It returns false for a nil topic.
func (t *topic) isKnown() bool {
	if t == nil {
		return false
	}
	meta := t.meta.Load()
	return meta != nil && !meta.former
}

// addTopic returns the topic of that name with the newest metadata, and creates it if needed. It returns nil if the
// snapshot does not have the topic.
func (p *Producer) addTopic(name string) *topic {
	p.topicsMu.Lock()
	defer p.topicsMu.Unlock()
	newest := p.cluster.Snapshot()
	if newest.Topic(name) == nil {
		return nil
	}
	old := p.topics.Load()
	if t, known := old.Get(name); known {
		t.update(newest, nil)
		return t
	}
	t := p.newTopic(name)
	t.update(newest, nil)
	p.keep(t)
	return t
}

// newTopic returns a topic without metadata. The caller holds topicsMu.
func (p *Producer) newTopic(name string) *topic {
	t := &topic{name: name, acc: p.acc.Topic(name)}
	t.sticky = newStickyTopic(&p.cfg, TopicView{name: name}, t.load, rand.Uint64())
	return t
}

// keep adds a topic to the topics that Sends can find. The caller holds topicsMu.
func (p *Producer) keep(t *topic) {
	topics := p.topics.Load().With(t.name, t)
	p.topics.Store(&topics)
	p.newest.Store(t)
}

// revive returns a topic that the producer forgot as idle, with its former partitions. The client requests the topic's
// metadata, and until the response the records wait for a leader. It returns nil for any other topic.
func (p *Producer) revive(name string) *topic {
	p.topicsMu.Lock()
	defer p.topicsMu.Unlock()
	if t, known := p.topics.Load().Get(name); known {
		if t.meta.Load() == nil {
			return nil
		}
		return t
	}
	former := p.idle.take(name)
	if former == nil || p.closed.Load() {
		return nil
	}
	t := p.newTopic(name)
	t.take(former, p.cluster.Snapshot().Generation, nil)
	meta := *t.meta.Load()
	meta.former = true
	t.meta.Store(&meta)
	p.keep(t)
	return t
}

// letGo drops a topic after metadata.max.idle.ms without use, and returns false if the topic has undelivered records. A
// Send that found the topic earlier cannot append to it any more, and looks it up again.
func (p *Producer) letGo(name string) bool {
	p.topicsMu.Lock()
	defer p.topicsMu.Unlock()
	if !p.acc.Forget(name) {
		return false
	}
	topics := p.topics.Load().Without(name)
	p.topics.Store(&topics)
	p.idle.add(p.cluster.Snapshot().Topic(name))
	if newest := p.newest.Load(); newest != nil && newest.name == name {
		p.newest.Store(nil)
	}
	return true
}

// metadataError returns the error of a Send without metadata for its topic.
func (p *Producer) metadataError(wait *budget, name string, err error) *record.Error {
	failed := &record.Error{Topic: name, Partition: -1}
	var ended *cluster.TopicError
	_ = errors.As(err, &ended)
	var missing *cluster.MissingError
	var final *protocol.Error
	switch {
	case p.closed.Load():
		failed.Err = record.ErrClosed
	case wait != nil && wait.user.Err() != nil:
		failed.Err = accumulator.ContextError(wait.user)
		failed.Detail = because("while waiting for the topic's metadata", whyNoMetadata(ended, err))
	case ended != nil && errors.As(ended.Err, &missing):
		failed.Err = &unknownTopic{missing}
	case ended != nil && errors.As(ended.Err, &final):
		failed.Err, failed.Fate = final, record.CertainFate(final)
	case ended != nil && ended.Missing != nil:
		failed.Err = &unknownTopic{ended.Missing}
	case wait == nil:
		failed.Err = &metadataTimeout{text: "no metadata for the topic yet", reason: brokersReason(ended)}
		failed.Detail = because("it is being fetched", whyNoMetadata(ended, err))
	default:
		failed.Err = p.metadataTimeoutOf(ended, err)
	}
	return failed
}

// metadataTimeoutOf returns the error of a Send that has waited max.block.ms for metadata.
func (p *Producer) metadataTimeoutOf(ended *cluster.TopicError, err error) error {
	timeout := &metadataTimeout{reason: brokersReason(ended)}
	bound := fmt.Sprintf("for %v (MaxBlock)", p.cfg.MaxBlock)
	var silent *cluster.UnreachableError
	if ended != nil && errors.As(ended.Why, &silent) {
		timeout.text = "no broker answered " + bound + ": " + silent.Reasons()
	} else {
		timeout.text = because("no metadata for the topic "+bound, whyNoMetadata(ended, err))
	}
	return timeout
}

// whyNoMetadata returns why a topic has no metadata, or "". err is the whole error; ended is the part with the reasons.
func whyNoMetadata(ended *cluster.TopicError, err error) string {
	var silent *cluster.UnreachableError
	switch {
	case ended == nil:
		return err.Error()
	case errors.As(ended.Why, &silent) && silent.IsUntried():
		return ""
	case ended.Why != nil:
		return ended.Why.Error()
	}
	return ""
}

// brokersReason returns the brokers' last error for a topic, or nil if no broker answers.
func brokersReason(ended *cluster.TopicError) *protocol.Error {
	var silent *cluster.UnreachableError
	var reason *protocol.Error
	if ended == nil || errors.As(ended.Why, &silent) || !errors.As(ended.Why, &reason) {
		return nil
	}
	return reason
}

// metadataTimeout is ErrMetadataTimeout with its cause in words, and the brokers' last error for the topic, if any.
type metadataTimeout struct {
	text   string
	reason *protocol.Error
}

func (e *metadataTimeout) Error() string { return e.text }

func (e *metadataTimeout) Unwrap() []error {
	if e.reason == nil {
		return []error{record.ErrMetadataTimeout}
	}
	return []error{record.ErrMetadataTimeout, e.reason}
}

// unknownTopic is ErrUnknownTopic with the brokers' error and its duration.
type unknownTopic struct{ *cluster.MissingError }

func (e *unknownTopic) Unwrap() []error {
	return []error{record.ErrUnknownTopic, e.MissingError.Unwrap()}
}

// shorten bounds a name in an error.
func shorten(name string) string {
	const most = 60
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}
