package sender

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/statechart"
)

var handoverMethods = map[handoverEvent]func(*handover){
	evStartWork:  func(h *handover) { h.startWork() },
	evStopWork:   (*handover).stopWork,
	evAcquire:    (*handover).acquire,
	evRelease:    func(h *handover) { h.release() },
	evAwaitReply: (*handover).awaitReply,
	evSend:       (*handover).sent,
	evFast:       func(h *handover) { h.repliedFast() },
	evSlow:       func(h *handover) { h.repliedSlow() },
}

// allHandovers returns each state of one half with each state of the other.
func allHandovers() (all []handover) {
	for maker := noMaker; maker <= inlineMakerWoken; maker++ {
		for replies := slowReplies; replies <= awaitedReply; replies++ {
			all = append(all, handover{maker, replies})
		}
	}
	return all
}

func TestTheHandoversChartsAreItsTables(t *testing.T) {
	drawn, err := statechart.OfType("handover.go", "handover")
	require.NoError(t, err)
	var inTables []statechart.Transition
	for from, row := range makerTransitions {
		for e, to := range row {
			if to != 0 {
				inTables = append(inTables, statechart.Transition{
					From: requestMaker(from).String(), Method: handoverEvent(e).String(), To: to.String(),
				})
			}
		}
	}
	for from, row := range replyTransitions {
		for e, to := range row {
			if to != 0 {
				inTables = append(inTables, statechart.Transition{
					From: replySpeed(from).String(), Method: handoverEvent(e).String(), To: to.String(),
				})
			}
		}
	}
	require.ElementsMatch(t, drawn, inTables)
}

// TestTheHandoversMethodsAgreeWithItsCharts calls each method in each state. Outside the charts a method is refused.
func TestTheHandoversMethodsAgreeWithItsCharts(t *testing.T) {
	drawn, err := statechart.OfType("handover.go", "handover")
	require.NoError(t, err)
	targets := make(map[[2]string]string)
	for _, one := range drawn {
		targets[[2]string{one.From, one.Method}] = one.To
	}
	require.Len(t, targets, len(drawn), "a method leads to one state")
	require.Len(t, handoverMethods, int(evSlow)+1)
	for _, before := range allHandovers() {
		for e, call := range handoverMethods {
			h, wantMaker, wantReplies := before, before.maker.String(), before.replies.String()
			toMaker, ofMaker := targets[[2]string{wantMaker, e.String()}]
			toReplies, ofReplies := targets[[2]string{wantReplies, e.String()}]
			if !ofMaker && !ofReplies {
				require.Panics(t, func() { call(&h) }, "%v of %v", e, before)
				require.Equal(t, before, h)
				continue
			}
			if ofMaker {
				wantMaker = toMaker
			}
			if ofReplies {
				wantReplies = toReplies
			}
			call(&h)
			require.Equal(t, wantMaker, h.maker.String(), "%v of %v", e, before)
			require.Equal(t, wantReplies, h.replies.String(), "%v of %v", e, before)
		}
	}
}

func TestARefusedTransitionNamesItsMethodAndState(t *testing.T) {
	h := newHandover()
	require.PanicsWithValue(t, "samsa: release in the state noMaker", func() { h.release() })
	require.PanicsWithValue(t, "samsa: awaitReply in the state slowReplies", h.awaitReply)
}

func TestOneGoroutineMakesRequests(t *testing.T) {
	h := newHandover()
	require.True(t, h.isIdle())
	require.True(t, h.startWork())
	require.False(t, h.isIdle())
	h.stopWork()
	require.True(t, h.isIdle())

	h.acquire()
	require.False(t, h.isIdle())
	require.False(t, h.release(), "the broker's goroutine was not woken")
	require.True(t, h.isIdle())
}

func TestABrokersGoroutineThatWasWokenInVainIsWokenAgain(t *testing.T) {
	h := newHandover()
	for range 2 {
		h.acquire()
		require.False(t, h.startWork())
		require.False(t, h.startWork())
		require.False(t, h.isIdle())
		require.True(t, h.release())
		require.True(t, h.isIdle())
		h.acquire()
		require.False(t, h.release(), "the wake-up belongs to an earlier request")
	}
}

func TestAResponseIsAwaitedUntilARequestIsSent(t *testing.T) {
	h := newHandover()
	require.False(t, h.repliesFast(), "nothing is known of the broker yet")
	require.False(t, h.repliedFast())
	require.True(t, h.repliesFast())
	require.False(t, h.isReplyAwaited())

	h.awaitReply()
	require.True(t, h.repliesFast())
	require.True(t, h.isReplyAwaited())
	require.True(t, h.repliedFast())
	require.True(t, h.repliedFast(), "the response made no request")
	h.sent()
	require.False(t, h.repliedFast())

	h.awaitReply()
	require.True(t, h.repliedSlow())
	require.False(t, h.repliesFast())
	require.False(t, h.repliedSlow())
}
