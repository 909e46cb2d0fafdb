package testbroker

import (
	"maps"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// Action replaces the ordinary handling of a request. The zero Action is the ordinary handling. The functions below
// make actions, and And combines them.
type Action struct {
	set bool

	delay       time.Duration
	hold        <-chan struct{}
	dropRequest bool

	// fails: the answer has code, for the action's partition, or for all.
	fails        bool
	appends      bool
	code         protocol.ErrorCode
	message      string
	recordErrors []protocol.RecordError
	leader       *protocol.LeaderIDAndEpoch
	topic        string // "": all
	partition    int32  // -1: all of the topic

	throttle         time.Duration
	edit             func(protocol.Response)
	answerDelay      time.Duration
	holdAnswer       <-chan struct{}
	dropAnswer       bool
	reset            bool
	silence          bool
	cut              bool
	cutAt            int
	garbage          []byte
	correlationShift int32
	piece            int
	pieceDelay       time.Duration
}

// Pass is the ordinary.
func Pass() Action { return Action{} }

// Fail answers with an error code and does nothing else: nothing is appended. Of a Produce request it is the code of
// every partition, of a Metadata request of every topic (REBOOTSTRAP_REQUIRED of the whole answer), else of the whole
// answer. A rule's Partition, or At, limits it.
func Fail(code protocol.ErrorCode) Action {
	return Action{set: true, fails: true, code: code, partition: -1}
}

// Reject is Fail with a message and errors of single records, by their number in the batch (KIP-467).
func Reject(code protocol.ErrorCode, message string, records map[int32]string) Action {
	a := Fail(code)
	a.message = message
	for _, i := range slices.Sorted(maps.Keys(records)) {
		m := records[i]
		a.recordErrors = append(a.recordErrors, protocol.RecordError{BatchIndex: i, Message: &m})
	}
	return a
}

// AppendAndFail appends the batches, if they can be, and answers with an error code all the same.
func AppendAndFail(code protocol.ErrorCode) Action {
	a := Fail(code)
	a.appends = true
	return a
}

// NotLeader refuses with NOT_LEADER_OR_FOLLOWER and names a leader and epoch (KIP-951), true or not.
func NotLeader(leader, epoch int32) Action {
	a := Fail(protocol.NotLeaderOrFollower)
	a.leader = &protocol.LeaderIDAndEpoch{LeaderID: leader, LeaderEpoch: epoch}
	return a
}

// DropRequest closes the connection instead of handling the request.
func DropRequest() Action { return Action{set: true, dropRequest: true} }

// DropAnswer handles the request, and then closes the connection instead of answering.
func DropAnswer() Action { return Action{set: true, dropAnswer: true} }

// WithReset makes DropRequest, DropAnswer and CutAnswer reset the connection instead of closing it in good order.
func WithReset() Action { return Action{set: true, reset: true} }

// SwallowAnswer handles the request, and from then on the connection stays open and silent. The broker still handles
// its later requests.
func SwallowAnswer() Action { return Action{set: true, silence: true, cut: true} }

// CutAnswer writes the first n bytes of the answer, its length among them, and closes the connection; together with
// SwallowAnswer it stays open and silent.
func CutAnswer(n int) Action { return Action{set: true, cut: true, cutAt: n} }

// Delay waits before the request is handled. Requests behind it on the connection wait too.
func Delay(d time.Duration) Action { return Action{set: true, delay: d} }

// Hold waits until the channel is closed before the request is handled.
func Hold(until <-chan struct{}) Action { return Action{set: true, hold: until} }

// DelayAnswer handles the request and waits before it answers.
func DelayAnswer(d time.Duration) Action { return Action{set: true, answerDelay: d} }

// HoldAnswer handles the request and waits until the channel is closed before it answers.
func HoldAnswer(until <-chan struct{}) Action { return Action{set: true, holdAnswer: until} }

// Throttle answers with a throttle time, and reads and handles nothing of the connection for that long after the answer
// (KIP-219). In versions before KIP-219 (Produce below 6) the broker waits before it answers instead.
func Throttle(d time.Duration) Action { return Action{set: true, throttle: d} }

// DripAnswer writes the answer in pieces of some bytes, with a pause after each.
func DripAnswer(bytes int, pause time.Duration) Action {
	return Action{set: true, piece: bytes, pieceDelay: pause}
}

// Garbage handles the request and writes these bytes in the place of the answer's frame.
func Garbage(frame []byte) Action { return Action{set: true, garbage: frame} }

// WrongCorrelationID answers with another correlation id.
func WrongCorrelationID() Action { return Action{set: true, correlationShift: 1000} }

// Edit changes the answer before it is written: Edit(func(r *protocol.ProduceResponse) { … }). Answers of other kinds
// stay as they are.
func Edit[R protocol.Response](change func(R)) Action {
	return Action{set: true, edit: func(r protocol.Response) {
		if r, ok := r.(R); ok {
			change(r)
		}
	}}
}

// At limits the failure to one partition; the broker handles the others of the request in the ordinary way.
func (a Action) At(topic string, partition int32) Action {
	a.topic, a.partition = topic, partition
	return a
}

// And combines two actions. If they contradict each other, b's word counts.
func (a Action) And(b Action) Action {
	if !a.set {
		return b
	}
	if b.fails {
		a.fails, a.appends, a.code, a.message, a.recordErrors, a.leader = true, b.appends, b.code, b.message,
			b.recordErrors, b.leader
		a.topic, a.partition = b.topic, b.partition
	}
	if b.edit != nil {
		if first, second := a.edit, b.edit; first != nil {
			a.edit = func(r protocol.Response) { first(r); second(r) }
		} else {
			a.edit = second
		}
	}
	if b.cut && (!a.cut || b.cutAt > 0) {
		a.cut, a.cutAt = true, b.cutAt
	}
	replace(&a.delay, b.delay)
	replace(&a.hold, b.hold)
	replace(&a.dropRequest, b.dropRequest)
	replace(&a.throttle, b.throttle)
	replace(&a.answerDelay, b.answerDelay)
	replace(&a.holdAnswer, b.holdAnswer)
	replace(&a.dropAnswer, b.dropAnswer)
	replace(&a.reset, b.reset)
	replace(&a.silence, b.silence)
	replace(&a.correlationShift, b.correlationShift)
	replace(&a.piece, b.piece)
	replace(&a.pieceDelay, b.pieceDelay)
	if b.garbage != nil {
		a.garbage = b.garbage
	}
	return a
}

// replace sets *to unless from is the zero value.
func replace[T comparable](to *T, from T) {
	var zero T
	if from != zero {
		*to = from
	}
}

// losesAnswer says whether the client does not get the answer.
func (a *Action) losesAnswer() bool { return a.dropAnswer || a.cut || a.silence || a.garbage != nil }

// concerns reports whether the failure concerns this part.
func (a *Action) concerns(p *Part) bool {
	return a.topic == "" || a.topic == p.Topic && (a.partition < 0 || a.partition == p.Partition)
}
