package protocol

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed: the bytes are not the expected message. Every error of a decoder wraps it, except the error for an
	// unsupported version.
	ErrMalformed = errors.New("malformed message")
	// ErrVersion: the two sides have no version in common, or a caller asked a codec for an unsupported version.
	ErrVersion = errors.New("unsupported version")
	// ErrUnencodable: a message holds values beyond its version, such as a string of more than 32767 bytes.
	ErrUnencodable = errors.New("message cannot be encoded")
)

// APIKey is the number of a request's kind.
type APIKey int16

// The APIs of this package.
const (
	Produce        APIKey = 0
	Metadata       APIKey = 3
	ApiVersions    APIKey = 18
	InitProducerID APIKey = 22
)

// api holds the supported versions of one API.
type api struct {
	key      APIKey
	name     string
	versions VersionRange
	// flexible is the first version with compact lengths and tagged fields (KIP-482).
	flexible int16
	// throttles is the first version in which a broker over quota responds first and mutes the connection then
	// (KIP-219). In older versions the broker has waited before it responds.
	throttles int16
}

// apis is the one place with the supported ranges. Produce starts at 3: it is the first with record batches of format
// 2, and the oldest version accepted by brokers from 4.0 on (KIP-896).
var apis = [...]api{
	{Produce, "Produce", VersionRange{3, 13}, 9, 6},
	{Metadata, "Metadata", VersionRange{0, 13}, 9, 6},
	{ApiVersions, "ApiVersions", VersionRange{0, 4}, 3, 2},
	{InitProducerID, "InitProducerId", VersionRange{0, 5}, 2, 1},
}

// find returns the table's row of an API, or nil.
func (k APIKey) find() *api {
	for i := range apis {
		if apis[i].key == k {
			return &apis[i]
		}
	}
	return nil
}

// String returns Kafka's name of the API, or its number if this package does not speak it.
func (k APIKey) String() string {
	if a := k.find(); a != nil {
		return a.name
	}
	return fmt.Sprintf("API %d", int16(k))
}

// flexible reports whether a version uses compact lengths and tagged fields.
func (k APIKey) flexible(version int16) bool {
	a := k.find()
	return a != nil && version >= a.flexible
}

// clientThrottles reports whether the client must wait for the throttle time of a response in this version.
func (k APIKey) clientThrottles(version int16) bool {
	a := k.find()
	return a != nil && version >= a.throttles
}

// ThrottleMs returns for how many milliseconds the broker has muted the connection after resp, a response in the given
// version. It returns 0 for older versions, because their broker waits before it responds, and for nonsense such as
// negative times.
func ThrottleMs(resp Response, version int16) int32 {
	if !resp.Key().clientThrottles(version) {
		return 0
	}
	var ms int32
	switch m := resp.(type) {
	case *ProduceResponse:
		ms = m.ThrottleMs
	case *MetadataResponse:
		ms = m.ThrottleMs
	case *ApiVersionsResponse:
		ms = m.ThrottleMs
	case *InitProducerIDResponse:
		ms = m.ThrottleMs
	}
	return max(ms, 0)
}

// check returns an error unless the version is spoken.
func (k APIKey) check(version int16) error {
	a := k.find()
	if a == nil {
		return fmt.Errorf("%w: %s is not spoken", ErrVersion, k)
	}
	if version < a.versions.Min || version > a.versions.Max {
		return fmt.Errorf("%w: %s %d is not in %s", ErrVersion, k, version, a.versions)
	}
	return nil
}

// Message is the common part of requests and responses.
type Message interface {
	// Key returns the message's API.
	Key() APIKey
	// Append appends the message's body, without a header, in the given version. On an error it returns dst as it was.
	Append(dst []byte, version int16) ([]byte, error)
	// Decode fills the message from a body, without its header. Fields of other versions get their defaults.
	//
	// Decode reuses the message's slices, and unchanged strings, so a loop with one value seldom allocates. To keep a
	// slice beyond the next Decode, copy it or take a new message. After an error the contents are undefined.
	Decode(body []byte, version int16) error
}

// Request is a message from a client. Its Append is for the client, its Decode for brokers in tests.
type Request interface{ Message }

// Response is a message from a broker. Its Decode is for the client, its Append for brokers in tests.
type Response interface{ Message }

// DecodeResponse fills resp from the body of the response to req. If the request bounds its response, a response beyond
// the bound is malformed: see [MetadataResponse.DecodeFor]. For Produce see [ProduceResponse.DecodeWithin].
func DecodeResponse(resp Response, body []byte, version int16, req Request) error {
	m, isMetadata := resp.(*MetadataResponse)
	if q, ok := req.(*MetadataRequest); ok && isMetadata {
		return m.DecodeFor(body, version, q)
	}
	return resp.Decode(body, version)
}

// VersionRange is a range of versions of one API, both ends included.
type VersionRange struct{ Min, Max int16 }

// String returns the range as "3–13", as "3" when it holds one version, and as "none" when it is empty.
func (v VersionRange) String() string {
	switch {
	case v.Min > v.Max:
		return "none"
	case v.Min == v.Max:
		return fmt.Sprint(v.Min)
	default:
		return fmt.Sprintf("%d–%d", v.Min, v.Max)
	}
}

// SupportedVersions returns this package's versions of an API. For an unsupported API the range is empty: its Max is
// below its Min.
func SupportedVersions(key APIKey) VersionRange {
	if a := key.find(); a != nil {
		return a.versions
	}
	return VersionRange{0, -1}
}

// NegotiateVersion returns the highest version common to this package and a broker with the given range. The error
// wraps [ErrVersion] and names both ranges.
func NegotiateVersion(key APIKey, broker VersionRange) (int16, error) {
	ours := SupportedVersions(key)
	version := min(ours.Max, broker.Max)
	if version < max(ours.Min, broker.Min) {
		return 0, fmt.Errorf("%w: of %s the broker speaks %s, this client %s", ErrVersion, key, broker, ours)
	}
	return version, nil
}

// ProduceByTopicID is the first version of Produce with topic ids in place of names (KIP-516).
const ProduceByTopicID int16 = 13

// ProduceNamesTopicsByID reports whether Produce requests and responses of a version name topics by their ids.
func ProduceNamesTopicsByID(version int16) bool { return version >= ProduceByTopicID }

// ProduceTakesZstd reports whether batches of Produce requests of a version may be compressed with zstd (KIP-110).
func ProduceTakesZstd(version int16) bool { return version >= 7 }
