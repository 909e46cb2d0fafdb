package protocol

import (
	"encoding/binary"
	"fmt"
)

// RequestHeader precedes every request's body.
type RequestHeader struct {
	Key           APIKey
	Version       int16
	CorrelationID int32
	// ClientID is the client.id of the sender; nil is null.
	ClientID *string
}

// AppendRequestHeader appends the header of a request: version 2 if the API's version is flexible, else version 1. It
// writes the first 32767 bytes of a longer client id.
func AppendRequestHeader(dst []byte, key APIKey, version int16, correlationID int32, clientID string) []byte {
	clientID = clientID[:min(len(clientID), maxString)]
	dst = binary.BigEndian.AppendUint16(dst, uint16(key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	// The client id keeps its two-byte length in version 2: a broker must be able to read the header of an ApiVersions
	// request newer than itself.
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(clientID)))
	dst = append(dst, clientID...)
	if key.flexible(version) {
		dst = append(dst, 0)
	}
	return dst
}

// DecodeRequestHeader reads a request's header and returns the following body. It also reads unsupported APIs and
// versions: a broker answers them with UNSUPPORTED_VERSION. An unknown API counts as one with header version 1.
func DecodeRequestHeader(b []byte) (RequestHeader, []byte, error) {
	r := reader{b: b}
	h := RequestHeader{Key: APIKey(r.int16()), Version: r.int16(), CorrelationID: r.int32(),
		ClientID: r.nullableString(nil)}
	r.flexible = h.Key.flexible(h.Version)
	r.skipTags()
	if r.err != nil {
		return RequestHeader{}, nil, fmt.Errorf("request header: %w", r.err)
	}
	return h, b[r.off:], nil
}

// AppendResponseHeader appends the header of a response: version 1 if the API's version is flexible, else version 0.
func AppendResponseHeader(dst []byte, key APIKey, version int16, correlationID int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if taggedResponseHeader(key, version) {
		dst = append(dst, 0)
	}
	return dst
}

// DecodeResponseHeader reads the header of the response to a request of the given API and version, and returns the
// following body.
func DecodeResponseHeader(b []byte, key APIKey, version int16) (correlationID int32, rest []byte, err error) {
	r := reader{b: b, flexible: taggedResponseHeader(key, version)}
	correlationID = r.int32()
	r.skipTags()
	if r.err != nil {
		return 0, nil, fmt.Errorf("response header: %w", r.err)
	}
	return correlationID, b[r.off:], nil
}

// taggedResponseHeader reports whether a response's header is version 1. The header of ApiVersions has version 0
// always: a client must be able to read it before it knows the broker's versions.
func taggedResponseHeader(key APIKey, version int16) bool {
	return key != ApiVersions && key.flexible(version)
}
