package sender

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
)

// The account of a batch counts the sender's part of it.
func TestTheAccountCountsTheSendersPartOfABatch(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(outBatch{}), uintptr(accumulator.DrainerBytes))
}
