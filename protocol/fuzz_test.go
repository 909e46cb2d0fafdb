package protocol

import (
	"bytes"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecodeRequest gives arbitrary bytes to every request decoder in every version.
func FuzzDecodeRequest(f *testing.F) { fuzzDecode(f, requestKinds) }

// FuzzDecodeResponse gives arbitrary bytes to every response decoder in every version.
func FuzzDecodeResponse(f *testing.F) { fuzzDecode(f, responseKinds) }

// fuzzDecode decodes: no panic, no allocation beyond a small multiple of the input, and a stable message: appended and
// decoded again it is the same, into a fresh message and into the used one.
func fuzzDecode(f *testing.F, kinds []messageKind) {
	for which, kind := range kinds {
		for _, version := range kind.versions() {
			body, err := goldenMessage(kind.name, version).Append(nil, version)
			require.NoError(f, err)
			f.Add(uint8(which), version, body)
			for seed := uint64(0); seed < 20; seed++ {
				body, err := kind.random(newGenerator(seed, version)).Append(nil, version)
				require.NoError(f, err)
				if len(body) < 1000 {
					f.Add(uint8(which), version, body)
				}
			}
			for _, lie := range lies(kind.key.flexible(version)) {
				f.Add(uint8(which), version, append(append([]byte{}, body[:len(body)/2]...), lie...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, version int16, body []byte) {
		kind := kinds[int(which)%len(kinds)]
		input := bytes.Clone(body)
		first := kind.fresh()
		before := allocated()
		err := first.Decode(body, version)
		grown := allocated() - before
		require.LessOrEqual(t, grown, uint64(24*len(body)+1<<20))
		require.Equal(t, input, body, "the input was changed")
		if err != nil {
			return
		}
		once, err := first.Append(nil, version)
		require.NoError(t, err)
		second := kind.fresh()
		require.NoError(t, second.Decode(once, version))
		require.Equal(t, dump(first), dump(second))
		twice, err := second.Append(nil, version)
		require.NoError(t, err)
		require.Equal(t, once, twice)
		require.NoError(t, first.Decode(once, version))
		require.Equal(t, dump(second), dump(first))
	})
}

// allocated returns how many bytes were ever allocated. It is cheap, and right for large objects; small ones come late.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzDecodeRequestHeader gives arbitrary bytes to the decoder of request headers.
func FuzzDecodeRequestHeader(f *testing.F) {
	for _, kind := range requestKinds {
		for _, version := range kind.versions() {
			f.Add(append(AppendRequestHeader(nil, kind.key, version, 7, "client"), "body"...))
		}
	}
	f.Add([]byte{0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff})
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 9, 0x7f, 0xff, 'c'})
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		header, rest, err := DecodeRequestHeader(b)
		if err != nil {
			return
		}
		require.True(t, bytes.HasSuffix(b, rest))
		if header.ClientID == nil {
			return
		}
		again := AppendRequestHeader(nil, header.Key, header.Version, header.CorrelationID, *header.ClientID)
		second, rest, err := DecodeRequestHeader(again)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, header, second)
	})
}

// FuzzDecodeResponseHeader gives arbitrary bytes to the decoder of response headers.
func FuzzDecodeResponseHeader(f *testing.F) {
	for _, kind := range responseKinds {
		for _, version := range kind.versions() {
			f.Add(int16(kind.key), version, append(AppendResponseHeader(nil, kind.key, version, 7), "body"...))
		}
	}
	f.Add(int16(Produce), int16(9), []byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, key, version int16, b []byte) {
		id, rest, err := DecodeResponseHeader(b, APIKey(key), version)
		if err != nil {
			return
		}
		require.True(t, bytes.HasSuffix(b, rest))
		again, rest, err := DecodeResponseHeader(AppendResponseHeader(nil, APIKey(key), version, id), APIKey(key),
			version)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, id, again)
	})
}
