// Package loggate is the gate before the user's log handler: the library logs through it and never waits for the
// handler.
//
// A handler is the user's code. It may block, panic, or call runtime.Goexit. So the gate puts each line into a bounded
// queue, and a transient goroutine gives the lines to the handler, in the order of logging. A line keeps the time and
// the attributes of its call. The gate asks the handler's Enabled on that goroutine too, except for trace lines: for
// these it asks once, in New.
//
// The gate does three things beside queueing:
//
//   - It limits repeated lines. Lines from level Info on with the same message and subject pass once in Window. The
//     next line of the kind to pass has the number of suppressed ones. If none follows, the first suppressed line is
//     written at the window's end.
//   - It counts the lines lost to a full queue, or to a handler's panic or call of runtime.Goexit. As soon as the
//     handler works again it gets a line with the message Dropped and their number, in their place.
//   - It freezes attributes: errors and other values get their text when they are logged.
//
// It has no handler of its own, and no opinion on levels.
//
//	gate := loggate.New(userLogger, nil)
//	log := gate.Logger()
//	log.Warn("cannot connect", "broker", 1, "error", err) // never waits
//	gate.Close()
//	gate.Flush(ctx) // waits for the handler
package loggate
