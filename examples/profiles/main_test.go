package main

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/examples/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryProfileDeliversToAWorkingBroker(t *testing.T) {
	broker, err := lab.Open(t.Context(), 3, "samsa-profiles")
	require.NoError(t, err)
	defer broker.Close()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0], "-records", "3000", "-waits", "20"},
		&out), out.String())
	const figures = ` +\d+ +\S+ +\S+ +3020 +0 +`
	require.Regexp(t, regexp.MustCompile(`(?m)^fast +0 +false`+figures+`0$`), out.String(),
		"without an answer there is no offset")
	require.Regexp(t, regexp.MustCompile(`(?m)^balanced +1 +false`+figures+`3020$`), out.String())
	require.Regexp(t, regexp.MustCompile(`(?m)^safe +all +true`+figures+`3020$`), out.String())
	const rounds, profiles = 2, 3
	records, err := broker.ReadBack(t.Context(), "samsa-profiles", rounds*profiles*3020)
	require.NoError(t, err)
	require.Len(t, records, rounds*profiles*3020)
}

func TestPercentileIsOneOfTheValues(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	require.Equal(t, ms(2), percentile([]time.Duration{ms(3), ms(1), ms(2)}, 50))
	require.Equal(t, ms(3), percentile([]time.Duration{ms(3), ms(1), ms(2)}, 99))
	require.Zero(t, percentile(nil, 50))
}
