package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosamsa/samsa/examples/internal/lab"
	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a service on kfake.
type fixture struct {
	lab    *lab.Lab
	url    string
	client *http.Client
	stop   context.CancelFunc
	ended  chan error
	out    bytes.Buffer // read it after ended
}

func start(t *testing.T, configure func(*service)) *fixture {
	t.Helper()
	f := &fixture{ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{}}}
	var err error
	f.lab, err = lab.Open(t.Context(), 1, "posts")
	require.NoError(t, err)
	t.Cleanup(f.lab.Close)
	t.Cleanup(f.client.CloseIdleConnections)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.url = "http://" + listener.Addr().String() + "/records/key"

	s := &service{cfg: producer.DefaultConfig(f.lab.Servers...), topic: "posts", answerWithin: 20 * time.Second,
		stopWithin: 20 * time.Second, out: &f.out}
	configure(s)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	t.Cleanup(stop)
	go func() { f.ended <- s.serve(ctx, listener) }()
	return f
}

// holdProduce makes the broker keep records until release is called. arrived is closed with the first one.
func (f *fixture) holdProduce() (arrived <-chan struct{}, release func()) {
	held, come := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(come) })
	fake := f.lab.Fake()
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		first()
		fake.SleepControl(func() { <-held })
		return nil, nil, false
	})
	return come, sync.OnceFunc(func() { close(held) })
}

func (f *fixture) post(t *testing.T, body string) (code int, answer string) {
	t.Helper()
	code, answer, _ = f.try(t, body)
	return code, answer
}

func (f *fixture) try(t *testing.T, body string) (code int, answer string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(body))
	require.NoError(t, err)
	response, err := f.client.Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(text), response.Header
}

func TestAPostIsAnsweredWithItsPlaceInTheLog(t *testing.T) {
	f := start(t, func(*service) {})
	code, answer := f.post(t, "hello")
	require.Equal(t, http.StatusOK, code, answer)
	require.JSONEq(t, `{"partition":0,"offset":0}`, answer)
	records, err := f.lab.ReadBack(t.Context(), "posts", 1)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Equal(t, "key=hello", string(records[0].Key)+"="+string(records[0].Value))

	code, _ = f.post(t, strings.Repeat("x", maxBody+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, code)
	f.stop()
	require.NoError(t, <-f.ended)
}

func TestAFullBufferIsAnsweredWith503AndARequestThatTookTooLongWith504(t *testing.T) {
	f := start(t, func(s *service) {
		s.cfg.BufferMemory = 64 << 10
		s.cfg.MaxBlock = time.Millisecond
		s.answerWithin = 50 * time.Millisecond
	})
	_, release := f.holdProduce()
	defer release()
	given := 0 // up by their requests, but not by the producer
	for {
		code, answer, header := f.try(t, strings.Repeat("x", 8<<10))
		if code == http.StatusServiceUnavailable && strings.Contains(answer, producer.ErrBufferFull.Error()) {
			require.Equal(t, "1", header.Get("Retry-After"))
			require.Contains(t, answer, "not written")
			break
		}
		if strings.Contains(answer, "(MaxBlock)") {
			continue // the very first ones, before the topic is known
		}
		require.Equal(t, http.StatusGatewayTimeout, code, answer)
		require.Contains(t, answer, "maybe written")
		given++
	}
	require.Positive(t, given)

	release()
	f.stop()
	require.NoError(t, <-f.ended)
	records, err := f.lab.ReadBack(t.Context(), "posts", given)
	require.NoError(t, err)
	require.Len(t, records, given, "a request's end does not end its record")
}

func TestAShutdownWaitsForRequestsAndTheirRecords(t *testing.T) {
	f := start(t, func(*service) {})
	code, _ := f.post(t, "first")
	require.Equal(t, http.StatusOK, code)
	arrived, release := f.holdProduce()
	defer release()
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		code, _ := f.post(t, "second")
		answered <- code
	}()
	<-arrived
	f.stop()
	release()
	require.Equal(t, http.StatusOK, <-answered)
	require.NoError(t, <-f.ended)
	require.Contains(t, f.out.String(), "Shut down")
}

func TestAShutdownThatCannotDeliverSaysHowManyRecordsAreLeft(t *testing.T) {
	f := start(t, func(s *service) {
		s.answerWithin = 300 * time.Millisecond
		s.stopWithin = 500 * time.Millisecond
	})
	code, _ := f.post(t, "first")
	require.Equal(t, http.StatusOK, code)
	_, release := f.holdProduce()
	defer release()
	code, answer := f.post(t, "second")
	require.Equal(t, http.StatusGatewayTimeout, code, answer)
	f.stop()
	err := <-f.ended
	var failed *producer.CloseError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 1, failed.Undelivered)
	require.Equal(t, 1, failed.MaybeWritten)
}

func TestStatusIsTheFateOfTheRecord(t *testing.T) {
	for want, err := range map[int]error{
		http.StatusServiceUnavailable:    &producer.Error{Err: producer.ErrBufferFull},
		http.StatusRequestEntityTooLarge: &producer.Error{Err: producer.ErrRecordTooLarge},
		http.StatusGatewayTimeout: &producer.Error{Err: context.DeadlineExceeded,
			Fate: producer.FateMaybeWritten},
		http.StatusBadGateway: &producer.Error{Err: producer.ErrDisconnected,
			Fate: producer.FateMaybeWritten},
		http.StatusInternalServerError: &producer.Error{Err: producer.ErrInvalidTopic},
	} {
		require.Equal(t, want, status(err), err.Error())
	}
	require.Equal(t, http.StatusServiceUnavailable, status(&producer.Error{Err: producer.ErrClosed}))
	require.Equal(t, http.StatusBadGateway,
		status(&producer.Error{Err: producer.ErrClosed, Fate: producer.FateMaybeWritten}))
	require.Equal(t, http.StatusBadGateway, status(errors.New("somebody else's")))
}

// stopper ends the service as soon as it serves.
type stopper struct {
	bytes.Buffer
	stop context.CancelFunc
}

func (s *stopper) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("Serving.")) {
		s.stop()
	}
	return s.Buffer.Write(b)
}

func TestRunServesUntilItIsInterrupted(t *testing.T) {
	broker, err := lab.Open(t.Context(), 1, "samsa-http")
	require.NoError(t, err)
	defer broker.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &stopper{stop: stop}
	require.NoError(t, run(ctx, []string{"-bootstrap", broker.Servers[0], "-listen", "127.0.0.1:0"}, out))
	require.Contains(t, out.String(), "curl -i -d 'hello' http://127.0.0.1:")
	require.Contains(t, out.String(), "Shut down: the last 0 records were delivered.")
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, io.Discard), flag.ErrHelp)
}
