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
// While the buffer is full, Send waits until callbacks return, for max.block.ms at most. So a program must not hold a
// lock around Send if a callback takes the same lock. TrySend does not wait for room.
//
//   - Callbacks of one partition run one after the other in the order of sending. Callbacks of different partitions run
//     at the same time.
//   - Callbacks of refused records, which failed before they were buffered, run one after the other in the order of
//     their Sends; within a SendAll, in the order in which it refuses them. Their Future has its outcome when Send
//     returns.
//   - Callbacks of a partition's canceled records run one after the other in the order of the Cancels. They wait for no
//     other record.
//
// A callback may block, and may call Send and Get. Outcomes that wait for a slow callback count in buffer.memory. A
// callback that never returns delays only the later callbacks of its own order.
//
// Callbacks of refused records have a bound of their own: a callback that has not returned counts 256 bytes, and all of
// them together take at most a quarter of buffer.memory. If that quarter is used up, a Send, TrySend or SendAll with a
// refused record waits until one of these callbacks returns. This wait takes ten seconds at most, and ignores ctx and
// MaxBlock. A Send inside such a callback skips this wait.
//
// A panic is recovered and logged with its stack. After runtime.Goexit in a callback, the other callbacks run as usual.
type Callback func(RecordMetadata, error)

// listener is the accumulator's link to users' code.
type listener struct {
	chain  interceptorChain
	logger *slog.Logger
	mark   stackMark
	// refused marks the callbacks of refused records. On the stack its calls lie beneath those of mark.
	refused stackMark
}

func newListener(cfg *Config) *listener {
	return &listener{chain: newInterceptorChain(cfg), logger: logOrSilent(cfg.Logger), mark: newStackMark(),
		refused: newStackMark()}
}

// Run calls users' code with a mark on the stack, so that Flush and Close recognise calls from inside this code.
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

// Unobserved logs the failures of records without a callback and with an unread Future.
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
