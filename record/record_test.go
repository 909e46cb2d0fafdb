package record

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPartitionZeroAndNoChoiceDiffer(t *testing.T) {
	var none Partition
	_, ok := none.Number()
	require.False(t, ok)
	require.Equal(t, "any", none.String())

	n, ok := InPartition(0).Number()
	require.True(t, ok)
	require.Zero(t, n)
	require.Equal(t, "0", InPartition(0).String())
	require.NotEqual(t, none, InPartition(0))
}

func TestErrorsHavePlaceReasonAndFate(t *testing.T) {
	for _, c := range []struct {
		err  Error
		want string
	}{
		{Error{Err: ErrNilRecord}, "samsa: no record: the *Record is nil (rejected)"},
		{Error{Partition: -1, Topic: "t", Err: ErrInvalidTopic}, `samsa: topic "t": invalid topic name (rejected)`},
		{Error{Partition: 3, Topic: "t", Err: ErrRecordTooLarge, Detail: "5 bytes, 4 at most"},
			`samsa: topic "t" partition 3: record is too large: 5 bytes, 4 at most (rejected)`},
		{Error{Partition: 0, Topic: "t", Err: context.Canceled, Fate: FateMaybeWritten},
			`samsa: topic "t" partition 0: context canceled (maybe written)`},
	} {
		require.EqualError(t, &c.err, c.want)
		require.True(t, errors.Is(&c.err, c.err.Err))
	}
}
