package producer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// defaultLogger is the handler without a Config.Logger: slog's default one, for warnings and errors. It asks for the
// default with each line, for a program often sets it after it has made the producer. The gate before it calls these
// two methods alone.
type defaultLogger struct{ slog.Handler }

func (defaultLogger) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && slog.Default().Enabled(ctx, level)
}

func (defaultLogger) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

// logOrSilent returns the user's logger, or one that drops everything: no caller has to ask for a missing logger.
func logOrSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// logPanic logs a panic of user code with its stack. The deferred function that recovered it calls logPanic, so that
// the stack still shows its origin. logPanic makes the value's text, for the value's methods are the same user's code.
// attrs are further key-value pairs; never a record's content.
func logPanic(l *slog.Logger, where string, value any, attrs ...any) {
	attrs = append(attrs, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	l.Error(where+" panicked", attrs...)
}

// logGoexit logs that user code ends its goroutine.
func logGoexit(l *slog.Logger, where string, attrs ...any) {
	l.Error(where+" called runtime.Goexit", attrs...)
}
