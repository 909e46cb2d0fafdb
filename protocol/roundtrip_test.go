package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forEachVersion runs a subtest for every message and version.
func forEachVersion(t *testing.T, test func(t *testing.T, kind messageKind, version int16)) {
	t.Helper()
	for _, kind := range allKinds {
		for _, version := range kind.versions() {
			t.Run(fmt.Sprintf("%s/%d", kind.name, version), func(t *testing.T) { test(t, kind, version) })
		}
	}
}

func TestEveryVersionDecodesItsOwnBytes(t *testing.T) {
	forEachVersion(t, func(t *testing.T, kind messageKind, version int16) {
		for seed := range uint64(25) {
			sent := kind.random(newGenerator(seed, version))
			require.Equal(t, kind.key, sent.Key())
			body, err := sent.Append(nil, version)
			require.NoError(t, err)
			got := kind.fresh()
			require.NoError(t, got.Decode(body, version))
			require.Equal(t, sent, got)
		}
	})
}

func TestDecodingIntoAUsedMessageLeavesNothingOfTheOldOne(t *testing.T) {
	forEachVersion(t, func(t *testing.T, kind messageKind, version int16) {
		used := kind.fresh()
		for seed := range uint64(25) {
			// The message before may be of any version, so fields of other versions hold values.
			other := kind.versions()[int(seed)%len(kind.versions())]
			before, err := kind.random(newGenerator(seed+1000, other)).Append(nil, other)
			require.NoError(t, err)
			require.NoError(t, used.Decode(before, other))

			sent := kind.random(newGenerator(seed, version))
			body, err := sent.Append(nil, version)
			require.NoError(t, err)
			require.NoError(t, used.Decode(body, version))
			again, err := used.Append(nil, version)
			require.NoError(t, err)
			require.Equal(t, body, again)
			// Compared as text: there an emptied slice counts as none.
			fresh := kind.fresh()
			require.NoError(t, fresh.Decode(body, version))
			require.Equal(t, dump(fresh), dump(used))
		}
	})
}

// dump returns a message as JSON without empty fields, so nil and emptied slices look the same.
func dump(m Message) string {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(":[]", ":null").Replace(string(text))
}
