package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/examples/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPropertiesShowsAcceptedAndRefusedFiles(t *testing.T) {
	broker, err := lab.Open(t.Context(), 1, "samsa-properties")
	require.NoError(t, err)
	defer broker.Close()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-bootstrap", broker.Servers[0]}, &out), out.String())
	require.Contains(t, out.String(),
		"The configuration: acks 1, idempotence false, linger 20ms, batches of 65536 bytes, compression zstd\n")
	require.Contains(t, out.String(), "Notice: enable.idempotence was not written and is now false")
	require.Contains(t, out.String(), "passed over: key.serializer, value.serializer\n")
	require.Contains(t, out.String(), "Sent: partition 0, offset 0\n")
	for _, refused := range []string{"acks", "linger", "delivery.timeout.ms", "security.protocol", "transactional.id",
		"bootstrap.servers"} {
		require.Regexp(t, `broken\.properties:\d+: `+regexp.QuoteMeta(refused), out.String())
	}
}

func TestAFileOfOnesOwnIsSentWithOrRefused(t *testing.T) {
	broker, err := lab.Open(t.Context(), 1, "samsa-properties")
	require.NoError(t, err)
	defer broker.Close()
	file := filepath.Join(t.TempDir(), "own.properties")
	require.NoError(t, os.WriteFile(file, []byte("bootstrap.servers="+broker.Servers[0]+"\nlinger.ms = 7\n"), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-bootstrap", "", "-file", file}, &out), out.String())
	require.Contains(t, out.String(), "Sent: partition 0, offset 0\n")
	require.Contains(t, out.String(), "linger 7ms")

	require.NoError(t, os.WriteFile(file, []byte("linger.ms=-1"), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{"-file", file}, &out), "linger.ms")
}
