package producer

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"
)

// Tests without a Logger of their own keep their output readable.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
