package protocol

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSupportedVersions(t *testing.T) {
	require.Equal(t, VersionRange{3, 13}, SupportedVersions(Produce))
	require.Equal(t, VersionRange{0, 13}, SupportedVersions(Metadata))
	require.Equal(t, VersionRange{0, 4}, SupportedVersions(ApiVersions))
	require.Equal(t, VersionRange{0, 5}, SupportedVersions(InitProducerID))

	none := SupportedVersions(APIKey(1))
	require.Less(t, none.Max, none.Min)
}

func TestNegotiateTakesTheHighestCommonVersion(t *testing.T) {
	tests := []struct {
		key    APIKey
		broker VersionRange
		want   int16
	}{
		{Produce, VersionRange{0, 13}, 13},
		{Produce, VersionRange{0, 99}, 13},
		{Produce, VersionRange{0, 3}, 3},
		{Produce, VersionRange{3, 3}, 3},
		{Produce, VersionRange{13, 20}, 13},
		{Produce, VersionRange{-5, 8}, 8},
		{Metadata, VersionRange{0, 0}, 0},
		{Metadata, VersionRange{0, 32767}, 13},
		{InitProducerID, VersionRange{0, 4}, 4},
		{ApiVersions, VersionRange{0, 3}, 3},
	}
	for _, test := range tests {
		t.Run(test.key.String()+" "+test.broker.String(), func(t *testing.T) {
			got, err := NegotiateVersion(test.key, test.broker)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestNegotiateNamesBothRangesWhenTheyDoNotMeet(t *testing.T) {
	tests := []struct {
		key    APIKey
		broker VersionRange
		text   string
	}{
		{Produce, VersionRange{0, 2}, "unsupported version: of Produce the broker speaks 0–2, this client 3–13"},
		{Produce, VersionRange{14, 15}, "unsupported version: of Produce the broker speaks 14–15, this client 3–13"},
		{Metadata, VersionRange{-3, -1}, "unsupported version: of Metadata the broker speaks -3–-1, this client 0–13"},
		{Metadata, VersionRange{7, 5}, "unsupported version: of Metadata the broker speaks none, this client 0–13"},
		{APIKey(1), VersionRange{4, 4}, "unsupported version: of API 1 the broker speaks 4, this client none"},
	}
	for _, test := range tests {
		_, err := NegotiateVersion(test.key, test.broker)
		require.ErrorIs(t, err, ErrVersion)
		require.EqualError(t, err, test.text)
	}
}

func TestNamesOfAPIs(t *testing.T) {
	require.Equal(t, "Produce", Produce.String())
	require.Equal(t, "Metadata", Metadata.String())
	require.Equal(t, "ApiVersions", ApiVersions.String())
	require.Equal(t, "InitProducerId", InitProducerID.String())
	require.Equal(t, "API 71", APIKey(71).String())
}

func TestVersionsThatAreNotSpokenAreRefused(t *testing.T) {
	for _, kind := range allKinds {
		versions := SupportedVersions(kind.key)
		for _, version := range []int16{-32768, -1, versions.Min - 1, versions.Max + 1, 99, 32767} {
			t.Run(kind.name+"/"+strconv.Itoa(int(version)), func(t *testing.T) {
				got, err := kind.random(newGenerator(1, versions.Max)).Append([]byte("as it was"), version)
				require.ErrorIs(t, err, ErrVersion)
				require.Equal(t, "as it was", string(got))
				require.ErrorIs(t, kind.fresh().Decode(make([]byte, 100), version), ErrVersion)
			})
		}
	}
}

func TestApiVersionsResponseTellsTheRangeOfAnAPI(t *testing.T) {
	m := ApiVersionsResponse{APIs: []APIVersion{{Produce, 0, 9}, {Metadata, 4, 12}}}
	got, ok := m.Range(Metadata)
	require.True(t, ok)
	require.Equal(t, VersionRange{4, 12}, got)
	_, ok = m.Range(InitProducerID)
	require.False(t, ok)
}

func TestUnsupportedVersionIsAlwaysAnsweredInVersion0(t *testing.T) {
	refusal := &ApiVersionsResponse{ErrorCode: UnsupportedVersion, APIs: []APIVersion{{ApiVersions, 0, 2}},
		FinalizedFeaturesEpoch: -1}
	body, err := refusal.Append(nil, 0)
	require.NoError(t, err)
	for version := int16(0); version <= 4; version++ {
		got := new(ApiVersionsResponse)
		require.NoError(t, got.Decode(body, version))
		require.Equal(t, refusal, got)
		again, err := refusal.Append(nil, version)
		require.NoError(t, err)
		require.Equal(t, body, again)
	}
}

func TestUUIDIsPrintedAsKafkaPrintsIt(t *testing.T) {
	require.Equal(t, "AQIDBAUGBwgJCgsMDQ4PEA", goldenID.String())
	require.Equal(t, "_____________________w", UUID{
		255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
	}.String())
	require.True(t, UUID{}.IsZero())
	require.False(t, goldenID.IsZero())
}

// The versions are those of Kafka's shouldClientThrottle.
func TestAClientWaitsOnlyInVersionsOfEarlyResponses(t *testing.T) {
	from := map[APIKey]int16{Produce: 6, Metadata: 6, ApiVersions: 2, InitProducerID: 1}
	require.Len(t, from, len(apis))
	for _, resp := range []func(ms int32) Response{
		func(ms int32) Response { return &ProduceResponse{ThrottleMs: ms} },
		func(ms int32) Response { return &MetadataResponse{ThrottleMs: ms} },
		func(ms int32) Response { return &ApiVersionsResponse{ThrottleMs: ms} },
		func(ms int32) Response { return &InitProducerIDResponse{ThrottleMs: ms} },
	} {
		key := resp(0).Key()
		for v := range SupportedVersions(key).Max + 1 {
			want := int32(0)
			if v >= from[key] {
				want = 1234
			}
			require.Equal(t, want, ThrottleMs(resp(1234), v), "%s %d", key, v)
			for _, none := range []int32{0, -1, -1 << 31} {
				require.Zero(t, ThrottleMs(resp(none), v))
			}
		}
	}
}
