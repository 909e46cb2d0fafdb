package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestDialNegotiatesTheNewestCommonVersions(t *testing.T) {
	var asked atomic.Pointer[protocol.ApiVersionsRequest]
	address := listen(t, func(p *peer) {
		r, err := p.next()
		if err != nil {
			return
		}
		req := new(protocol.ApiVersionsRequest)
		if req.Decode(r.body, r.Version) == nil {
			asked.Store(req)
		}
		p.reply(r, r.Version, &protocol.ApiVersionsResponse{APIs: []protocol.APIVersion{
			{Key: protocol.Produce, Min: 0, Max: 8}, {Key: protocol.Metadata, Min: 0, Max: 99},
			{Key: 77, Min: 1, Max: 1},
		}})
		echo(p)
	})
	c, err := Dial(t.Context(), &Options{ClientID: "me", SoftwareName: "samsa", SoftwareVersion: "1.0"}, address)
	require.NoError(t, err)
	defer c.Close(nil)
	require.Equal(t, "samsa", asked.Load().SoftwareName)
	require.Equal(t, "1.0", asked.Load().SoftwareVersion)
	require.Equal(t, address, c.Address())

	version, err := c.Version(protocol.Produce)
	require.NoError(t, err)
	require.EqualValues(t, 8, version)
	version, err = c.Version(protocol.Metadata)
	require.NoError(t, err)
	require.Equal(t, protocol.SupportedVersions(protocol.Metadata).Max, version)
	_, err = c.Version(protocol.InitProducerID)
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "does not know InitProducerId")
}

func TestABrokerOlderThan011LacksProduceAndNamesItsVersions(t *testing.T) {
	o := Options{Dialer: dialer(func(p *peer) {
		r, _ := p.next()
		p.reply(r, r.Version, &protocol.ApiVersionsResponse{ErrorCode: protocol.UnsupportedVersion})
		r, _ = p.next()
		p.reply(r, r.Version, &protocol.ApiVersionsResponse{APIs: []protocol.APIVersion{{Key: protocol.Produce, Min: 0,
			Max: 2}}})
		echo(p)
	})}
	c, err := Dial(t.Context(), &o, "old:9092")
	require.NoError(t, err)
	defer c.Close(nil)
	_, err = c.Version(protocol.Produce)
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "0–2")
}

func TestDialAsksAgainInAnOlderVersion(t *testing.T) {
	for name, test := range map[string]struct {
		refusal []protocol.APIVersion
		want    int16
	}{
		"that the broker names":              {[]protocol.APIVersion{{Key: protocol.ApiVersions, Min: 0, Max: 2}}, 2},
		"0 when it names none":               {nil, 0},
		"0 when it names the one it refused": {[]protocol.APIVersion{{Key: protocol.ApiVersions, Min: 0, Max: 4}}, 0},
		"0 when it names one that we have not": {[]protocol.APIVersion{{Key: protocol.ApiVersions, Min: 90, Max: 99}},
			0},
	} {
		t.Run(name, func(t *testing.T) {
			var second int16 = -1
			o := Options{Dialer: dialer(func(p *peer) {
				r, _ := p.next()
				p.reply(r, r.Version, &protocol.ApiVersionsResponse{ErrorCode: protocol.UnsupportedVersion,
					APIs: test.refusal})
				r, _ = p.next()
				second = r.Version
				p.reply(r, r.Version, versions())
				echo(p)
			})}
			c, err := Dial(t.Context(), &o, "broker:9092")
			require.NoError(t, err)
			defer c.Close(nil)
			require.Equal(t, test.want, second)
		})
	}
}

func TestABrokerThatRefusesEveryVersionIsGivenUp(t *testing.T) {
	requests := 0
	o := Options{Dialer: dialer(func(p *peer) {
		for {
			r, err := p.next()
			if err != nil {
				return
			}
			requests++
			p.reply(r, r.Version, &protocol.ApiVersionsResponse{ErrorCode: protocol.UnsupportedVersion})
		}
	})}
	_, err := Dial(t.Context(), &o, "broker:9092")
	var refused *protocol.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, protocol.UnsupportedVersion, refused.Code)
	require.Equal(t, 2, requests)
}

