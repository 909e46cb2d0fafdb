package transport

import (
	"maps"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/protocol"
)

// Some almost-Kafka servers end the connection upon an unknown ApiVersions version, in place of answering
// UNSUPPORTED_VERSION. The first request is the newest version, so such a server could never be used. Such an end says
// nothing about its reason: the server may also be shutting down, want TLS, or be a proxy without a broker behind it.
// So the client asks in a lower version only next time, and begins with the newest version again after the lowest one.

// VersionMemory remembers in which version of ApiVersions to ask a server after it has ended a connection upon a newer
// one, by the address given to Dial. One memory serves all connections of a client. It is safe for many goroutines. The
// zero value is ready to use, and a nil one remembers nothing.
type VersionMemory struct {
	mu lockrank.Mutex[lockrank.TransportVersions]
	at map[string]lowered
}

// lowered is the version to ask an address in, and when it was chosen.
type lowered struct {
	version int16
	since   time.Time
}

const (
	// rememberFor is how long a lower version is kept: an upgraded server is asked in the newest one again.
	rememberFor = 24 * time.Hour
	// mostRemembered bounds the addresses: metadata may name any number.
	mostRemembered = 1000
)

// lowerVersion returns the version of ApiVersions to try after a connection ended upon the given one; the newest after
// the lowest. Version 3 is the first with the name of the client's software, and every server speaks version 0.
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

// of returns the version to ask an address in.
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

// ended notes the end of a connection upon a version by the server at an address.
func (m *VersionMemory) ended(address string, version int16, now time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ofLocked(address, now) != version {
		return // another connection has met the same
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

// answered notes an answer to a version by the server at an address.
func (m *VersionMemory) answered(address string, version int16) {
	if m == nil || version != newestVersion() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, address)
}

// makeRoomLocked forgets outdated addresses, or else any address.
func (m *VersionMemory) makeRoomLocked(now time.Time) {
	maps.DeleteFunc(m.at, func(_ string, v lowered) bool { return now.Sub(v.since) >= rememberFor })
	for address := range m.at {
		if len(m.at) < mostRemembered {
			return
		}
		delete(m.at, address)
	}
}
