package testbroker

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

var oneTopic = Config{Topics: map[string]int32{"events": 1}}

// numbered is a batch of two records that differ by their sequence.
func numbered(id int64, epoch int16, sequence int32) []byte {
	return batch(identity{id, epoch, sequence}, fmt.Sprint("a", sequence), fmt.Sprint("b", sequence))
}

func TestADuplicateAmongTheLastFiveIsAnsweredWithItsFirstOffset(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		for i := range int32(6) {
			require.Equal(t, int64(2*i), k.produce("events", 0, numbered(7, 0, 2*i)).BaseOffset)
		}
		for i := int32(1); i < 6; i++ {
			r := k.produce("events", 0, numbered(7, 0, 2*i))
			require.Equal(t, protocol.None, r.ErrorCode)
			require.Equal(t, int64(2*i), r.BaseOffset)
		}
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 0, 0)).ErrorCode)
		require.Len(t, c.Log("events", 0), 12)
		require.False(t, c.Produces()[6].Parts[0].Appended)
	})
}

func TestAGapInTheSequenceIsRefused(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 0)).ErrorCode)
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 0, 4)).ErrorCode)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 2)).ErrorCode)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 4)).ErrorCode)
	})
}

func TestAnySequenceIsTakenFromAnUnknownProducer(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 3, 100)).ErrorCode)
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 3, 200)).ErrorCode)
		c.ForgetProducers()
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 3, 200)).ErrorCode)
	})
}

func TestANewEpochBeginsWithSequenceZero(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 1, 0)).ErrorCode)
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 2, 2)).ErrorCode)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 2, 0)).ErrorCode)
		require.Equal(t, protocol.InvalidProducerEpoch, k.produce("events", 0, numbered(7, 1, 2)).ErrorCode)
		require.Equal(t, protocol.InvalidProducerEpoch, k.produce("events", 0, numbered(7, 1, 0)).ErrorCode)
	})
}

func TestAfterTheGreatestSequenceComesZero(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, math.MaxInt32-2)).ErrorCode)
		across := numbered(7, 0, math.MaxInt32)
		require.Equal(t, protocol.None, k.produce("events", 0, across).ErrorCode)
		require.EqualValues(t, 2, k.produce("events", 0, across).BaseOffset)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 1)).ErrorCode)

		k = connect(t, c, 1)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(8, 0, math.MaxInt32-1)).ErrorCode)
		require.Equal(t, protocol.None, k.produce("events", 0, numbered(8, 0, 0)).ErrorCode)
	})
}

func TestTruncationTakesTheProducersStateBack(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		for i := range int32(3) {
			require.Equal(t, protocol.None, k.produce("events", 0, numbered(7, 0, 2*i)).ErrorCode)
		}
		c.TruncateLog("events", 0, 2)
		require.Equal(t, 2, c.Records("events"))
		require.Equal(t, protocol.OutOfOrderSequenceNumber, k.produce("events", 0, numbered(7, 0, 4)).ErrorCode)
		require.EqualValues(t, 2, k.produce("events", 0, numbered(7, 0, 2)).BaseOffset)
		require.Equal(t, []string{"a0", "b0", "a2", "b2"}, values(c, "events", 0))
	})
}

func TestDeletedRecordsMoveTheLogStart(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		// A broker need not tell it, and tells it for duplicates too.
		start := func(sequence int32) int64 {
			for range 50 {
				if at := k.produce("events", 0, numbered(7, 0, sequence)).LogStartOffset; at >= 0 {
					return at
				}
			}
			return -1
		}
		require.EqualValues(t, 0, start(0))
		require.EqualValues(t, 0, start(2))
		c.DeleteRecords("events", 0, 2)
		require.EqualValues(t, 2, start(4))
		require.Equal(t, 4, c.Records("events"))
	})
}
