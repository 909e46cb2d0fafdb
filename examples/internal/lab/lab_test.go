package lab

import (
	"bytes"
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

func TestFlagsRefuseWhatMakesNoSense(t *testing.T) {
	for args, complaint := range map[string]string{
		"-records=0": "from 1 on", "-records=-5": "from 1 on", "-records=x": "from 1 on", "localhost:9092": `"localhost:9092" belongs to no flag`, "-nonsense": "-nonsense",
	} {
		var out bytes.Buffer
		flags, _ := Flags("test", "About it.", &out)
		Count(flags, "records", 7, "how `many`")
		require.ErrorContains(t, Parse(flags, []string{args}), complaint)
	}
	var out bytes.Buffer
	flags, bootstrap := Flags("test", "About it.", &out)
	records := Count(flags, "records", 7, "how `many`")
	require.NoError(t, Parse(flags, []string{"-bootstrap", "a:1", "-records", "8"}))
	require.Equal(t, "a:1", *bootstrap)
	require.Equal(t, 8, *records)
	require.Error(t, Parse(flags, []string{"-h"}))
	require.Contains(t, out.String(), "About it.")
	require.Contains(t, out.String(), "(default 7)")
}
