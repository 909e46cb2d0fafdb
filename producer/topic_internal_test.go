package producer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A goroutine may hold Metadata from before the topic left the snapshot: it must not make the topic known again.
func TestATopicThatIsNotInTheSnapshotIsNotAdded(t *testing.T) {
	p, err := New(DefaultConfig("nowhere:9092"))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.Background())) }()
	require.Nil(t, p.addTopic("t"))
	require.Nil(t, p.topic("t"))
}
