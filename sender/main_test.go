package sender

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	strictHandover = true
	goleak.VerifyTestMain(m)
}
