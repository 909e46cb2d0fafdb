package producer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// defaultLogger is the handler without a Config.Logger: slog's default one, for warnings and errors. It calls
// slog.Default for each line, because a program often sets the default after it has made the producer. The log gate
// calls only the two methods below.
type defaultLogger struct{ slog.Handler }

func (defaultLogger) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && slog.Default().Enabled(ctx, level)
}

func (defaultLogger) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

// logOrSilent returns the user's logger, or for nil a logger that drops every line, so that no caller has to check for
// nil.
func logOrSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// logPanic logs a panic of user code with its stack. The deferred function that recovered the panic calls logPanic, so
// that the stack still shows the panic's origin. logPanic also formats the value there, because the value's methods are
// user code too. attrs are further key-value pairs; never a record's content.
func logPanic(l *slog.Logger, where string, value any, attrs ...any) {
	attrs = append(attrs, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	l.Error(where+" panicked", attrs...)
}

// logGoexit logs that user code has called runtime.Goexit.
func logGoexit(l *slog.Logger, where string, attrs ...any) {
	l.Error(where+" called runtime.Goexit", attrs...)
}
