package lab

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadBackContinuesAtItsLastEnd(t *testing.T) {
	l, err := Open(t.Context(), 2, "events")
	require.NoError(t, err)
	defer l.Close()
	for _, value := range []string{"first", "second"} {
		require.NoError(t, l.client.ProduceSync(context.Background(),
			&kgo.Record{Topic: "events", Value: []byte(value)}).FirstErr())
		records, err := l.ReadBack(t.Context(), "events", 1)
		require.NoError(t, err)
		require.Len(t, records, 1)
		require.Equal(t, value, string(records[0].Value))
	}
}
