package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPercentileIsOneOfTheValues(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	require.Equal(t, ms(2), Percentile([]time.Duration{ms(3), ms(1), ms(2)}, 50))
	require.Equal(t, ms(3), Percentile([]time.Duration{ms(3), ms(1), ms(2)}, 99))
	require.Zero(t, Percentile(nil, 50))
}