// Every case is a server with a fault in the first exchange; the error must contain want.
var wrongServers = map[string]struct {
	serve func(p *peer)
	want  string
	is    error
}{
	"HTTP":          {say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "an HTTP server", ErrNotKafka},
	"TLS alert":     {say("\x15\x03\x03\x00\x02\x02\x50"), "the answer is TLS", ErrNotKafka},
	"TLS handshake": {say("\x16\x03\x01\x02\x00\x01"), "the answer is TLS", ErrNotKafka},
	"text":          {say("220 mail.example.com ESMTP\r\n"), `"220 mail.example.com ESMTP\r\n"`, ErrNotKafka},
	"garbage":       {say("\xfe\xed\xfa\xce\xca\xfe\xba\xbe"), "length of -17958194", ErrNotKafka},
	"length -1":     {say("\xff\xff\xff\xff"), "length of -1 bytes", ErrNotKafka},
	"length 0":      {say("\x00\x00\x00\x00"), "length of 0 bytes", ErrNotKafka},
	"length 2³¹-1":  {say("\x7f\xff\xff\xff"), "length of 2147483647 bytes", ErrNotKafka},
	"half a frame":  {say("\x00\x00\x00\x20\x00\x00\x00\x00\x00"), "9 of an answer's 36 bytes", ErrDisconnected},
	"half a length": {say("\x00\x00"), "after 2 bytes of an answer", ErrDisconnected},
	"wrong id": {say("\x00\x00\x00\x06\x00\x00\x00\x63\x00\x00"), "correlation id 99 where 218762506",
		ErrNotKafka},
	"undecodable body": {say("\x00\x00\x00\x06\x0d\x0a\x0d\x0a\x00\x00"), "malformed message", ErrNotKafka},
	"end of stream":    {say(""), "older than 0.10", ErrDisconnected},
	"an error code":    {refuse, "CLUSTER_AUTHORIZATION_FAILED", nil},
}

// say is a server that reads the first request, writes some bytes, and closes the connection.
func say(what string) func(p *peer) {
	return func(p *peer) {
		if _, err := p.next(); err == nil && what != "" {
			_, _ = io.WriteString(p, what)
		}
	}
}

func refuse(p *peer) {
	if r, err := p.next(); err == nil {
		p.reply(r, r.Version, &protocol.ApiVersionsResponse{ErrorCode: protocol.ClusterAuthorizationFailed,
			FinalizedFeaturesEpoch: -1})
	}
}

func TestDialNamesAServerThatIsNoBroker(t *testing.T) {
	for name, test := range wrongServers {
		for where, address := range map[string]func(o *Options) string{
			"pipe": func(o *Options) string { o.Dialer = dialer(test.serve); return "broker:9092" },
			"tcp":  func(*Options) string { return listen(t, test.serve) },
		} {
			t.Run(name+" over "+where, func(t *testing.T) {
				var o Options
				at := address(&o)
				_, err := Dial(t.Context(), &o, at)
				require.ErrorContains(t, err, test.want)
				require.ErrorContains(t, err, at)
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
				require.False(t, failure(t, err).Sent)
				require.False(t, failure(t, err).Timeout)
			})
		}
	}
}

func TestDialRecognisesARealHTTPServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := Dial(t.Context(), &Options{}, s.Listener.Addr().String())
	require.ErrorIs(t, err, ErrNotKafka)
	require.ErrorContains(t, err, "an HTTP server")
}

func TestDialGivesUpARealTLSServer(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, err := Dial(t.Context(), &Options{}, s.Listener.Addr().String())
	require.Error(t, err)
	require.True(t, errors.Is(err, ErrNotKafka) || errors.Is(err, ErrDisconnected), err)
}

func TestDialSaysThatAConnectionIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	_, err = Dial(t.Context(), &Options{}, address)
	require.ErrorContains(t, err, "refused")
	require.False(t, failure(t, err).Timeout)
}

func TestAnAddressWithoutPortIsAnError(t *testing.T) {
	_, err := Dial(t.Context(), &Options{}, "broker")
	require.ErrorContains(t, err, "missing port")
}

