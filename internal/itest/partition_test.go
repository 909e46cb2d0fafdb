package itest

import (
	"testing"

	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKeysGoToFranzGosPartitions(t *testing.T) {
	f := newFiller(12, 0)
	theirs := kgo.StickyKeyPartitioner(nil).ForTopic("t") // nil: murmur2 as in the Java client
	for range 20_000 {
		key, partitions := f.bytes(f.IntN(60)), 1+f.IntN(1000)
		want := theirs.Partition(&kgo.Record{Key: key}, partitions)
		require.EqualValues(t, want, producer.PartitionForKey(key, int32(partitions)), "key %x of %d partitions", key,
			partitions)
	}
}
