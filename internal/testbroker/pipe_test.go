package testbroker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWritesDoNotWaitForReadsUntilTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		n, err := a.Write(make([]byte, socketBuffer))
		require.NoError(t, err)
		require.Equal(t, socketBuffer, n)
		var wg sync.WaitGroup
		written := false
		wg.Go(func() {
			_, err := a.Write(make([]byte, 10))
			written = err == nil
		})
		synctest.Wait()
		require.False(t, written)
		_, err = io.ReadFull(b, make([]byte, 10))
		require.NoError(t, err)
		wg.Wait()
		require.True(t, written)
	})
}

func TestBytesArriveInOrderBothWays(t *testing.T) {
	a, b := Pipe()
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var wg sync.WaitGroup
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			n, err := ends[0].Write(data)
			require.NoError(t, err)
			require.Equal(t, len(data), n)
		})
		wg.Go(func() {
			got := make([]byte, len(data))
			_, err := io.ReadFull(ends[1], got)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
		})
	}
	wg.Wait()
}

func TestAfterACloseTheOtherEndReadsTheRest(t *testing.T) {
	a, b := Pipe()
	_, err := a.Write([]byte("rest"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "rest", string(got))
	_, err = b.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	_, err = a.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Write(got)
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestClosingWithUnreadBytesResets(t *testing.T) {
	a, b := Pipe()
	_, err := a.Write([]byte("unread"))
	require.NoError(t, err)
	_, err = b.Write([]byte("rest"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	got, err := io.ReadAll(a)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, "rest", string(got))
}

func TestAResetLosesBytesUnderWay(t *testing.T) {
	a, b := newPipe(address("a"), address("b"), 1)
	_, err := a.Write([]byte("lost"))
	require.NoError(t, err)
	b.Reset()
	for _, end := range []net.Conn{a, b} {
		_, err = end.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = end.Write(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestACloseWakesReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := Pipe()
		_, err := a.Write(make([]byte, socketBuffer))
		require.NoError(t, err)
		errs := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			errs <- err
		}()
		go func() {
			_, err := a.Write(make([]byte, 1))
			errs <- err
		}()
		synctest.Wait()
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-errs, net.ErrClosed)
		require.ErrorIs(t, <-errs, net.ErrClosed)
	})
}

func TestDeadlinesEndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(time.Second)))
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		require.Equal(t, time.Second, time.Since(start))

		require.NoError(t, a.SetWriteDeadline(start.Add(3*time.Second)))
		n, err := a.Write(make([]byte, socketBuffer+1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, socketBuffer, n)
		require.Equal(t, 3*time.Second, time.Since(start))

		// A moved deadline applies to waiting calls too.
		done := make(chan time.Duration)
		require.NoError(t, b.SetDeadline(time.Time{}))
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		go func() {
			_, _ = a.Read(make([]byte, 1))
			done <- time.Since(start)
		}()
		synctest.Wait()
		require.NoError(t, a.SetDeadline(time.Now().Add(5*time.Second)))
		require.Equal(t, 8*time.Second, <-done)

		// A deadline in the past ends reads at once, and none lets them wait again.
		require.NoError(t, a.SetReadDeadline(time.Now().Add(-time.Second)))
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		_, err = b.Write([]byte("x"))
		require.NoError(t, err)
		_, err = a.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}
