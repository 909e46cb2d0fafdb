package transport

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// endsUpon is a dialer to servers that end the connection without an answer if the first request has one of these
// versions. It records the versions of all first requests.
func endsUpon(asked *[]int16, refused ...int16) *Options {
	return &Options{Versions: new(VersionMemory), Dialer: dialer(func(p *peer) {
		r, err := p.next()
		if err != nil {
			return
		}
		*asked = append(*asked, r.Version)
		for _, v := range refused {
			if r.Version == v {
				return
			}
		}
		p.reply(r, r.Version, versions())
		echo(p)
	})}
}

func TestTheNextConnectionAsksInALowerVersion(t *testing.T) {
	for _, test := range []struct {
		ends, asked []int16
	}{
		{[]int16{4}, []int16{4, 3, 3, 3, 3, 3, 3}},
		{[]int16{4, 3}, []int16{4, 3, 0, 0, 0, 0, 0}},
		{[]int16{4, 3, 0}, []int16{4, 3, 0, 4, 3, 0, 4}},
		{nil, []int16{4, 4, 4, 4, 4, 4, 4}},
	} {
		t.Run(fmt.Sprint(test.ends), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []int16
				o := endsUpon(&asked, test.ends...)
				for range test.asked {
					c, err := Dial(t.Context(), o, "broker:9092")
					if err == nil {
						c.Close(nil)
					} else {
						require.ErrorIs(t, err, ErrDisconnected)
						require.ErrorContains(t, err, "older than 0.10")
					}
					synctest.Wait()
				}
				require.Equal(t, test.asked, asked)
			})
		})
	}
}

func TestALowerVersionIsForItsAddressAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []int16
		o := endsUpon(&asked)
		o.Versions.ended("almost:9092", 4, time.Now())
		for _, address := range []string{"almost:9092", "broker:9092"} {
			c, err := Dial(t.Context(), o, address)
			require.NoError(t, err)
			c.Close(nil)
			synctest.Wait()
		}
		require.Equal(t, []int16{3, 4}, asked)
	})
}

// Without a VersionMemory every connection begins with the newest version.
func TestANilMemoryRemembersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []int16
		o := endsUpon(&asked, 4)
		o.Versions = nil
		for range 3 {
			_, err := Dial(t.Context(), o, "broker:9092")
			require.ErrorIs(t, err, ErrDisconnected)
			synctest.Wait()
		}
		require.Equal(t, []int16{4, 4, 4}, asked)
	})
}

// If the connection ends in another way, the client keeps the version.
func TestOnlyAnEndWithoutAByteLowersTheVersion(t *testing.T) {
	for name, serve := range map[string]func(p *peer){
		"a byte":         func(p *peer) { _, _ = p.next(); _, _ = p.Write([]byte{0}) },
		"half an answer": func(p *peer) { _, _ = p.next(); _, _ = p.Write([]byte{0, 0, 0, 9, 1}) },
		"no Kafka":       func(p *peer) { _, _ = p.next(); _, _ = p.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"silence":        func(p *peer) { _, _ = p.next(); _, _ = p.next() },
		"after a first answer": func(p *peer) {
			r, _ := p.next()
			p.reply(r, r.Version, &protocol.ApiVersionsResponse{ErrorCode: protocol.UnsupportedVersion})
			_, _ = p.next()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Dialer: dialer(serve), Versions: new(VersionMemory)}
				_, err := Dial(t.Context(), &o, "broker:9092")
				require.Error(t, err)
				require.Equal(t, newestVersion(), o.Versions.of("broker:9092", time.Now()))
				synctest.Wait()
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		o := Options{Versions: new(VersionMemory), Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, syscall.ECONNRESET
		}}
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.Error(t, err)
		require.Equal(t, newestVersion(), o.Versions.of("broker:9092", time.Now()))
	})
}

func TestAnEndBeforeTheRequestIsReadLowersTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Dialer: dialer(func(*peer) {}), Versions: new(VersionMemory)}
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorContains(t, err, "older than 0.10")
		require.EqualValues(t, 3, o.Versions.of("broker:9092", time.Now()))
	})
}

// Over real sockets a server resets the connection when it closes with the request unread.
func TestARealResetLowersTheVersion(t *testing.T) {
	asked := make(chan int16, 10)
	address := listen(t, func(p *peer) {
		// The first bytes contain the version; the server does not read the rest.
		head := make([]byte, 8)
		if _, err := p.Read(head); err != nil {
			return
		}
		asked <- int16(head[7])
		if head[7] == 4 {
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
	o := Options{Versions: new(VersionMemory)}
	for _, want := range []int16{4, 3, 0, 4} {
		_, err := Dial(t.Context(), &o, address)
		require.Error(t, err)
		require.Equal(t, want, <-asked)
	}
}

func TestConnectionsThatEndTogetherLowerTheVersionOnce(t *testing.T) {
	var m VersionMemory
	now := time.Now()
	for range 5 {
		m.ended("broker:9092", 4, now)
	}
	require.EqualValues(t, 3, m.of("broker:9092", now))
	m.answered("broker:9092", 3)
	require.EqualValues(t, 3, m.of("broker:9092", now))
	m.answered("broker:9092", 4)
	require.EqualValues(t, 4, m.of("broker:9092", now), "the newest version works after all")
}

func TestTheMemoryOfVersionsHasAnEnd(t *testing.T) {
	var m VersionMemory
	now := time.Now()
	m.ended("old:9092", 4, now)
	require.EqualValues(t, 3, m.of("old:9092", now.Add(rememberFor-1)))
	require.EqualValues(t, 4, m.of("old:9092", now.Add(rememberFor)))
	for i := range 5 * mostRemembered {
		m.ended(fmt.Sprintf("broker-%d:9092", i), 4, now.Add(time.Minute))
		require.LessOrEqual(t, len(m.at), mostRemembered)
	}
	require.EqualValues(t, 3, m.of(fmt.Sprintf("broker-%d:9092", 5*mostRemembered-1), now.Add(time.Minute)),
		"the newest is kept")
	// The memory drops outdated entries first.
	later := now.Add(time.Minute + rememberFor)
	m.ended("new:9092", 4, later)
	require.Len(t, m.at, 1)
}
