package accumulator

import "github.com/gosamsa/samsa/record"

// Listener is the producer's side of delivery: the interceptors on acknowledgement, and the surroundings of users'
// code.
type Listener interface {
	// Run runs work on the caller's goroutine, one of the accumulator's. work calls users' code. A callback may end the
	// goroutine with runtime.Goexit.
	Run(work func())
	// WantsAcknowledgements reports whether OnAcknowledgement wants to be called at all.
	WantsAcknowledgements() bool
	// OnAcknowledgement runs inside Run, for every record with its outcome, before the record's callback. It must not
	// panic.
	OnAcknowledgement(md record.RecordMetadata, err error)
	// Panicked is called after a callback has panicked, on the recovering goroutine.
	Panicked(value any)
	// Unobserved is called when n records without a callback have failed and no goroutine has asked for their outcome
	// within a second.
	Unobserved(n int, err *record.Error)
}

// CallbackDetector is a Listener that can tell whether the calling goroutine is inside Run. With one, a Send from
// inside a callback does not wait for the memory of batches whose callbacks have not run: they may be waiting for this
// callback to return.
type CallbackDetector interface {
	Listener
	InCallback() bool
}

// RefusedListener is a Listener that distinguishes the callbacks of refused records. Without one, no Send from inside
// any callback waits for callbacks of refused records.
type RefusedListener interface {
	CallbackDetector
	// RunRefused is Run for the callbacks of refused records. InCallback reports true inside of it, too.
	RunRefused(work func())
	// InRefusedCallback reports whether the calling goroutine is inside RunRefused.
	InRefusedCallback() bool
}
