package transport

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// greeting is the correlation id of the first request: two line ends. A broker accepts every number. But a server of a
// text protocol, such as HTTP, reads the line ends as the end of a bad request, and answers at once instead of waiting
// for more bytes.
const greeting = 0x0d0a0d0a

// handshake is the first exchange on a new connection, before its reader starts: it sends a request and reads the
// answer, one at a time.
type handshake struct {
	stream io.ReadWriter
	reader *frameReader
	opts   *Options
	// address is the address given to Dial.
	address string
	// version is the version of the first request.
	version int16
	asked   int32
	// ended: after the first request the server ended the connection without sending a byte.
	ended bool
	// throttle is how long the broker reads nothing after its answer.
	throttle time.Duration
}

// apiVersions asks the broker for its versions. If the broker does not support the client's newest version of
// ApiVersions, it answers with the versions of ApiVersions that it supports, or only with error 35; then the client
// retries with a lower version. If a server ends the connection instead of answering, the client uses a lower version
// on the next connection: see VersionMemory.
func (h *handshake) apiVersions() (map[protocol.APIKey]protocol.VersionRange, error) {
	req := &protocol.ApiVersionsRequest{SoftwareName: h.opts.SoftwareName, SoftwareVersion: h.opts.SoftwareVersion}
	version := h.version
	for {
		var resp protocol.ApiVersionsResponse
		if err := h.exchange(req, &resp, version); err != nil {
			return nil, err
		}
		switch {
		case resp.ErrorCode == protocol.UnsupportedVersion && version > 0:
			version = fallback(&resp, version)
			continue
		case resp.ErrorCode != protocol.None:
			return nil, fmt.Errorf("ApiVersions: %w", &protocol.Error{Code: resp.ErrorCode})
		}
		h.throttle = throttleTime(&resp, version)
		apis := make(map[protocol.APIKey]protocol.VersionRange, len(resp.APIs))
		for _, a := range resp.APIs {
			apis[a.Key] = protocol.VersionRange{Min: a.Min, Max: a.Max}
		}
		return apis, nil
	}
}

// fallback returns the version to try after a refused one. It is always lower, so the number of requests is bounded.
func fallback(resp *protocol.ApiVersionsResponse, refused int16) int16 {
	broker, ok := resp.Range(protocol.ApiVersions)
	if !ok {
		return 0
	}
	version, err := protocol.NegotiateVersion(protocol.ApiVersions, broker)
	if err != nil || version >= refused {
		return 0
	}
	return version
}

// exchange sends one request and reads its answer.
func (h *handshake) exchange(req protocol.Request, resp protocol.Response, version int16) error {
	id := greeting + h.asked
	h.asked++
	frame := protocol.AppendRequestHeader(make([]byte, 4, 128), req.Key(), version, id, h.opts.ClientID)
	frame, err := req.Append(frame, version)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := h.stream.Write(frame); err != nil {
		return h.explain(err)
	}
	answer, err := h.reader.next(h.stream, min(h.opts.MaxResponse, maxSetupResponse))
	if err != nil {
		return h.explain(err)
	}
	got, body, err := protocol.DecodeResponseHeader(answer, req.Key(), version)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKafka, err)
	}
	if got != id {
		return fmt.Errorf("%w: correlation id %d where %d was due", ErrNotKafka, got, id)
	}
	if err := resp.Decode(body, version); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKafka, err)
	}
	return nil
}
