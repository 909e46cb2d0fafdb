package lockrank

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/repo"
)

// TestTheTableIsArchitectures compares the ranks with the list in ARCHITECTURE.md, line by line.
func TestTheTableIsArchitectures(t *testing.T) {
	root, err := repo.Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, locks, found := strings.Cut(string(page), "\n## Locks\n")
	require.True(t, found)
	locks, _, found = strings.Cut(locks, "\n## ")
	require.True(t, found)
	locks = strings.ReplaceAll(locks, "\n   ", " ") // an item may have several lines
	var want [][]string
	for _, line := range regexp.MustCompile(`(?m)^\d+\. .*$`).FindAllString(locks, -1) {
		var names []string
		line, _, _ = strings.Cut(line, " — ")
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
			names = append(names, name[1])
		}
		want = append(want, names)
	}
	got := make([][]string, 10)
	for _, row := range Table {
		got[row.Level-1] = append(got[row.Level-1], row.Name)
	}
	require.Equal(t, want, got)
}

func TestMayFollow(t *testing.T) {
	p, a, i, s, b, w := SenderPartition{}.row(), AccumulatorPartition{}.row(), SenderIdentities{}.row(), Sender{}.row(),
		SenderBroker{}.row(), SenderWorkers{}.row()
	for _, c := range []struct {
		held, next Row
		may        bool
	}{
		{p, a, true}, {a, p, false}, {p, p, false}, {a, w, true}, {w, w, false}, {w, b, false}, {b, w, false},
		{i, s, true}, {s, b, true}, {i, b, true}, {s, i, false}, {b, s, false}, {b, b, false},
	} {
		require.Equal(t, c.may, mayFollow(c.held, c.next), "%s under %s", c.next.Name, c.held.Name)
	}
}

// TestTheNormalBuildHasAMutex: the library pays nothing for the ranks.
func TestTheNormalBuildHasAMutex(t *testing.T) {
	if Enabled {
		require.Greater(t, unsafe.Sizeof(Mutex[LogGate]{}), unsafe.Sizeof(sync.Mutex{}))
		return
	}
	require.Equal(t, unsafe.Sizeof(sync.Mutex{}), unsafe.Sizeof(Mutex[LogGate]{}))

}
