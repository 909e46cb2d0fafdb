package sender

import (
	"errors"
	"fmt"

	"github.com/gosamsa/samsa/internal/transport"
)

// A broker closes the connection upon a request of more than socket.request.max.bytes, without a word. It does the same
// when it stops. So the size is suspicious only if it is larger than every answered request, and either large or not
// alone in its fate.

// suspiciousSize is the size from which a single broken connection makes a request suspicious. No sensible limit is
// lower.
const suspiciousSize = 16 << 10

// explain adds the request's size to the error of a connection closed by the broker, if the size may be the cause.
func (r *request) explain(err error) (explained error, suspicious bool) {
	var broken *transport.Error
	if !errors.As(err, &broken) || !broken.Sent || !errors.Is(err, transport.ErrDisconnected) {
		return err, false
	}
	size := r.call.Size()
	r.b.mu.Lock()
	suspicious = size > r.b.largest && (size >= suspiciousSize || r.b.breaks > 0)
	r.b.mu.Unlock()
	if !suspicious {
		return err, false
	}
	const lengthField = 4 // the broker does not count it
	e := *broken
	e.Err = fmt.Errorf("%w; the request has %d bytes: perhaps socket.request.max.bytes of the broker is less",
		broken.Err, size-lengthField)
	return &e, true
}
