package protocol

import (
	"encoding/binary"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallBodies returns some bodies of a version, short enough to take apart byte by byte.
func smallBodies(t *testing.T, kind messageKind, version int16) [][]byte {
	t.Helper()
	var bodies [][]byte
	for seed := uint64(0); len(bodies) < 4; seed++ {
		require.Less(t, seed, uint64(10000))
		body, err := kind.random(newGenerator(seed, version)).Append(nil, version)
		require.NoError(t, err)
		if len(body) < 400 {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func TestEveryPrefixOfAMessageIsAnError(t *testing.T) {
	forEachVersion(t, func(t *testing.T, kind messageKind, version int16) {
		for _, body := range smallBodies(t, kind, version) {
			for n := range body {
				require.ErrorIs(t, kind.fresh().Decode(body[:n], version), ErrMalformed)
			}
		}
	})
}

func TestBytesLeftOverAreAnError(t *testing.T) {
	forEachVersion(t, func(t *testing.T, kind messageKind, version int16) {
		for _, body := range smallBodies(t, kind, version) {
			err := kind.fresh().Decode(append(body[:len(body):len(body)], 0), version)
			require.ErrorIs(t, err, ErrMalformed)
		}
	})
	err := new(ApiVersionsRequest).Decode([]byte{1, 2, 3}, 0)
	require.EqualError(t, err, "ApiVersions request version 0: malformed message: at byte 0: 3 bytes are left over")
}

func TestErrorsNameMessageVersionAndPlace(t *testing.T) {
	err := new(InitProducerIDResponse).Decode([]byte{0, 0, 0, 0, 0, 90, 1}, 4)
	require.EqualError(t, err, "InitProducerId response version 4: malformed message: at byte 6: 8 bytes are expected, 1 remain")
}

// lies are lengths and counts from a hostile broker. The test writes them over each place of a message.
func lies(flexible bool) map[string][]byte {
	if flexible {
		return map[string][]byte{
			"null": {0}, "largest": {0xff, 0xff, 0xff, 0xff, 0x0f}, "2^31": {0x80, 0x80, 0x80, 0x80, 0x08},
			"over 32 bits": {0xff, 0xff, 0xff, 0xff, 0x7f}, "endless": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
			"200": {0xc9, 0x01}, "20": {21},
		}
	}
	return map[string][]byte{
		"null": {0xff, 0xff, 0xff, 0xff}, "largest": {0x7f, 0xff, 0xff, 0xff}, "smallest": {0x80, 0, 0, 0},
		"-2":  {0xff, 0xff, 0xff, 0xfe},
		"200": {0, 0, 0, 200}, "20": {0, 0, 0, 20},
	}
}

func TestFalseLengthsAllocateAtMostAMultipleOfTheBytes(t *testing.T) {
	for _, kind := range allKinds {
		versions := kind.versions()
		for _, version := range []int16{versions[0], versions[len(versions)-1]} {
			t.Run(kind.name+"/"+strconv.Itoa(int(version)), func(t *testing.T) {
				for _, body := range smallBodies(t, kind, version) {
					for name, lie := range lies(kind.key.flexible(version)) {
						for at := range body {
							b := append([]byte{}, body...)
							copy(b[at:], lie)
							requireSmallDecode(t, kind, version, b, name+" at "+strconv.Itoa(at))
						}
					}
				}
			})
		}
	}
}

// requireSmallDecode decodes, ignores the result, and measures. The runtime counts the allocations of the whole
// process, its own included. These can only add to the decoder's, equal each time: so the smallest of several tries
// counts.
func requireSmallDecode(t *testing.T, kind messageKind, version int16, body []byte, what string) {
	t.Helper()
	limit := uint64(24*len(body) + 4096)
	least := uint64(math.MaxUint64)
	for try := 0; try < 5 && least > limit; try++ {
		var before, after runtime.MemStats
		m := kind.fresh()
		runtime.ReadMemStats(&before)
		_ = m.Decode(body, version)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	require.LessOrEqual(t, least, limit, what)
}

func TestForbiddenNullIsRefused(t *testing.T) {
	tests := []struct {
		name    string
		m       Message
		version int16
		body    []byte
	}{
		{"software name", new(ApiVersionsRequest), 3, []byte{0, 1, 0}},
		{"APIs", new(ApiVersionsResponse), 0, []byte{0, 0, 0xff, 0xff, 0xff, 0xff}},
		{"compact APIs", new(ApiVersionsResponse), 3, []byte{0, 0, 0, 0, 0, 0, 0, 0}},
		{"topics of version 0", new(MetadataRequest), 0, []byte{0xff, 0xff, 0xff, 0xff}},
		{"name of a topic asked for", new(MetadataRequest), 1, []byte{0, 0, 0, 1, 0xff, 0xff}},
		{"compact name of a topic asked for", new(MetadataRequest), 9, []byte{2, 0, 0, 1, 0, 0, 0}},
		{"brokers", new(MetadataResponse), 0, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		{"name of a topic", new(MetadataResponse), 0, []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0}},
		{"topics of a produce request", new(ProduceRequest), 3,
			[]byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
		{"topics of a produce response", new(ProduceResponse), 9, []byte{0, 0, 0, 0, 0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.m.Decode(test.body, test.version)
			require.ErrorIs(t, err, ErrMalformed)
			require.ErrorContains(t, err, "that must be there is null")
		})
	}
}

func TestStringsLongerThanKafkaTakesAreRefused(t *testing.T) {
	body := binary.AppendUvarint(nil, maxString+2)
	body = append(body, strings.Repeat("x", maxString+1)...)
	require.ErrorIs(t, new(ApiVersionsRequest).Decode(append(body, 1, 0), 3), ErrMalformed)
}

func TestUnknownTaggedFieldsAreSkippedEverywhere(t *testing.T) {
	// Tag 9 with three bytes, and tag 300 with none.
	unknown := []byte{2, 9, 3, 'a', 'b', 'c', 0xac, 0x02, 0}
	tests := []struct {
		m       Message
		version int16
		body    []byte // '#' stands for tagged fields
	}{
		{new(ApiVersionsRequest), 3, []byte{1, 1, '#'}},
		{new(ApiVersionsResponse), 3, []byte{0, 0, 2, 0, 0, 0, 3, 0, 9, '#', 0, 0, 0, 0, '#'}},
		{new(MetadataRequest), 12, append(append([]byte{2}, make([]byte, 16)...), 0, '#', 1, 0, '#')},
		{new(MetadataResponse), 9, []byte{0, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, '#', 0, 0, 0, 0, 1,
			2, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, '#', 0, 0, 0, 0, '#', 0, 0, 0, 0,
			'#'}},
		{new(ProduceRequest), 9, []byte{0, 0, 1, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 1, '#', '#', '#'}},
		{new(ProduceResponse), 9, append(append([]byte{2, 1, 2}, make([]byte, 30)...),
			2, 0, 0, 0, 1, 0, '#', 0, '#', '#', 0, 0, 0, 0, '#')},
		{new(InitProducerIDRequest), 2, []byte{0, 0, 0, 0, 0, '#'}},
		{new(InitProducerIDResponse), 2, append(make([]byte, 16), '#')},
	}
	for _, test := range tests {
		t.Run(test.m.Key().String()+kindOf(test.m), func(t *testing.T) {
			plain := []byte(strings.ReplaceAll(string(test.body), "#", "\x00"))
			require.NoError(t, test.m.Decode(plain, test.version))
			want := dump(test.m)
			tagged := []byte(strings.ReplaceAll(string(test.body), "#", string(unknown)))
			require.NoError(t, test.m.Decode(tagged, test.version))
			require.Equal(t, want, dump(test.m))
			again, err := test.m.Append(nil, test.version)
			require.NoError(t, err)
			require.Equal(t, plain, again)
		})
	}
}

// kindOf tells requests from responses.
func kindOf(m Message) string {
	switch m.(type) {
	case *ApiVersionsRequest, *MetadataRequest, *ProduceRequest, *InitProducerIDRequest:
		return " request"
	default:
		return " response"
	}
}

func TestTaggedFieldsAreBounded(t *testing.T) {
	tests := map[string][]byte{
		"more fields than bytes":        {0xff, 0xff, 0xff, 0xff, 0x0f},
		"one field more than is there":  {1},
		"size beyond the end":           {1, 9, 2, 'x'},
		"size of 2^32-1":                {1, 9, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"known field that is too short": {1, 1, 7, 0, 0, 0, 0, 0, 0, 0},
		"known field that is too long":  {1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"array beyond its field":        {1, 0, 1, 3, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	}
	for name, tags := range tests {
		t.Run(name, func(t *testing.T) {
			body := append([]byte{0, 0, 1, 0, 0, 0, 0}, tags...)
			require.ErrorIs(t, new(ApiVersionsResponse).Decode(body, 3), ErrMalformed)
		})
	}
}
