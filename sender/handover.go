package sender

import "fmt"

// handover decides which goroutine makes a broker's next request: the broker's goroutine, a goroutine in Get, or the
// goroutine that processes a response. It has two halves, and any state of one meets any state of the other. broker.mu
// guards both. The methods are the only transitions: in the charts a column is a state, an arrow is a method, and @ is
// a method that keeps the state. In a state for which the chart has no such arrow, a method panics in tests and in the
// race build; in a user's process it keeps the state.
//
// The first half is the goroutine that makes requests. There is at most one, and it holds no lock over fill and write:
//
//	brokerMaker          noMaker          inlineMaker      inlineMakerWoken
//	     |                  |                  |                  |
//	     |<--- startWork ---|                  |                  |
//	     |---- stopWork --->|                  |                  |
//	     |                  |---- acquire ---->|                  |
//	     |                  |<---- release ----|                  |
//	     |                  |                  |--- startWork --->|
//	     |                  |<------------- release --------------|
//	     |                  |                  |                  @ startWork
//
// The second half is the speed of the last response, and whether a goroutine in Get counts on the next one:
//
//	slowReplies         fastReplies        awaitedReply
//	     |                   |                  |
//	     |--- repliedFast -->|                  |
//	     |<-- repliedSlow ---|                  |
//	     |                   |--- awaitReply -->|
//	     |                   |<----- sent ------|
//	     |<------------- repliedSlow -----------|
//	     @ sent              @ sent             @ awaitReply
//	     @ repliedSlow       @ repliedFast      @ repliedFast
//
// Three fields that concern the hand-over are no part of it, for no transition depends on them: broker.lastReply is the
// time from which a response counts as late; broker.silenceAt is the time of a timer; partition.inlineGen is one place
// in the ready queue, under the lock that the accumulator's call holds anyway.
type handover struct {
	maker   requestMaker
	replies replySpeed
}

// requestMaker is the goroutine that makes a broker's requests.
type requestMaker uint8

const (
	// noMaker: no goroutine makes a request.
	noMaker requestMaker = iota + 1
	// brokerMaker: the broker's goroutine makes requests, until it can make none: broker.work.
	brokerMaker
	// inlineMaker: another goroutine, in Get or after a response, makes one: broker.sendOne.
	inlineMaker
	// inlineMakerWoken: as inlineMaker; at its end it wakes the broker's goroutine again.
	inlineMakerWoken
)

func (m requestMaker) String() string {
	return [...]string{"", "noMaker", "brokerMaker", "inlineMaker", "inlineMakerWoken"}[m]
}

// replySpeed is how fast a broker responds, and whether a goroutine in Get counts on it.
type replySpeed uint8

const (
	// slowReplies: the last response took fastReply or longer, or the last request failed. A goroutine in Get wakes the
	// broker's goroutine.
	slowReplies replySpeed = iota + 1
	// fastReplies: the last response was fast. A goroutine in Get leaves its batch to the next response, if it is due
	// soon.
	fastReplies
	// awaitedReply: a goroutine in Get has left its batch. The goroutine that processes the response makes the next
	// request (broker.sendNext), unless a request is sent before: that one takes the batch if there is room.
	awaitedReply
)

func (r replySpeed) String() string {
	return [...]string{"", "slowReplies", "fastReplies", "awaitedReply"}[r]
}

// handoverEvent is a method of handover with a transition.
type handoverEvent uint8

const (
	evStartWork handoverEvent = iota
	evStopWork
	evAcquire
	evRelease
	evAwaitReply
	evSend
	evFast
	evSlow
)

func (e handoverEvent) String() string {
	return [...]string{
		"startWork", "stopWork", "acquire", "release", "awaitReply", "sent", "repliedFast",
		"repliedSlow"}[e]
}

// makerTransitions and replyTransitions are the arrows of the two charts. Zero is no state: that transition is a bug.
var (
	makerTransitions = [inlineMakerWoken + 1][evSlow + 1]requestMaker{
		noMaker:          {evStartWork: brokerMaker, evAcquire: inlineMaker},
		brokerMaker:      {evStopWork: noMaker},
		inlineMaker:      {evStartWork: inlineMakerWoken, evRelease: noMaker},
		inlineMakerWoken: {evStartWork: inlineMakerWoken, evRelease: noMaker},
	}
	replyTransitions = [awaitedReply + 1][evSlow + 1]replySpeed{
		slowReplies:  {evSend: slowReplies, evFast: fastReplies, evSlow: slowReplies},
		fastReplies:  {evAwaitReply: awaitedReply, evSend: fastReplies, evFast: fastReplies, evSlow: slowReplies},
		awaitedReply: {evAwaitReply: awaitedReply, evSend: fastReplies, evFast: awaitedReply, evSlow: slowReplies},
	}
)

// newHandover returns the state of a broker before its first request.
func newHandover() handover { return handover{noMaker, slowReplies} }

// isIdle reports whether no goroutine makes a request.
func (h *handover) isIdle() bool { return h.maker == noMaker }

// startWork notes that the broker's goroutine was woken. It reports whether that goroutine makes requests from here on.
func (h *handover) startWork() bool {
	h.stepMaker(evStartWork)
	return h.maker == brokerMaker
}

// stopWork notes that the broker's goroutine can make no further request.
func (h *handover) stopWork() { h.stepMaker(evStopWork) }

// acquire makes the caller's goroutine the maker of the next request.
func (h *handover) acquire() { h.stepMaker(evAcquire) }

// release undoes acquire. It reports whether the broker's goroutine was woken meanwhile: the caller wakes it again.
func (h *handover) release() (woken bool) {
	woken = h.maker == inlineMakerWoken
	h.stepMaker(evRelease)
	return woken
}

// repliesFast reports whether the last response was fast.
func (h *handover) repliesFast() bool { return h.replies != slowReplies }

// isReplyAwaited reports whether a goroutine in Get has left its batch to the next response.
func (h *handover) isReplyAwaited() bool { return h.replies == awaitedReply }

// awaitReply leaves the batch of the caller's goroutine to the next response.
func (h *handover) awaitReply() { h.stepReplies(evAwaitReply) }

// sent notes the imminent write of a request.
func (h *handover) sent() { h.stepReplies(evSend) }

// repliedFast notes a fast response. It reports whether a goroutine in Get has left its batch to this response.
func (h *handover) repliedFast() (awaited bool) {
	awaited = h.isReplyAwaited()
	h.stepReplies(evFast)
	return awaited
}

// repliedSlow notes a slow response, or a failure. It reports the same as repliedFast.
func (h *handover) repliedSlow() (awaited bool) {
	awaited = h.isReplyAwaited()
	h.stepReplies(evSlow)
	return awaited
}

func (h *handover) stepMaker(e handoverEvent) {
	next := makerTransitions[h.maker][e]
	if next == 0 {
		refuseStep(e, h.maker)
		return
	}
	h.maker = next
}

func (h *handover) stepReplies(e handoverEvent) {
	next := replyTransitions[h.replies][e]
	if next == 0 {
		refuseStep(e, h.replies)
		return
	}
	h.replies = next
}

// strictHandover makes an impossible step panic. Tests set it.
var strictHandover = raceBuild

func refuseStep(e handoverEvent, state fmt.Stringer) {
	if strictHandover {
		panic(fmt.Sprintf("samsa: %v in the state %v", e, state))
	}
}
