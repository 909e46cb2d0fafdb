package producer

import (
	"log/slog"
	"strconv"

	"github.com/gosamsa/samsa/record"
)

// Callback is called once with the record's outcome: its RecordMetadata and a nil error, or an error and whatever
// metadata is known.
//
// Every callback runs on a goroutine of the producer, never on the goroutine that calls Send, Cancel, Flush or Close.
// While the buffer is full, Send waits until callbacks return, for max.block.ms at most. So a lock that is held around
// Send must not be one that a callback takes. TrySend does not wait for room.
//
//   - Callbacks of one partition run one after the other in the order of sending. Callbacks of different partitions run
//     at the same time.
//   - Callbacks of refused records, which failed before they were buffered, run one after the other in the order of
//     their Sends; within a SendAll, in the order in which it refuses them. Their Future has its outcome when Send
//     returns.
//   - Callbacks of a partition's canceled records run one after the other in the order of the Cancels. They wait for no
//     other record.
//
// A callback may block, and may call Send and Get. Whatever waits for a slow one counts in buffer.memory. A callback
// that never returns holds up the later ones of its own order, and nothing else.
//
// Callbacks of refused records have a bound of their own: those that have not returned count 256 bytes each, and take a
// quarter of buffer.memory at most. Beyond that, every Send, TrySend or SendAll whose record is refused waits for one
// of them to return: for ten seconds at most, whatever ctx and MaxBlock say. Inside such a callback Send does not wait
// for that.
//
// A panic is recovered and logged with its stack. runtime.Goexit costs no other callback.
type Callback func(RecordMetadata, error)

// listener is the accumulator's link to users' code.
type listener struct {
	chain  interceptorChain
	logger *slog.Logger
	mark   stackMark
	// refused is the mark of callbacks of refused records. It lies inside mark.
	refused stackMark
}

func newListener(cfg *Config) *listener {
	return &listener{chain: newInterceptorChain(cfg), logger: logOrSilent(cfg.Logger), mark: newStackMark(),
		refused: newStackMark()}
}

// Run runs users' code beneath a mark, so that Flush and Close recognise calls from inside it.
func (l *listener) Run(work func()) { l.mark.run(work) }

// RunRefused is Run for the callbacks of refused records.
func (l *listener) RunRefused(work func()) { l.mark.run(func() { l.refused.run(work) }) }

// InRefusedCallback reports whether the calling goroutine runs a callback of a refused record of this producer.
func (l *listener) InRefusedCallback() bool { return l.refused.isOnStack() }

// InCallback reports whether the calling goroutine runs a callback of this producer.
func (l *listener) InCallback() bool { return l.mark.isOnStack() }

// WantsAcknowledgements reports whether there are interceptors.
func (l *listener) WantsAcknowledgements() bool { return !l.chain.empty() }

// OnAcknowledgement runs the interceptors.
func (l *listener) OnAcknowledgement(md record.RecordMetadata, err error) {
	l.chain.onAcknowledgement(md, err)
}

// Panicked logs a callback's panic with its stack.
func (l *listener) Panicked(value any) { logPanic(l.logger, "callback", value) }

// Unobserved logs failures without a listener.
func (l *listener) Unobserved(n int, err *record.Error) {
	l.logger.Warn("records failed and nobody observed them", "topic", err.Topic, "records", n, "error", err,
		"reason", record.Word(err))
}

// plural returns "1 thing" or "n things".
func plural(n int64, thing string) string {
	text := strconv.FormatInt(n, 10) + " " + thing
	if n != 1 {
		text += "s"
	}
	return text
}
