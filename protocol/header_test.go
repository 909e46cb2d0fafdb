package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequestHeaderWithoutClientID(t *testing.T) {
	header, rest, err := DecodeRequestHeader([]byte{0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xaa})
	require.NoError(t, err)
	require.Equal(t, RequestHeader{Key: Metadata, Version: 1, CorrelationID: 9}, header)
	require.Equal(t, []byte{0xaa}, rest)

	header, _, err = DecodeRequestHeader(AppendRequestHeader(nil, Produce, 13, -1, ""))
	require.NoError(t, err)
	require.Equal(t, RequestHeader{Produce, 13, -1, ptr("")}, header)
}

func TestRequestHeaderOfAnUnknownAPIIsReadAsVersion1(t *testing.T) {
	header, rest, err := DecodeRequestHeader([]byte{0, 71, 0, 0, 0, 0, 0, 9, 0, 1, 'c', 0, 'b'})
	require.NoError(t, err)
	require.Equal(t, RequestHeader{APIKey(71), 0, 9, ptr("c")}, header)
	require.Equal(t, []byte{0, 'b'}, rest)
}

func TestClientIDThatIsTooLongIsCut(t *testing.T) {
	b := AppendRequestHeader(nil, Metadata, 13, 1, strings.Repeat("c", maxString+5))
	header, rest, err := DecodeRequestHeader(b)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Len(t, *header.ClientID, maxString)
}

func TestTaggedFieldsOfHeadersAreSkipped(t *testing.T) {
	tags := []byte{2, 0, 1, 'x', 0x87, 0x01, 0}
	request := append(AppendRequestHeader(nil, Produce, 8, 1, "c"), tags...)
	request[3] = 9 // the first version with tagged fields
	_, rest, err := DecodeRequestHeader(append(request, "body"...))
	require.NoError(t, err)
	require.Equal(t, "body", string(rest))

	response := append(AppendResponseHeader(nil, Produce, 8, 1), tags...)
	_, rest, err = DecodeResponseHeader(append(response, "body"...), Produce, 9)
	require.NoError(t, err)
	require.Equal(t, "body", string(rest))
}

func TestEveryPrefixOfAHeaderIsAnError(t *testing.T) {
	for _, version := range []int16{8, 9} {
		request := AppendRequestHeader(nil, Produce, version, 1, "client")
		for n := range request {
			_, _, err := DecodeRequestHeader(request[:n])
			require.ErrorIs(t, err, ErrMalformed)
			require.ErrorContains(t, err, "request header: ")
		}
		response := AppendResponseHeader(nil, Produce, version, 1)
		for n := range response {
			_, _, err := DecodeResponseHeader(response[:n], Produce, version)
			require.ErrorIs(t, err, ErrMalformed)
			require.ErrorContains(t, err, "response header: ")
		}
	}
}
