package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryProfileDeliversToAWorkingBroker(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-records", "3000", "-waits", "20"}, &out), out.String())
	const figures = ` +\d+ +\S+ +\S+ +3020 +0 +`
	require.Regexp(t, regexp.MustCompile(`(?m)^fast +0 +false`+figures+`0 +3020$`), out.String(), "without an answer there is no offset")
	require.Regexp(t, regexp.MustCompile(`(?m)^balanced +1 +false`+figures+`3020 +3020$`), out.String())
	require.Regexp(t, regexp.MustCompile(`(?m)^safe +all +true`+figures+`3020 +3020$`), out.String())
}
