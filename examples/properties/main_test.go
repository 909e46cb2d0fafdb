package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPropertiesShowsWhatIsTakenAndWhatIsRefused(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out), out.String())
	require.Contains(t, out.String(), "It means: acks 1, idempotence false, linger 20ms, batches of 65536 bytes, compression zstd\n")
	require.Contains(t, out.String(), "Notice: enable.idempotence was not written and is now false")
	require.Contains(t, out.String(), "passed over: key.serializer, value.serializer\n")
	require.Contains(t, out.String(), "Sent: partition 0, offset 0\n")
	for _, refused := range []string{"acks", "linger", "delivery.timeout.ms", "security.protocol", "transactional.id", "bootstrap.servers"} {
		require.Contains(t, out.String(), "samsa: "+refused)
	}
}

func TestAFileOfOnesOwnIsSentWithOrRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.properties")
	require.NoError(t, os.WriteFile(file, []byte("bootstrap.servers=kafka:9092\nlinger.ms = 7\n"), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-file", file}, &out), out.String())
	require.Contains(t, out.String(), "linger 7ms")

	require.NoError(t, os.WriteFile(file, []byte("linger.ms=-1"), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{"-file", file}, &out), "linger.ms")
}
