package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAValueOutsideAVersionIsAnError(t *testing.T) {
	long := strings.Repeat("x", maxString+1)
	named := []MetadataRequestTopic{{Name: ptr("t")}}
	tests := []struct {
		name    string
		m       Message
		version int16
		text    string
	}{
		{"long string", &ApiVersionsRequest{SoftwareName: long}, 3, "a string of 32768 bytes is longer than 32767"},
		{"long nullable string", &ProduceRequest{TransactionalID: &long}, 3,
			"a string of 32768 bytes is longer than 32767"},
		{"no topics", &MetadataRequest{Topics: []MetadataRequestTopic{}}, 0, "version 0 cannot ask for no topics"},
		{"no creation", &MetadataRequest{Topics: named}, 3, "forbidding the broker to create topics needs version 4"},
		{"topic asked for by id", &MetadataRequest{Topics: make([]MetadataRequestTopic, 1),
			AllowAutoTopicCreation: true}, 9,
			"a topic without a name needs version 10"},
		{"topic without a name", &MetadataResponse{Topics: make([]MetadataTopic, 1)}, 11,
			"a topic without a name needs version 12"},
		{"producer id", &InitProducerIDRequest{ProducerID: 5, ProducerEpoch: -1}, 2,
			"a producer id to continue needs version 3"},
		{"producer epoch", &InitProducerIDRequest{ProducerID: -1, ProducerEpoch: 0}, 0,
			"a producer id to continue needs version 3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.m.Append([]byte("as it was"), test.version)
			require.ErrorIs(t, err, ErrUnencodable)
			require.ErrorContains(t, err, test.text)
			require.Equal(t, "as it was", string(got))
		})
	}
}

func TestMetadataTellsAllTopicsFromNone(t *testing.T) {
	tests := []struct {
		topics  []MetadataRequestTopic
		version int16
		body    []byte
	}{
		{nil, 0, []byte{0, 0, 0, 0}},
		{nil, 1, []byte{0xff, 0xff, 0xff, 0xff}},
		{[]MetadataRequestTopic{}, 1, []byte{0, 0, 0, 0}},
		{nil, 9, []byte{0, 1, 0, 0, 0}},
		{[]MetadataRequestTopic{}, 9, []byte{1, 1, 0, 0, 0}},
	}
	for _, test := range tests {
		body, err := (&MetadataRequest{Topics: test.topics, AllowAutoTopicCreation: true}).Append(nil, test.version)
		require.NoError(t, err)
		require.Equal(t, test.body, body)
		var got MetadataRequest
		require.NoError(t, got.Decode(body, test.version))
		require.Equal(t, test.topics, got.Topics)
	}
}
