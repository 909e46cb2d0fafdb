package sender

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
)

// The account of a batch counts what the sender knows of it.
func TestTheAccountCountsWhatTheSenderKnowsOfABatch(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(outBatch{}), uintptr(accumulator.DrainerBytes))
}
