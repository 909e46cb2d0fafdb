package transport

import "github.com/gosamsa/samsa/internal/lockrank"

// contact is the most advanced exchange with a server so far, on any connection to its address.
type contact uint8

const (
	stranger        contact = iota
	answeredHello           // the server has answered ApiVersions
	answeredRequest         // the server has answered a request of Do
)

// History remembers the addresses of servers that have answered. For a server known to work, errors name other likely
// causes. The zero value is empty; a nil History remembers nothing. It holds at most mostRemembered addresses. It is
// safe for many goroutines.
type History struct {
	mu       lockrank.Mutex[lockrank.TransportHistory]
	contacts map[string]contact
}

// note raises the contact of an address. A full History forgets another address.
func (h *History) note(address string, now contact) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.contacts[address]
	if before >= now {
		return
	}
	if h.contacts == nil {
		h.contacts = make(map[string]contact)
	}
	if !known && len(h.contacts) >= mostRemembered {
		for other := range h.contacts {
			delete(h.contacts, other)
			break
		}
	}
	h.contacts[address] = now
}

// of returns the contact of an address.
func (h *History) of(address string) contact {
	if h == nil {
		return stranger
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.contacts[address]
}

// Answered reports whether a server at this address has ever answered.
func (h *History) Answered(address string) bool { return h.of(address) >= answeredHello }
