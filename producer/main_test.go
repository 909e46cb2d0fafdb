package producer

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"
)

// Without this logger, tests without a Logger of their own would fill the output.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
