package transport

import (
	"maps"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
)

// Some servers that imitate Kafka end the connection after a request in an unknown ApiVersions version, instead of
// answering UNSUPPORTED_VERSION. The first request has the newest version, so the client could never use such a server.
// But the end of a connection can have other reasons: the server may be shutting down, want TLS, or be a proxy without
// a broker behind it. So the client asks in a lower version only next time, and begins with the newest version again
// after the lowest one.

// VersionMemory remembers the version of ApiVersions to use with a server that has ended a connection after a request
// in a newer version. Its key is the address given to Dial. One memory serves all connections of a client. It is safe
// for many goroutines. The zero value is ready to use, and a nil one remembers nothing.
type VersionMemory struct {
	mu lockrank.Mutex[lockrank.TransportVersions]
	at map[string]lowered
}

// lowered is the version of ApiVersions for an address, with the time of this choice.
type lowered struct {
	version int16
	since   time.Time
}

const (
	// rememberFor is how long the client keeps a lower version. After that it tries the newest version again, because
	// the server may have been upgraded.
	rememberFor = 24 * time.Hour
	// mostRemembered limits the number of addresses, because metadata may name any number.
	mostRemembered = 1000
)

// lowerVersion returns the version of ApiVersions to try after the given version ended a connection; after the lowest
// version it returns the newest. Version 3 is the first with the name of the client's software, and every server
// supports version 0.
func lowerVersion(version int16) int16 {
	switch {
	case version > 3:
		return 3
	case version > 0:
		return 0
	}
	return newestVersion()
}

func newestVersion() int16 { return protocol.SupportedVersions(protocol.ApiVersions).Max }

// of returns the version of ApiVersions to use with an address.
func (m *VersionMemory) of(address string, now time.Time) int16 {
	if m == nil {
		return newestVersion()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ofLocked(address, now)
}

func (m *VersionMemory) ofLocked(address string, now time.Time) int16 {
	v, ok := m.at[address]
	if !ok || now.Sub(v.since) >= rememberFor {
		return newestVersion()
	}
	return v.version
}

// ended records that the server at an address ended a connection after a request in this version.
func (m *VersionMemory) ended(address string, version int16, now time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ofLocked(address, now) != version {
		return // another connection has already recorded it
	}
	lower := lowerVersion(version)
	if lower == newestVersion() {
		delete(m.at, address)
		return
	}
	if m.at == nil {
		m.at = make(map[string]lowered)
	}
	if _, ok := m.at[address]; !ok && len(m.at) >= mostRemembered {
		m.makeRoomLocked(now)
	}
	m.at[address] = lowered{lower, now}
}

// answered records that the server at an address answered a request in this version.
func (m *VersionMemory) answered(address string, version int16) {
	if m == nil || version != newestVersion() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, address)
}

// makeRoomLocked forgets outdated addresses, or any address if none is outdated.
func (m *VersionMemory) makeRoomLocked(now time.Time) {
	maps.DeleteFunc(m.at, func(_ string, v lowered) bool { return now.Sub(v.since) >= rememberFor })
	for address := range m.at {
		if len(m.at) < mostRemembered {
			return
		}
		delete(m.at, address)
	}
}