func TestSilenceEndsAfterTheSetupTimeout(t *testing.T) {
	for name, serve := range map[string]func(p *peer){
		"before the request is read": nil,
		"after the request":          func(p *peer) { _, _ = p.next(); _, _ = p.next() },
		"in the answer's middle": func(p *peer) {
			_, _ = p.next()
			_,
				_ = io.WriteString(p, "\x00\x00\x00\x20\x00")
			_, _ = p.next()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				defer close(stop)
				o := Options{SetupTimeout: 7 * time.Second, Dialer: dialer(func(p *peer) {
					if serve == nil {
						<-stop
						return
					}
					serve(p)
				})}
				began := time.Now()
				_, err := Dial(t.Context(), &o, "broker:9092")
				require.ErrorIs(t, err, ErrSetupTimeout)
				require.ErrorContains(t, err, "after 7s")
				require.ErrorContains(t, err, "does not answer ApiVersions")
				require.True(t, failure(t, err).Timeout)
				require.Equal(t, 7*time.Second, time.Since(began))
			})
		})
	}
}

func TestADialerThatIgnoresItsContextIsLeftBehindAndItsConnectionClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		o := Options{Dialer: func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(time.Hour)
			return ours, nil
		}}
		began := time.Now()
		_, err := Dial(t.Context(), &o, "broker:9092")
		require.ErrorIs(t, err, ErrSetupTimeout)
		require.Equal(t, DefaultSetupTimeout, time.Since(began))
		_, err = theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, time.Hour, time.Since(began))
	})
}

// A Kafka broker reads a TLS handshake as a too large request, and closes the connection.
func TestATLSDialerAtAPlaintextListenerSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = nc.Read(make([]byte, 4))
		_ = nc.Close()
	}()
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: "broker"}}
	_, err = Dial(t.Context(), &Options{Dialer: dialer.DialContext}, l.Addr().String())
	require.ErrorContains(t, err, ": the server closed the connection during the dial: a dialer that makes TLS connections needs a TLS listener")
	require.NoError(t, l.Close())
	<-done
}

func TestADialerThatReturnsNothingIsAnError(t *testing.T) {
	o := Options{Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	_, err := Dial(t.Context(), &o, "broker:9092")
	require.ErrorContains(t, err, "neither a connection nor an error")
}

func TestTheContextEndsDialAtAnyStage(t *testing.T) {
	for name, serve := range map[string]func(ctx context.Context, p *peer){
		"while dialling":          nil,
		"while awaiting versions": func(_ context.Context, p *peer) { _, _ = p.next(); _, _ = p.next() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				o := Options{Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
					if serve == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return dialer(func(p *peer) { serve(ctx, p) })(ctx, network, address)
				}}
				began := time.Now()
				_, err := Dial(ctx, &o, "broker:9092")
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, time.Second, time.Since(began))
			})
		})
	}
}

func TestEveryAddressOfANameIsTriedUntilOneIsABroker(t *testing.T) {
	// 127.0.0.1 to .4 are one machine; only the last one of them has a broker on the port.
	good := listen(t, func(p *peer) { p.greet(); echo(p) })
	_, port, err := net.SplitHostPort(good)
	require.NoError(t, err)
	bad := func(host string, serve func(p *peer)) {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatalf("loopback address %s: %v", host, err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serve(newPeer(nc))
			_ = nc.Close()
		}()
	}
	bad("127.0.0.3", say("HTTP/1.1 400 Bad Request\r\n\r\n"))
	bad("127.0.0.4", func(p *peer) { _, _ = p.next(); _, _ = p.next() })
	o := Options{SetupTimeout: 3 * time.Second, lookup: func(_ context.Context, host string) ([]string, error) {
		require.Equal(t, "kafka.example", host)
		return []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"}, nil
	}}
	c, err := Dial(t.Context(), &o, "kafka.example:"+port)
	require.NoError(t, err)
	defer c.Close(nil)
	require.Equal(t, "kafka.example:"+port, c.Address())

	o.lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.2", "127.0.0.5"}, nil }
	_, err = Dial(t.Context(), &o, "kafka.example:"+port)
	require.ErrorContains(t, err, "127.0.0.2:"+port)
	require.ErrorContains(t, err, "127.0.0.5:"+port)
}

func TestANameThatDoesNotExistIsAnError(t *testing.T) {
	o := Options{lookup: func(_ context.Context, host string) ([]string, error) { return nil, nil }}
	_, err := Dial(t.Context(), &o, "kafka.example:9092")
	require.ErrorContains(t, err, "no such host")
}
