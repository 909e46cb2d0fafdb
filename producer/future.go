package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/record"
)

// Future gives access to the outcome of a send, which may still be pending. It is a small value: copy it freely, keep
// it as long as you like. The zero Future is settled with [ErrZeroFuture].
type Future struct {
	result *accumulator.Result
	index  int32
}

var errZeroFuture = &record.Error{Partition: -1, Err: record.ErrZeroFuture}

// NewFuture returns a Future with an outcome. A test double of a [Producer] returns it from its Send. err is nil for an
// acknowledged record. The error of Get has the fate of err: if err is not an [*Error], Get returns an *Error around
// it.
func NewFuture(md RecordMetadata, err error) Future {
	if err == nil {
		return Future{result: accumulator.Settled(md, nil)}
	}
	var failed *record.Error
	if !errors.As(err, &failed) {
		failed = &record.Error{Topic: md.Topic, Partition: md.Partition, Fate: record.FateOf(err), Err: err}
	}
	md.Offset = -1
	return Future{result: accumulator.Settled(md, failed)}
}

// Get waits until the record has its outcome. It returns the record's metadata and a nil error; or an error and
// whatever metadata is known. Get sends the record's batch without waiting for linger.ms.
//
// ctx bounds the wait only. If ctx ends first, the record is still on its way: the error is the context's,
// [MaybeWritten] is true and [Retriable] is false. The error names the obstacle of the record. Get may be called often
// and from many goroutines.
func (f Future) Get(ctx context.Context) (RecordMetadata, error) {
	if f.result == nil {
		return RecordMetadata{Partition: -1, Offset: -1}, errZeroFuture
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return f.result.Wait(ctx, f.index)
}

// Done returns a channel that is closed when the record has its outcome, for use in a select; Get then returns at once.
// Unlike Get, Done lets the batch linger.
func (f Future) Done() <-chan struct{} {
	if f.result == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return f.result.Done(f.index)
}

// Cancel withdraws the record if its batch is not sealed yet, and reports whether it did. A withdrawn record is
// certainly not written, and has the outcome [ErrCanceled] when Cancel returns. Its callback runs on a goroutine of the
// producer, and Flush waits for the callback. Other records are not affected. If Cancel returns false, the record is
// delivered as usual.
func (f Future) Cancel() bool {
	return f.result != nil && f.result.Cancel(f.index)
}

// GetOrCancel is Get with a withdrawal: if ctx ends before the record's batch is sealed, the record is withdrawn. Then
// the error is the context's, and the record is certainly not written ([FateNotWritten]). Otherwise the error is that
// of Get: the record may be written. Use GetOrCancel if the program decides after its own deadline to send the record
// again or to drop it.
func (f Future) GetOrCancel(ctx context.Context) (RecordMetadata, error) {
	var md RecordMetadata
	var err error
	// Get would send the whole batch at once, with other records in it. If ctx has already ended, withdraw the record
	// first.
	if ended := ctx != nil && ctx.Err() != nil; !ended || !f.Cancel() {
		md, err = f.Get(ctx)
		if err == nil || ended || ctx == nil || ctx.Err() == nil || !f.Cancel() {
			return md, err
		}
	}
	md, err = f.result.Wait(context.Background(), f.index)
	var canceled *record.Error
	if errors.As(err, &canceled) {
		withdrawn := *canceled
		withdrawn.Err = fmt.Errorf("%w: %w", accumulator.ContextError(ctx), record.ErrCanceled)
		err = &withdrawn
	}
	return md, err
}
