package producer

import (
	"log/slog"
	"strconv"

	"github.com/gosamsa/samsa/record"
)

// Callback is called once with the record's outcome: its place and a nil error, or an error and of the place what is known.
//
// Callbacks of one partition run in the order of sending, those of different partitions at the same time. They may take
// their time and may call Send and Get; what waits for a slow one counts in buffer.memory. For a record that failed before
// it was buffered the callback runs before Send returns, on its goroutine; for a cancelled one before Cancel returns; else on one
// of the producer's. A callback that never returns keeps back the later ones of its partition, and nothing else. A panic is recovered and
// logged with its stack. runtime.Goexit costs no other callback; on the goroutine of Send or Cancel it ends that.
type Callback func(Metadata, error)

// listener is what the accumulator tells of users' code.
type listener struct {
	chain  interceptorChain
	logger *slog.Logger
	mark   stackMark
}

func newListener(cfg *Config) *listener {
	return &listener{chain: newInterceptorChain(cfg), logger: logOrSilent(cfg.Logger), mark: newStackMark()}
}

// Run runs what calls users' code so that Flush and Close can tell whether they are called from there.
func (l *listener) Run(work func()) { l.mark.run(work) }

// InCallback tells whether the calling goroutine runs a callback of this producer.
func (l *listener) InCallback() bool { return l.mark.isOnStack() }

// Acknowledges tells whether there are interceptors.
func (l *listener) Acknowledges() bool { return !l.chain.empty() }

// OnAcknowledgement runs the interceptors.
func (l *listener) OnAcknowledgement(md record.Metadata, err error) {
	l.chain.onAcknowledgement(md, err)
}

// Panicked logs a callback's panic with its stack.
func (l *listener) Panicked(value any) { logPanic(l.logger, "callback", value) }

// Unheard logs failures that nobody listens for.
func (l *listener) Unheard(n int, err *record.Error) {
	l.logger.Warn("records failed and nobody observed them", "topic", err.Topic, "records", n, "error", err, "reason", err.Err.Error())
}

// plural returns "1 thing" or "n things"; without a thing only the number, with a space after it.
func plural(n int64, thing string) string {
	text := strconv.FormatInt(n, 10) + " " + thing
	if n != 1 && thing != "" {
		text += "s"
	}
	return text
}
