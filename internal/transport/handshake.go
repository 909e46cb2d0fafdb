package transport

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// greeting is the correlation id of the first request: two line ends. To a broker it is a number like any other; but a
// server of a text protocol, such as HTTP, takes them for the end of a bad request and answers at once, without waiting
// for more.
const greeting = 0x0d0a0d0a

// handshake is the first exchange on a new connection, before its reader starts: one request, one answer.
type handshake struct {
	stream io.ReadWriter
	reader *frameReader
	opts   *Options
	// address is the address given to Dial.
	address string
	// version is the version of the first request.
	version int16
	asked   int32
	// ended: the server ended the connection upon the first request, without a byte of an answer.
	ended bool
	// throttle is for how long the broker reads nothing after its answer.
	throttle time.Duration
}

// apiVersions asks the broker for its versions. A broker without our newest version of ApiVersions answers with its own
// versions of it, or at least with error 35; then the client asks again in a lower version. If a server ends the
// connection in place of an answer, the client asks it in a lower version next time: see VersionMemory.
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

// fallback returns the next version after a refused one. It is always lower, so the requests end.
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
