package protocol

import "encoding/base64"

// UUID is a topic's id (KIP-516). The zero value means none.
type UUID [16]byte

// IsZero reports whether there is no id.
func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the id as Kafka's tools print it: 22 characters of URL-safe base64.
func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }
